"""Redis: a cluster, locks, scripts, pools."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book, Setting
from tests.corpus.plans import redis_saying

BOOK = Book("redis2", error_type="general")

_REDIS = App(
    "shared/locks.py",
    """
    import redis as sync_redis
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


    def run_script(host, port, key):
        with sync_redis.Redis(host=host, port=port, protocol=2) as cache:
            return cache.evalsha(key, 0)


    def crowded(host, port, key):
        pool = sync_redis.ConnectionPool(host=host, port=port, max_connections=1, protocol=2)
        try:
            taken = pool.get_connection()
            try:
                return sync_redis.Redis(connection_pool=pool).get(key)
            finally:
                pool.release(taken)
        finally:
            pool.disconnect()


    def locked(host, port, key, seconds):
        with sync_redis.Redis(host=host, port=port, protocol=2) as cache:
            with cache.lock(f"lock:{key}", timeout=5, blocking_timeout=seconds, sleep=0.01):
                return key
    """,
)


def _r(answer: str) -> Setting:
    return lambda w, v: (*w.tcp(redis_saying(f"-{answer}\r\n".encode())), v.id)


def _key(key: bytes) -> Setting:
    return lambda w, v: (*w.tcp(redis_saying(key)), v.id)


for _name, _category, _app, _function, _setting in (
    (
        "redis-noperm",
        Category.AUTH,
        _REDIS,
        "mark",
        _r("NOPERM User songs has no permissions to run the 'sadd' command"),
    ),
    (
        "redis-clusterdown",
        Category.SERVER_ERROR,
        _REDIS,
        "mark",
        _r("CLUSTERDOWN The cluster is down"),
    ),
    (
        "redis-masterdown",
        Category.SERVER_ERROR,
        _REDIS,
        "mark",
        _r("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
    ),
    (
        "redis-oom",
        Category.RESOURCE,
        _REDIS,
        "mark",
        _r("OOM command not allowed when used memory > 'maxmemory'."),
    ),
    ("redis-clients", Category.RESOURCE, _REDIS, "mark", _r("ERR max number of clients reached")),
    (
        "redis-noscript",
        Category.NOT_FOUND,
        _REDIS,
        "run_script",
        _r("NOSCRIPT No matching script. Please use EVAL."),
    ),
    (
        "redis-closed",
        Category.NETWORK,
        _REDIS,
        "mark",
        lambda w, v: (*w.tcp(redis_saying(b"")), v.id),
    ),
    ("redis-refused", Category.NETWORK, _REDIS, "mark", lambda w, v: (*w.refused(v.port), v.id)),
    ("redis-pool", Category.RESOURCE, _REDIS, "crowded", _key(b"+OK\r\n")),
    (
        "redis-lock",
        Category.TIMEOUT,
        _REDIS,
        "locked",
        lambda w, v: (*w.tcp(redis_saying(b"$-1\r\n")), v.id, v.seconds),
    ),
):
    BOOK.cause(_name, _category, _app, _function, _setting)
