"""Redis in its asyncio form."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book, Setting
from tests.corpus.plans import redis_saying, silent

BOOK = Book("redis-async", error_type="general")

_REDIS = App(
    "shared/cache.py",
    """
    import redis.asyncio as redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff


    def client(host, port, timeout=1.0, **options):
        return redis.Redis(
            host=host, port=port, socket_timeout=timeout, retry=Retry(NoBackoff(), 0), protocol=2,
            **options,
        )


    async def mark(host, port, key):
        async with client(host, port) as cache:
            await cache.sadd("seen", key)


    async def lookup(host, port, key):
        async with client(host, port, username="songs", password="old") as cache:
            return await cache.hgetall(f"artist:{key}")


    async def slowly(host, port, key, seconds):
        async with client(host, port, seconds) as cache:
            return await cache.zscore("hot", key)
    """,
)


def _r(answer: str) -> Setting:
    return lambda w, v: (*w.tcp(redis_saying(f"-{answer}\r\n".encode())), v.id)


for _name, _category, _app, _function, _setting in (
    (
        "redis-readonly",
        Category.SERVER_ERROR,
        _REDIS,
        "mark",
        _r("READONLY You can't write against a read only replica."),
    ),
    (
        "redis-wrongpass",
        Category.AUTH,
        _REDIS,
        "lookup",
        _r("WRONGPASS invalid username-password pair or user is disabled."),
    ),
    (
        "redis-timeout",
        Category.TIMEOUT,
        _REDIS,
        "slowly",
        lambda w, v: (*w.tcp(silent), v.id, v.seconds),
    ),
):
    BOOK.cause(_name, _category, _app, _function, _setting)
