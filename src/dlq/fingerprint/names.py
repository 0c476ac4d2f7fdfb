"""Names that say little: of functions that could be anybody's, of libraries that everybody uses."""

from __future__ import annotations

import re
from functools import lru_cache

_ANYBODYS_WORDS = frozenset(
    {
        *("action", "aio", "all", "any", "api", "async", "attempt", "attempts", "begin", "body"),
        *("call", "calls", "case", "cases", "cause", "check", "checked", "client", "command"),
        *("coro", "coroutine", "data", "decorated", "deep", "deeper", "deepest", "delegate"),
        *("delete", "depth", "descend", "dispatch", "dispatcher", "do", "ensure", "entry"),
        *("error", "errors", "exec", "execute", "fail", "fetch", "for", "from", "func"),
        *("function", "get", "go", "guarded", "handle", "handler", "helper", "hop", "http"),
        *("https", "impl", "in", "indirect", "inner", "internal", "into", "invoke", "job"),
        *("json", "layer", "layers", "level", "levels", "list", "load", "logged", "main"),
        *("make", "many", "method", "middleware", "nested", "of", "on", "one", "operation"),
        *("or", "outer", "page", "patch", "perform", "post", "probe", "proxy", "put", "query"),
        *("raise", "raw", "read", "recurse", "recursion", "recursive", "request", "requests"),
        *("require", "response", "rest", "result", "results", "retried", "retries", "retry"),
        *("retrying", "rows", "run", "runner", "safe", "scenario", "select", "self", "send"),
        *("session", "sql", "start", "status", "step", "submit", "sync", "target", "task"),
        *("text", "the", "thread", "threaded", "through", "throw", "timed", "to", "traced"),
        *("trial", "try", "url", "value", "variant", "variation", "via", "with", "work"),
        *("worker", "wrap", "wrapped", "wrapper", "write"),
    }
)
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")

_LIBRARIES = frozenset(
    {
        *("aio_pika", "aiobotocore", "aiofiles", "aiohttp", "aiokafka", "aiormq", "airflow"),
        *("alembic", "amqp", "anthropic", "anyio", "apscheduler", "arq", "asgiref", "asyncpg"),
        *("attr", "attrs", "azure", "backoff", "billiard", "bleach", "boto3", "botocore", "bs4"),
        *("cachetools", "celery", "certifi", "cffi", "chardet", "charset_normalizer", "click"),
        *("confluent_kafka", "cryptography", "dagster", "dateutil", "django", "dns", "dramatiq"),
        *("elasticsearch", "essentia", "eventlet", "falcon", "fastapi", "feedparser", "flask"),
        *("fsspec", "gevent", "google", "grpc", "gunicorn", "h11", "h2", "hpack", "httpcore"),
        *("httplib2", "httptools", "httpx", "httpx2", "huey", "huggingface_hub", "hypercorn"),
        *("idna", "ijson", "jinja2", "joblib", "jsonschema", "jwt", "kafka", "kombu", "librosa"),
        *("lxml", "madmom", "markupsafe", "marshmallow", "matplotlib", "mongoengine"),
        *("more_itertools", "motor", "multidict", "musicbrainzngs", "mutagen", "mysql", "numba"),
        *("numpy", "oauthlib", "openai", "opentelemetry", "OpenSSL", "orjson", "outcome"),
        *("pandas", "paramiko", "peewee", "pika", "PIL", "pkg_resources", "pluggy", "prefect"),
        *("prometheus_client", "proto", "psycopg", "psycopg2", "psycopg_pool", "pyarrow"),
        *("pyasn1", "pydantic", "pydantic_core", "pydantic_settings", "pydub", "pylast"),
        *("pymongo", "pymysql", "pytest", "_pytest", "pytz", "redis", "requests"),
        *("requests_oauthlib", "requests_toolbelt", "retry", "retrying", "rich", "rq", "ruamel"),
        *("s3fs", "s3transfer", "sanic", "scipy", "scrapy", "selenium", "sentry_sdk"),
        *("service_identity", "setuptools", "simplejson", "six", "sklearn", "sniffio"),
        *("snowflake", "socks", "soundfile", "spotipy", "sqlalchemy", "sqlite_utils", "sqlmodel"),
        *("stamina", "starlette", "stripe", "structlog", "tenacity", "tensorflow", "tornado"),
        *("torch", "tqdm", "transformers", "treq", "trio", "twisted", "typer"),
        *("typing_extensions", "ujson", "urllib3", "uvicorn", "uvloop", "websocket", "websockets"),
        *("werkzeug", "wrapt", "xmltodict", "yaml", "yarl", "zmq", "zope", "dlq"),
    }
)


@lru_cache(maxsize=4096)
def is_anybodys(function: str) -> bool:
    """Whether nothing in a function's name says what it is about: `_get_json`, `callApi`."""
    words = _HUMP.sub("_", function.rpartition(".")[2]).lower().split("_")
    return all(word in _ANYBODYS_WORDS or word.isdigit() for word in words if word)


def is_library(package: str) -> bool:
    """Whether an installed package is known not to be the program itself."""
    return package in _LIBRARIES
