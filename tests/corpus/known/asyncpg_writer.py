"""PostgreSQL by asyncpg: constraints, time limits, passwords."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book, Setting
from tests.corpus.variation import Variation
from tests.corpus.world import World

BOOK = Book("asyncpg", error_type="general")

_ASYNCPG = App(
    "catalog/tracks.py",
    """
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


    async def report(url, number, seconds):
        limit = {"statement_timeout": f"{seconds * 1000:.0f}"}
        async with database(url, server_settings=limit) as db:
            await db.fetch("SELECT pg_sleep(2), $1::int", number)


    async def open_link(url):
        async with database(url) as db:
            return await db.fetchval("SELECT 1")
    """,
)


def _row(**values: object) -> Setting:
    def setting(w: World, v: Variation) -> tuple[object, ...]:
        row = {"id": 5000 + v.number, "artist": 1, "isrc": v.id[:12], "title": v.title, "bpm": 99}
        return w.postgres.url(), *(row | values).values()

    return setting


def _user(name: str) -> Setting:
    return lambda w, v: (w.postgres.url().replace("postgres@", f"{name}:{v.id[:8]}@"),)


def _refused(*more: object) -> Setting:
    return lambda w, v: ("postgresql://songs@{}:{}/songs".format(*w.refused(v.port)), *more)


for _name, _category, _app, _function, _setting in (
    ("asyncpg-unique", Category.INVALID_DATA, _ASYNCPG, "insert", _row(isrc="ISRC7")),
    ("asyncpg-check", Category.INVALID_DATA, _ASYNCPG, "insert", _row(bpm=-3)),
    ("asyncpg-range", Category.INVALID_DATA, _ASYNCPG, "insert", _row(bpm=123456)),
    (
        "asyncpg-statement-timeout",
        Category.TIMEOUT,
        _ASYNCPG,
        "report",
        lambda w, v: (w.postgres.url(), v.number, v.seconds),
    ),
    ("asyncpg-password", Category.AUTH, _ASYNCPG, "open_link", _user("locked")),
    ("asyncpg-refused", Category.NETWORK, _ASYNCPG, "open_link", _refused()),
):
    BOOK.cause(_name, _category, _app, _function, _setting)
