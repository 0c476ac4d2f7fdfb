"""PostgreSQL by asyncpg: conflicts of transactions, arguments, limits, cut connections."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book, Setting
from tests.corpus.variation import Variation
from tests.corpus.world import World

BOOK = Book("asyncpg2", error_type="general")

_ASYNCPG = App(
    "catalog/writer.py",
    """
    import asyncio
    import contextlib

    import asyncpg


    @contextlib.asynccontextmanager
    async def database(url, **options):
        link = await asyncpg.connect(url, timeout=2, **options)
        try:
            yield link
        finally:
            link.terminate()


    async def insert(url, *row):
        async with database(url) as db:
            await db.execute("INSERT INTO tracks VALUES ($1, $2, $3, $4, $5)", *row)


    async def rename(url, number, name):
        async with database(url) as db:
            await db.execute("UPDATE artists SET nick = $2 WHERE id = $1", number, name)


    async def command(url, number, seconds):
        async with database(url) as db:
            await db.fetch("SELECT pg_sleep(2), $1::int", number, timeout=seconds)


    async def swap(url, first, second):
        async with database(url) as one, database(url) as two:
            sql = "UPDATE plays SET count = count + 1 WHERE track_id = $1"
            async with one.transaction(), two.transaction():
                await one.execute("SET LOCAL deadlock_timeout = '20ms'")
                await two.execute("SET LOCAL deadlock_timeout = '5s'")
                await one.execute(sql, first)
                await two.execute(sql, second)
                waiting = asyncio.ensure_future(two.execute(sql, first))
                try:
                    await one.execute(sql, second)
                finally:
                    await asyncio.wait([waiting], timeout=0.3)


    async def count_play(url, number):
        async with database(url) as one, database(url) as two:
            async with one.transaction(isolation="serializable"):
                await one.fetch("SELECT count FROM plays WHERE track_id = $1", number)
                await two.execute("UPDATE plays SET count = count + 1 WHERE track_id = $1", number)
                await one.execute("UPDATE plays SET count = count + 1 WHERE track_id = $1", number)


    async def open_link(url):
        async with database(url) as db:
            return await db.fetchval("SELECT 1")


    async def cut_off(url, number):
        async with database(url) as db, database(url) as admin:
            await admin.execute("SELECT pg_terminate_backend($1)", db.get_server_pid())
            await asyncio.sleep(0.02)
            await db.fetch("SELECT $1::int", number)


    async def pooled(url, seconds):
        async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool:
            async with pool.acquire():
                async with pool.acquire(timeout=seconds):
                    pass


    async def as_reader(url, number):
        async with database(url) as db:
            await db.execute("SET ROLE reader")
            await db.execute("DELETE FROM artists WHERE id = $1", number)
    """,
)


def _row(**values: object) -> Setting:
    def setting(w: World, v: Variation) -> tuple[object, ...]:
        row = {"id": 5000 + v.number, "artist": 1, "isrc": v.id[:12], "title": v.title, "bpm": 99}
        return w.postgres.url(), *(row | values).values()

    return setting


def _pg(w: World, v: Variation) -> tuple[object, ...]:
    return w.postgres.url(), 1 + v.index


def _user(name: str) -> Setting:
    return lambda w, v: (w.postgres.url().replace("postgres@", f"{name}:{v.id[:8]}@"),)


for _name, _category, _app, _function, _setting in (
    ("asyncpg-too-long", Category.INVALID_DATA, _ASYNCPG, "insert", _row(isrc="GB-AYE-06-01498")),
    ("asyncpg-argument", Category.INVALID_DATA, _ASYNCPG, "insert", _row(artist="seven")),
    (
        "asyncpg-column",
        Category.BUG,
        _ASYNCPG,
        "rename",
        lambda w, v: (w.postgres.url(), v.number, v.artist),
    ),
    (
        "asyncpg-command-timeout",
        Category.TIMEOUT,
        _ASYNCPG,
        "command",
        lambda w, v: (w.postgres.url(), v.number, v.seconds),
    ),
    (
        "asyncpg-deadlock",
        Category.SERVER_ERROR,
        _ASYNCPG,
        "swap",
        lambda w, v: (w.postgres.url(), 10 + v.index, 20 + v.index),
    ),
    (
        "asyncpg-serialization",
        Category.SERVER_ERROR,
        _ASYNCPG,
        "count_play",
        lambda w, v: (w.postgres.url(), 30 + v.index),
    ),
    ("asyncpg-too-many", Category.RESOURCE, _ASYNCPG, "open_link", _user("few")),
    ("asyncpg-terminated", Category.NETWORK, _ASYNCPG, "cut_off", _pg),
    (
        "asyncpg-pool",
        Category.TIMEOUT,
        _ASYNCPG,
        "pooled",
        lambda w, v: (w.postgres.url(), v.seconds),
    ),
    ("asyncpg-permission", Category.AUTH, _ASYNCPG, "as_reader", _pg),
):
    BOOK.cause(_name, _category, _app, _function, _setting)
