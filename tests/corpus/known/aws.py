"""S3 by botocore: objects that cannot be loaded."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book, Setting
from tests.corpus.plans import answering, reply, silent

BOOK = Book("aws", error_type="general")

_APP = App(
    "storage/previews.py",
    """
    import functools

    import botocore.session
    from botocore.config import Config


    @functools.cache
    def session(keys=True):
        made = botocore.session.Session()
        if keys:
            made.set_credentials("AKIDEXAMPLE", "secret")
        else:
            made.set_config_variable("profile", None)
            made.get_component("credential_provider").providers.clear()
        return made


    def client(service, base, seconds=1.0, keys=True):
        return session(keys).create_client(
            service, region_name="eu-north-1", endpoint_url=base,
            config=Config(
                retries={"max_attempts": 0}, read_timeout=seconds, connect_timeout=seconds,
                s3={"addressing_style": "path"},
            ),
        )


    def load_preview(base, key, seconds=1.0):
        answer = client("s3", base, seconds).get_object(Bucket="previews", Key=key)
        return answer["Body"].read()


    def save_badly(base, key):
        return client("dynamodb", base).put_item(TableName="plays", Item={"id": key})
    """,
)


def _s3(status: int, code: str, message: str) -> Setting:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>%s</RequestId></Error>"
    )
    return lambda w, v: (
        w.http(reply(status, body % v.digest[:16].upper(), "application/xml")),
        f"{v.id}.mp3",
    )


for _name, _category, _function, _setting in (
    (
        "no-key",
        Category.NOT_FOUND,
        "load_preview",
        _s3(404, "NoSuchKey", "The specified key does not exist."),
    ),
    (
        "no-bucket",
        Category.NOT_FOUND,
        "load_preview",
        _s3(404, "NoSuchBucket", "The specified bucket does not exist"),
    ),
    ("denied", Category.AUTH, "load_preview", _s3(403, "AccessDenied", "Access Denied")),
    (
        "slow-down",
        Category.RATE_LIMIT,
        "load_preview",
        _s3(503, "SlowDown", "Please reduce your request rate."),
    ),
    ("bad-parameter", Category.INVALID_DATA, "save_badly", lambda w, v: (w.url(silent), v.id)),
    (
        "read-timeout",
        Category.TIMEOUT,
        "load_preview",
        lambda w, v: (w.url(silent), v.id, v.seconds),
    ),
    (
        "cut",
        Category.NETWORK,
        "load_preview",
        lambda w, v: (
            w.url(answering(reply(200, b"x" * 500, "audio/mpeg")[: -v.index * 10 - 20])),
            v.id,
        ),
    ),
):
    BOOK.cause(_name, _category, _APP, _function, _setting)
