"""S3, SQS and DynamoDB by botocore: error codes, signatures, endpoints."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book, Setting
from tests.corpus.plans import reply, silent

BOOK = Book("aws2", error_type="general")

_APP = App(
    "storage/objects.py",
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


    def store_preview(base, key):
        return client("s3", base).put_object(Bucket="previews", Key=key, Body=b"x")


    def next_job(base, key):
        return client("sqs", base).receive_message(QueueUrl=f"{base}/1/{key}")


    def save_play(base, key):
        return client("dynamodb", base).put_item(TableName="plays", Item={"id": {"S": key}})


    def anonymous(base, key):
        return client("s3", base, keys=False).head_object(Bucket="previews", Key=key)
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


def _json(status: int, code: str, message: str) -> Setting:
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message}
    return lambda w, v: (w.http(reply(status, body, "application/x-amz-json-1.0")), v.id)


for _name, _category, _function, _setting in (
    (
        "signature",
        Category.AUTH,
        "store_preview",
        _s3(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided.",
        ),
    ),
    (
        "expired",
        Category.AUTH,
        "store_preview",
        _s3(400, "ExpiredToken", "The provided token has expired."),
    ),
    (
        "internal",
        Category.SERVER_ERROR,
        "store_preview",
        _s3(500, "InternalError", "We encountered an internal error. Please try again."),
    ),
    (
        "too-large",
        Category.INVALID_DATA,
        "store_preview",
        _s3(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size"),
    ),
    (
        "request-timeout",
        Category.TIMEOUT,
        "store_preview",
        _s3(
            400,
            "RequestTimeout",
            "Your socket connection to the server was not read from or written to within the "
            "timeout period.",
        ),
    ),
    (
        "throughput",
        Category.RATE_LIMIT,
        "save_play",
        _json(
            400,
            "ProvisionedThroughputExceededException",
            "The level of configured provisioned throughput for the table was exceeded.",
        ),
    ),
    (
        "throttling",
        Category.RATE_LIMIT,
        "save_play",
        _json(400, "ThrottlingException", "Rate of requests exceeds the allowed throughput."),
    ),
    (
        "no-table",
        Category.NOT_FOUND,
        "save_play",
        _json(400, "ResourceNotFoundException", "Requested resource not found"),
    ),
    (
        "validation",
        Category.INVALID_DATA,
        "save_play",
        _json(400, "ValidationException", "One or more parameter values were invalid"),
    ),
    (
        "sqs-503",
        Category.SERVER_ERROR,
        "next_job",
        _json(503, "ServiceUnavailable", "Service is unavailable"),
    ),
    (
        "sqs-no-token",
        Category.AUTH,
        "next_job",
        _json(
            403, "InvalidClientTokenId", "The security token included in the request is invalid."
        ),
    ),
    ("no-credentials", Category.AUTH, "anonymous", lambda w, v: (w.url(silent), v.id)),
    (
        "refused",
        Category.NETWORK,
        "store_preview",
        lambda w, v: ("http://{}:{}".format(*w.refused(v.port)), v.id),
    ),
):
    BOOK.cause(_name, _category, _APP, _function, _setting)
