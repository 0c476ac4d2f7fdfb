"""PostgreSQL by psycopg, its pool, asyncpg and SQLAlchemy; redis."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book, Setting
from tests.corpus.plans import redis_saying, saying
from tests.corpus.variation import Variation
from tests.corpus.world import World

BOOK = Book("databases", error_type="general")

_PSYCOPG = App(
    "databases/features.py",
    """
    import time

    import psycopg
    from psycopg_pool import ConnectionPool


    def run(url, statement, *values):
        with psycopg.connect(url, autocommit=True) as db:
            return db.execute(statement, values).fetchall()


    def keep_features(url, text):
        return run(url, "SELECT %s::jsonb", text)


    def rename(url, number, title):
        return run(url, "UPDATE tracks SET title = %s WHERE id = %s", title, number)


    def loud(url, number):
        told = f"play counts of track {number} may not shrink"
        return run(url, f"DO $$ BEGIN RAISE EXCEPTION '{told}'; END $$")


    def ranked(url, rows):
        with psycopg.connect(url) as db:
            db.execute("SET temp_file_limit = '64kB'")
            db.execute("SET work_mem = '64kB'")
            return db.execute(
                "SELECT n FROM generate_series(1, %s) n ORDER BY md5(n::text)", (rows,)
            ).fetchone()


    def dawdle(url, limit_ms, number):
        with psycopg.connect(url) as db:
            db.execute(f"SET idle_in_transaction_session_timeout = {limit_ms}")
            db.execute("SELECT count FROM plays WHERE track_id = %s", (number,))
            time.sleep(limit_ms / 1000 + 0.15)
            db.execute("UPDATE plays SET count = 1 WHERE track_id = %s", (number,))


    def on_standby(url, number):
        with psycopg.connect(url, options="-c default_transaction_read_only=on") as db:
            db.execute("UPDATE plays SET count = 1 WHERE track_id = %s", (number,))


    def go_on(url, number):
        with psycopg.connect(url) as db:
            try:
                db.execute("SELECT 1 / (%s - %s)", (number, number))
            except psycopg.Error:
                pass
            db.execute("SELECT count FROM plays WHERE track_id = %s", (number,))


    def partition(url, year):
        with psycopg.connect(url) as db:
            db.execute("CREATE TEMP TABLE charts (year int) PARTITION BY LIST (year)")
            db.execute("INSERT INTO charts VALUES (%s)", (year,))


    def drop_plays(url):
        with psycopg.connect(url) as db:
            db.execute("DROP TABLE plays")


    def stopped(url, number):
        with psycopg.connect(url) as db, psycopg.connect(url, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(%s, 2000)", (db.info.backend_pid,))
            db.execute("SELECT count FROM plays WHERE track_id = %s", (number,))


    def open_link(url, **options):
        with psycopg.connect(url, connect_timeout=2, **options) as db:
            return db.info.server_version


    def secured(url):
        return open_link(url, sslmode="require")


    def from_pool(url, seconds):
        with ConnectionPool(url, min_size=1, max_size=1, open=True) as pool:
            with pool.connection(), pool.connection(timeout=seconds) as db:
                return db.execute("SELECT 1")
    """,
)
_ASYNCPG = App(
    "databases/embeddings.py",
    """
    import asyncio

    import asyncpg


    async def fetch(url, statement, *values, **options):
        db = await asyncpg.connect(url, timeout=2, **options)
        try:
            return await db.fetch(statement, *values)
        finally:
            db.terminate()


    async def by_title(url, title):
        return await fetch(url, "SELECT id FROM tracks WHERE title = $1", title)


    async def secured(url):
        return await fetch(url, "SELECT 1", ssl="require")


    async def two_at_once(url, number):
        db = await asyncpg.connect(url, timeout=2)
        try:
            await asyncio.gather(
                db.fetch("SELECT pg_sleep(0.05), $1::int", number),
                db.fetch("SELECT $1::int", number),
            )
        finally:
            db.terminate()
    """,
)
_ALCHEMY = App(
    "databases/releases.py",
    """
    import contextlib

    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import IntegrityError
    from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


    class Base(DeclarativeBase):
        pass


    class Artist(Base):
        __tablename__ = "artists"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]


    @contextlib.contextmanager
    def database(url):
        engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        try:
            yield engine
        finally:
            engine.dispose()


    def set_isrc(url, number, isrc):
        with database(url) as engine, engine.begin() as link:
            link.execute(text("UPDATE tracks SET isrc = :isrc WHERE id = :id"),
                         {"id": number, "isrc": isrc})


    def add_anyway(url, number, name):
        with database(url) as engine, Session(engine) as session:
            try:
                session.add(Artist(id=1, name=name))
                session.flush()
            except IntegrityError:
                session.add(Artist(id=number, name=name))
            return session.get(Artist, number)
    """,
)
_REDIS = App(
    "databases/features_cache.py",
    """
    import redis
    import redis.asyncio.retry
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    OPTIONS = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0, "protocol": 2}


    def client(host, port, **options):
        return redis.Redis(
            host=host, port=port, retry=Retry(NoBackoff(), 0), **(OPTIONS | options)
        )


    def remember(host, port, key, **options):
        with client(host, port, **options) as cache:
            cache.set(f"features:{key}", "{}", ex=60)


    def connect(host, port, key, seconds):
        remember(host, port, key, socket_connect_timeout=seconds)


    def secured(host, port, key):
        remember(host, port, key, ssl=True)


    def document(host, port, key):
        with client(host, port) as cache:
            return cache.execute_command("JSON.GET", f"features:{key}")


    def swap(host, port, key):
        with client(host, port) as cache, cache.pipeline() as pipe:
            pipe.watch(f"features:{key}")
            pipe.multi()
            pipe.set(f"features:{key}", "{}")
            return pipe.execute()


    async def pushed(host, port, key):
        tries = redis.asyncio.retry.Retry(NoBackoff(), 0)
        async with redis.asyncio.Redis(host=host, port=port, retry=tries, **OPTIONS) as cache:
            await cache.lpush("recent", key)
    """,
)


def _pg(*more: object) -> Setting:
    return lambda w, v: (w.postgres.url(), *more)


def _numbered(w: World, v: Variation) -> tuple[object, ...]:
    return w.postgres.url(), 1 + v.index


def _as(role: str) -> Setting:
    return lambda w, v: (w.postgres.url().replace("postgres@", f"{role}@"),)


def _redis(*answers: str) -> Setting:
    given = [f"{answer}\r\n".encode() for answer in answers]
    return lambda w, v: (*w.tcp(redis_saying(*given)), v.id)


for _name, _category, _app, _function, _setting in (
    (
        "json-text",
        Category.INVALID_DATA,
        _PSYCOPG,
        "keep_features",
        lambda w, v: (w.postgres.url(), f"{{tempo: {v.number}}}"),
    ),
    (
        "nul-in-title",
        Category.INVALID_DATA,
        _PSYCOPG,
        "rename",
        lambda w, v: (w.postgres.url(), 1 + v.index, f"{v.title}\0"),
    ),
    ("trigger", Category.INVALID_DATA, _PSYCOPG, "loud", _numbered),
    (
        "temp-files",
        Category.RESOURCE,
        _PSYCOPG,
        "ranked",
        lambda w, v: (w.postgres.url(), 60_000 + v.number % 1000),
    ),
    (
        "idle-in-transaction",
        Category.TIMEOUT,
        _PSYCOPG,
        "dawdle",
        lambda w, v: (w.postgres.url(), 20 + v.index, 1 + v.index),
    ),
    ("standby", Category.SERVER_ERROR, _PSYCOPG, "on_standby", _numbered),
    ("aborted-transaction", Category.BUG, _PSYCOPG, "go_on", _numbered),
    (
        "no-partition",
        Category.INVALID_DATA,
        _PSYCOPG,
        "partition",
        lambda w, v: (w.postgres.url(), 1950 + v.index),
    ),
    ("not-owner", Category.AUTH, _PSYCOPG, "drop_plays", _as("reader")),
    ("stopped-by-admin", Category.SERVER_ERROR, _PSYCOPG, "stopped", _numbered),
    ("no-tls", Category.NETWORK, _PSYCOPG, "secured", _pg()),
    (
        "pg-unknown-host",
        Category.NETWORK,
        _PSYCOPG,
        "open_link",
        lambda w, v: (f"postgresql://songs@db-{v.number}.songs.invalid/songs",),
    ),
    (
        "psycopg-pool",
        Category.TIMEOUT,
        _PSYCOPG,
        "from_pool",
        lambda w, v: (w.postgres.url(), v.seconds),
    ),
    (
        "surrogate",
        Category.INVALID_DATA,
        _ASYNCPG,
        "by_title",
        lambda w, v: (w.postgres.url(), f"{v.id}\udce9"),
    ),
    ("asyncpg-no-tls", Category.NETWORK, _ASYNCPG, "secured", _pg()),
    ("asyncpg-two", Category.BUG, _ASYNCPG, "two_at_once", _numbered),
    (
        "asyncpg-no-database",
        Category.NOT_FOUND,
        _ASYNCPG,
        "by_title",
        lambda w, v: (w.postgres.url(f"songs_{v.number}"), v.title),
    ),
    (
        "alchemy-too-long",
        Category.INVALID_DATA,
        _ALCHEMY,
        "set_isrc",
        lambda w, v: (w.postgres.url(), 1 + v.index, v.uuid),
    ),
    (
        "pending-rollback",
        Category.BUG,
        _ALCHEMY,
        "add_anyway",
        lambda w, v: (w.postgres.url(), 90_000 + v.number, v.artist),
    ),
    (
        "redis-misconf",
        Category.SERVER_ERROR,
        _REDIS,
        "remember",
        _redis(
            "-MISCONF Redis is configured to save RDB snapshots, but it's currently unable to "
            "persist to disk. Commands that may modify the data set are disabled"
        ),
    ),
    (
        "redis-noreplicas",
        Category.SERVER_ERROR,
        _REDIS,
        "remember",
        _redis("-NOREPLICAS Not enough good replicas to write."),
    ),
    (
        "redis-busy",
        Category.SERVER_ERROR,
        _REDIS,
        "remember",
        _redis(
            "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or "
            "SHUTDOWN NOSAVE."
        ),
    ),
    ("redis-syntax", Category.BUG, _REDIS, "remember", _redis("-ERR syntax error")),
    (
        "redis-no-json",
        Category.BUG,
        _REDIS,
        "document",
        lambda w, v: (
            *w.tcp(
                redis_saying(
                    f"-ERR unknown command 'JSON.GET', with args beginning with: "
                    f"'features:{v.id}'\r\n".encode()
                )
            ),
            v.id,
        ),
    ),
    (
        "redis-watched",
        Category.SERVER_ERROR,
        _REDIS,
        "swap",
        _redis("+OK", "+OK", "+QUEUED", "*-1", "+OK"),
    ),
    (
        "redis-arguments",
        Category.BUG,
        _REDIS,
        "swap",
        _redis(
            "+OK",
            "+OK",
            "-ERR wrong number of arguments for 'set' command",
            "-EXECABORT Transaction discarded because of previous errors.",
            "+OK",
        ),
    ),
    (
        "redis-connect-timeout",
        Category.TIMEOUT,
        _REDIS,
        "connect",
        lambda w, v: (*w.unanswered(), v.id, v.seconds),
    ),
    (
        "redis-unknown-host",
        Category.NETWORK,
        _REDIS,
        "remember",
        lambda w, v: (f"cache-{v.number}.songs.invalid", 6379, v.id),
    ),
    (
        "redis-no-tls",
        Category.NETWORK,
        _REDIS,
        "secured",
        lambda w, v: (*w.tcp(saying(b"-ERR Protocol error\r\n")), v.id),
    ),
    (
        "redis-async-closed",
        Category.NETWORK,
        _REDIS,
        "pushed",
        lambda w, v: (*w.tcp(redis_saying(b"")), v.id),
    ),
):
    BOOK.cause(_name, _category, _app, _function, _setting)
