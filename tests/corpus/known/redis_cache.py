"""Redis, by redis-py: what the server says no with, and what the connection does."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book, Setting
from tests.corpus.plans import redis_saying, silent

BOOK = Book("redis", error_type="general")

_APP = App(
    "cache/store.py",
    """
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry


    def client(host, port, timeout=1.0):
        return redis.Redis(
            host=host, port=port, socket_timeout=timeout, socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0), protocol=2,
        )


    def cached(host, port, key):
        with client(host, port) as cache:
            return cache.get(f"track:{key}")


    def remember(host, port, key, value):
        with client(host, port) as cache:
            cache.set(f"track:{key}", value, ex=3600)


    def count(host, port, key, timeout):
        with client(host, port, timeout) as cache:
            return cache.incr(f"plays:{key}")
    """,
)


def _get(answer: str) -> Setting:
    return lambda w, v: (*w.tcp(redis_saying(f"-{answer}\r\n".encode())), v.id)


def _set(answer: str) -> Setting:
    return lambda w, v: (*w.tcp(redis_saying(f"-{answer}\r\n".encode())), v.id, v.title)


BOOK.cause("noauth", Category.AUTH, _APP, "cached", _get("NOAUTH Authentication required."))
BOOK.cause(
    "loading",
    Category.SERVER_ERROR,
    _APP,
    "cached",
    _get("LOADING Redis is loading the dataset in memory"),
)
BOOK.cause(
    "wrong-type",
    Category.INVALID_DATA,
    _APP,
    "cached",
    _get("WRONGTYPE Operation against a key holding the wrong kind of value"),
)
BOOK.cause(
    "oom",
    Category.RESOURCE,
    _APP,
    "remember",
    _set("OOM command not allowed when used memory > 'maxmemory'."),
)
BOOK.cause(
    "refused",
    Category.NETWORK,
    _APP,
    "cached",
    lambda w, v: (*w.refused(v.port), v.id),
)
BOOK.cause(
    "timeout",
    Category.TIMEOUT,
    _APP,
    "count",
    lambda w, v: (*w.tcp(silent), v.id, v.seconds),
)
BOOK.cause(
    "closed",
    Category.NETWORK,
    _APP,
    "remember",
    lambda w, v: (*w.tcp(redis_saying(b"")), v.id, v.title),
)
