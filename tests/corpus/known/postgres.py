"""PostgreSQL by psycopg: constraints, locks, time limits, passwords, and rows that are gone."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book
from tests.corpus.variation import Variation
from tests.corpus.world import World

BOOK = Book("postgres", error_type="general")

_APP = App(
    "store/tracks.py",
    """
    import psycopg


    class NoSuchTrack(LookupError):
        pass


    def save_track(url, number, artist_id, isrc, title, bpm=120):
        with psycopg.connect(url) as db:
            db.execute(
                "INSERT INTO tracks VALUES (%s, %s, %s, %s, %s)",
                (number, artist_id, isrc, title, bpm),
            )


    def track(url, number):
        with psycopg.connect(url) as db:
            row = db.execute("SELECT title FROM tracks WHERE id = %s", (number,)).fetchone()
        if row is None:
            raise NoSuchTrack(f"no such track in the catalogue: {number}")
        return row[0]


    def slow_report(url, number, limit_ms):
        with psycopg.connect(url, options=f"-c statement_timeout={limit_ms}") as db:
            return db.execute("SELECT pg_sleep(2), %s::int", (number,)).fetchall()


    def lock_track(url, number, limit_ms):
        with psycopg.connect(url) as holder, psycopg.connect(url) as db:
            holder.execute("SELECT 1 FROM plays WHERE track_id = %s FOR UPDATE", (number,))
            db.execute(f"SET lock_timeout = {limit_ms}")
            db.execute("UPDATE plays SET count = count + 1 WHERE track_id = %s", (number,))


    def connect(url):
        return psycopg.connect(url, connect_timeout=2)


    def trending(url, number):
        with psycopg.connect(url) as db:
            return db.execute("SELECT * FROM trending_tracks WHERE rank < %s", (number,)).fetchall()


    def forget_artists(url, number):
        with psycopg.connect(url) as db:
            db.execute("SET ROLE reader")
            db.execute("DELETE FROM artists WHERE id = %s", (number,))
    """,
)


def _as_user(user: str, password: str) -> str:
    return f"{user}:{password}@" if password else f"{user}@"


def _row(v: Variation, **values: object) -> tuple[object, ...]:
    row = {"number": 1000 + v.number, "artist": 1 + v.index, "isrc": v.id[:12], "title": v.title}
    return tuple((row | values).values())


BOOK.cause(
    "unique",
    Category.INVALID_DATA,
    _APP,
    "save_track",
    lambda w, v: (w.postgres.url(), *_row(v, number=1 + v.index)),
)
BOOK.cause(
    "foreign-key",
    Category.INVALID_DATA,
    _APP,
    "save_track",
    lambda w, v: (w.postgres.url(), *_row(v, artist=900_000 + v.number)),
)
BOOK.cause(
    "not-null",
    Category.INVALID_DATA,
    _APP,
    "save_track",
    lambda w, v: (w.postgres.url(), *_row(v, title=None)),
)
BOOK.cause(
    "no-row",
    Category.NOT_FOUND,
    _APP,
    "track",
    lambda w, v: (w.postgres.url(), 900_000 + v.number),
)
BOOK.cause(
    "statement-timeout",
    Category.TIMEOUT,
    _APP,
    "slow_report",
    lambda w, v: (w.postgres.url(), v.number, int(v.seconds * 1000)),
)
BOOK.cause(
    "lock-timeout",
    Category.TIMEOUT,
    _APP,
    "lock_track",
    lambda w, v: (w.postgres.url(), 1 + v.index, int(v.seconds * 1000)),
)


def _wrong_password(w: World, v: Variation) -> tuple[str]:
    return (w.postgres.url().replace("postgres@", _as_user("locked", v.digest[:8])),)


BOOK.cause("wrong-password", Category.AUTH, _APP, "connect", _wrong_password)
BOOK.cause(
    "refused",
    Category.NETWORK,
    _APP,
    "connect",
    lambda w, v: ("postgresql://songs@{}:{}/songs".format(*w.refused(v.port)),),
)
BOOK.cause(
    "undefined-table",
    Category.BUG,
    _APP,
    "trending",
    lambda w, v: (w.postgres.url(), v.number),
)
BOOK.cause(
    "permission",
    Category.AUTH,
    _APP,
    "forget_artists",
    lambda w, v: (w.postgres.url(), 1 + v.index),
)
