"""S3 and SQS by botocore: what a store of stems and previews answers."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book, Setting
from tests.corpus.plans import reply, silent

BOOK = Book("storage", error_type="general")

_S3 = App(
    "storage/stems.py",
    """
    import functools

    import botocore.session
    from botocore.config import Config


    @functools.cache
    def session():
        made = botocore.session.Session()
        made.set_credentials("AKIDEXAMPLE", "secret")
        return made


    def client(service, base, seconds=1.0, bundle=None):
        config = Config(
            retries={"max_attempts": 0}, read_timeout=seconds, connect_timeout=seconds,
            s3={"addressing_style": "path"},
        )
        return session().create_client(
            service, region_name="eu-north-1", endpoint_url=base, config=config, verify=bundle
        )


    def size(base, key):
        return client("s3", base).head_object(Bucket="stems", Key=key)["ContentLength"]


    def stem(base, key):
        answer = client("s3", base).get_object(Bucket="stems", Key=key, ChecksumMode="ENABLED")
        return answer["Body"].read()


    def slice_of(base, key, start):
        answer = client("s3", base).get_object(
            Bucket="stems", Key=key, Range=f"bytes={start}-{start + 99}"
        )
        return answer["Body"].read()


    def store(base, key, body, seconds=1.0, bundle=None):
        client("s3", base, seconds, bundle).put_object(Bucket="stems", Key=key, Body=body)


    def join(base, key, upload_id):
        parts = {"Parts": [{"ETag": "x", "PartNumber": 1}]}
        client("s3", base).complete_multipart_upload(
            Bucket="stems", Key=key, UploadId=upload_id, MultipartUpload=parts
        )


    def receive(base, queue):
        return client("sqs", base).receive_message(QueueUrl=f"{base}/123/{queue}")
    """,
)


def _s3(status: int, code: str, message: str) -> bytes:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return reply(status, body, "application/xml")


def _head(status: int) -> Setting:
    return lambda w, v: (w.http(reply(status)), f"{v.uuid}/vocals.wav")


def _put(status: int, code: str, message: str) -> Setting:
    return lambda w, v: (w.http(_s3(status, code, message)), f"{v.uuid}/drums.wav", b"RIFF")


for _name, _category, _function, _setting in (
    ("head-404", Category.NOT_FOUND, "size", _head(404)),
    ("head-403", Category.AUTH, "size", _head(403)),
    (
        "clock-skewed",
        Category.AUTH,
        "store",
        _put(
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
        ),
    ),
    (
        "minio-starting",
        Category.SERVER_ERROR,
        "store",
        _put(503, "XMinioServerNotInitialized", "Server not initialized yet, please try again."),
    ),
    (
        "key-too-long",
        Category.INVALID_DATA,
        "store",
        _put(400, "KeyTooLongError", "Your key is too long"),
    ),
    (
        "operation-aborted",
        Category.INVALID_DATA,
        "store",
        _put(
            409,
            "OperationAborted",
            "A conflicting conditional operation is currently in progress against this resource.",
        ),
    ),
    (
        "checksum",
        Category.INVALID_DATA,
        "stem",
        lambda w, v: (
            w.http(reply(200, v.digest, "audio/wav", x_amz_checksum_crc32="AAAAAA==")),
            f"{v.uuid}/bass.wav",
        ),
    ),
    (
        "range-416",
        Category.INVALID_DATA,
        "slice_of",
        lambda w, v: (
            w.http(_s3(416, "InvalidRange", "The requested range is not satisfiable")),
            f"{v.uuid}/mix.wav",
            v.number,
        ),
    ),
    (
        "part-missing",
        Category.INVALID_DATA,
        "join",
        lambda w, v: (
            w.http(
                _s3(
                    400,
                    "InvalidPart",
                    "One or more of the specified parts could not be found. The part may not "
                    "have been uploaded, or the specified entity tag may not match the part's "
                    "entity tag.",
                )
            ),
            f"{v.uuid}/mix.wav",
            v.digest,
        ),
    ),
    (
        "upload-gone",
        Category.NOT_FOUND,
        "join",
        lambda w, v: (
            w.http(
                _s3(
                    404,
                    "NoSuchUpload",
                    "The specified upload does not exist. The upload ID may be invalid, or the "
                    "upload may have been aborted or completed.",
                )
            ),
            f"{v.uuid}/mix.wav",
            v.digest,
        ),
    ),
    (
        "unknown-host",
        Category.NETWORK,
        "size",
        lambda w, v: (f"http://minio-{v.number}.songs.invalid", f"{v.uuid}/vocals.wav"),
    ),
    (
        "connect-timeout",
        Category.TIMEOUT,
        "store",
        lambda w, v: (
            "http://{}:{}".format(*w.unanswered()),
            f"{v.uuid}/vocals.wav",
            b"RIFF",
            v.seconds,
        ),
    ),
    (
        "untrusted",
        Category.NETWORK,
        "store",
        lambda w, v: (
            w.https(silent, w.authority.server(hosts=("127.0.0.1",), trusted=False)),
            f"{v.uuid}/vocals.wav",
            b"RIFF",
            1.0,
            str(w.authority.bundle),
        ),
    ),
    (
        "no-sqs-queue",
        Category.NOT_FOUND,
        "receive",
        lambda w, v: (
            w.http(
                reply(
                    400,
                    {
                        "__type": "com.amazonaws.sqs#QueueDoesNotExist",
                        "message": "The specified queue does not exist.",
                    },
                    "application/x-amz-json-1.0",
                    x_amzn_query_error="AWS.SimpleQueueService.NonExistentQueue;Sender",
                )
            ),
            f"stems-{v.id[:6]}",
        ),
    ),
):
    BOOK.cause(_name, _category, _S3, _function, _setting)
