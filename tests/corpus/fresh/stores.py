"""PostgreSQL, SQLite, redis and RabbitMQ: other statements, other refusals."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book, Setting
from tests.corpus.plans import closing_at_once, redis_saying, silent

BOOK = Book("stores", error_type="general")

_PSYCOPG = App(
    "stores/royalties.py",
    """
    import psycopg


    def run(url, statement, *values):
        with psycopg.connect(url, autocommit=True) as db:
            return db.execute(statement, values).fetchall()


    def isrc(url, number, code):
        return run(url, "UPDATE tracks SET isrc = %s WHERE id = %s", code, number)


    def by_id(url, text):
        return run(url, "SELECT title FROM tracks WHERE id = %s::text::bigint", text)


    def shares(url, number):
        return run(url, "SELECT share FROM tracks WHERE id = %s", number)


    def ranked(url, number):
        return run(url, "SELECT title FROM tracks ORDER BY LIMIT %s", number)


    def soundex(url, name):
        return run(url, "SELECT id FROM artists WHERE soundex2(name) = %s", name)


    def keep(url, value):
        return run(url, "SELECT %s", value)


    def copy_plays(url, rows):
        with psycopg.connect(url) as db, db.cursor() as cursor:
            with cursor.copy("COPY plays (track_id, count) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)


    def count_twice(url, number):
        with psycopg.connect(url) as one, psycopg.connect(url) as other:
            for db in (one, other):
                db.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                db.execute("SELECT count FROM plays WHERE track_id = %s", (number,))
            one.execute("UPDATE plays SET count = count + 1 WHERE track_id = %s", (number,))
            one.commit()
            other.execute("UPDATE plays SET count = count + 1 WHERE track_id = %s", (number,))


    def claim(url, number):
        with psycopg.connect(url) as holder, psycopg.connect(url) as db:
            holder.execute("SELECT 1 FROM plays WHERE track_id = %s FOR UPDATE", (number,))
            db.execute("SELECT 1 FROM plays WHERE track_id = %s FOR UPDATE NOWAIT", (number,))


    def open_link(url):
        with psycopg.connect(url, connect_timeout=2) as db:
            return db.info.server_version
    """,
)
_ASYNCPG = App(
    "stores/listeners.py",
    """
    import asyncpg


    async def fetch(url, statement, *values, timeout=2.0):
        db = await asyncpg.connect(url, timeout=timeout)
        try:
            return await db.fetch(statement, *values)
        finally:
            db.terminate()


    async def add_all(url, rows):
        db = await asyncpg.connect(url, timeout=2)
        try:
            await db.executemany("INSERT INTO artists VALUES ($1, $2)", rows)
        finally:
            db.terminate()


    async def secret(url, number):
        return await fetch(url, "SELECT * FROM artists WHERE id > $1", number)


    async def reached(url, seconds):
        return await fetch(url, "SELECT 1", timeout=seconds)


    async def pooled(url, seconds):
        pool = await asyncpg.create_pool(url, min_size=1, max_size=1)
        try:
            async with pool.acquire(), pool.acquire(timeout=seconds) as db:
                return await db.fetch("SELECT 1")
        finally:
            pool.terminate()
    """,
)
_ALCHEMY = App(
    "stores/catalogue.py",
    """
    import contextlib

    from sqlalchemy import create_engine, text
    from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


    class Base(DeclarativeBase):
        pass


    class Track(Base):
        __tablename__ = "tracks"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str]


    @contextlib.contextmanager
    def database(url, **options):
        engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"), **options)
        try:
            yield engine
        finally:
            engine.dispose()


    def add_track(url, number, artist, title):
        with database(url) as engine, engine.begin() as link:
            link.execute(
                text("INSERT INTO tracks (id, artist_id, title) VALUES (:id, :artist, :title)"),
                {"id": number, "artist": artist, "title": title},
            )


    def forget(url, number):
        with database(url) as engine, engine.begin() as link:
            link.execute(text("DELETE FROM tracks WHERE id = :id AND title = :title"),
                         {"id": number})


    def the_track(url, number):
        with database(url) as engine, Session(engine) as session:
            return session.get_one(Track, number).title


    def exhausted(url, seconds):
        options = {"pool_size": 1, "max_overflow": 0, "pool_timeout": seconds}
        with database(url, **options) as engine, engine.connect(), engine.connect() as link:
            return link.execute(text("SELECT 1"))


    def slow(url, limit_ms, number):
        options = {"connect_args": {"options": f"-c statement_timeout={limit_ms}"}}
        with database(url, **options) as engine, engine.connect() as link:
            return link.execute(text("SELECT pg_sleep(2), :n"), {"n": number})
    """,
)
_SQLITE = App(
    "stores/local_index.py",
    """
    import contextlib
    import sqlite3


    def query(path, statement, values):
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE IF NOT EXISTS keys (id TEXT PRIMARY KEY, at INT NOT NULL)")
            return db.execute(statement, values).fetchall()


    def add(path, key, at):
        return query(path, "INSERT INTO keys VALUES (?, ?)", (key, at))


    def newest(path, key):
        return query(path, "SELECT id FROM key_index WHERE id > ?", (key,))


    def between(path, low, high):
        return query(path, "SELECT id FROM keys WHERE id > ? AND id < ?", (low, high, 10))


    def after_close(path, key):
        db = sqlite3.connect(path)
        db.close()
        return db.execute("SELECT ?", (key,))
    """,
)
_REDIS = App(
    "stores/sessions.py",
    """
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    OPTIONS = {"socket_timeout": 1.0, "protocol": 2, "retry": Retry(NoBackoff(), 0)}


    def client(host, port, **options):
        return redis.Redis(host=host, port=port, **(OPTIONS | options))


    def push(host, port, key, value):
        with client(host, port) as store:
            store.rpush(f"recent:{key}", value)


    def counted(host, port, key):
        with client(host, port) as store:
            return store.hincrby("sessions", key, 1)


    def batch(host, port, keys):
        with client(host, port) as store, store.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.get(key)
            return pipe.execute()


    def from_pool(host, port, key):
        pool = redis.ConnectionPool(host=host, port=port, max_connections=1, **OPTIONS)
        try:
            pool.get_connection()
            return redis.Redis(connection_pool=pool).get(key)
        finally:
            pool.disconnect()


    def waiting_for_pool(host, port, key, seconds):
        pool = redis.BlockingConnectionPool(
            host=host, port=port, max_connections=1, timeout=seconds, **OPTIONS
        )
        try:
            pool.get_connection()
            return redis.Redis(connection_pool=pool).get(key)
        finally:
            pool.disconnect()


    def follow(host, port, key, seconds):
        with client(host, port, socket_timeout=seconds) as store:
            return store.blpop([f"jobs:{key}"])
    """,
)
_PIKA = App(
    "stores/events.py",
    """
    import pika


    def link(url, **options):
        parameters = pika.URLParameters(url)
        parameters.socket_timeout = 2
        for name, value in options.items():
            setattr(parameters, name, value)
        return pika.BlockingConnection(parameters)


    def emit(url, exchange, body):
        with link(url) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.basic_publish(exchange, "track", body)


    def fetch(url, queue):
        with link(url) as connection:
            return connection.channel().basic_get(queue)


    def declare(url, exchange, kind):
        with link(url) as connection:
            connection.channel().exchange_declare(exchange, kind)


    def fill(url, queue, body):
        with link(url) as connection:
            channel = connection.channel()
            limits = {"x-max-length": 1, "x-overflow": "reject-publish"}
            channel.queue_declare(queue, auto_delete=True, arguments=limits)
            channel.confirm_delivery()
            for _ in range(20):
                channel.basic_publish("", queue, body)


    def handshake(url, seconds):
        with link(url, stack_timeout=seconds) as connection:
            return connection.channel()
    """,
)


def _user(name: str) -> Setting:
    return lambda w, v: (w.postgres.url().replace("postgres@", f"{name}:{v.id[:8]}@"),)


def _r(answer: str, *more: object) -> Setting:
    return lambda w, v: (*w.tcp(redis_saying(f"-{answer}\r\n".encode())), v.id, *more)


for _name, _category, _app, _function, _setting in (
    (
        "isrc-too-long",
        Category.INVALID_DATA,
        _PSYCOPG,
        "isrc",
        lambda w, v: (w.postgres.url(), 1 + v.index, v.uuid),
    ),
    (
        "id-no-number",
        Category.INVALID_DATA,
        _PSYCOPG,
        "by_id",
        lambda w, v: (w.postgres.url(), v.id),
    ),
    (
        "no-column",
        Category.BUG,
        _PSYCOPG,
        "shares",
        lambda w, v: (w.postgres.url(), v.number),
    ),
    (
        "sql-syntax",
        Category.BUG,
        _PSYCOPG,
        "ranked",
        lambda w, v: (w.postgres.url(), v.number),
    ),
    (
        "no-function",
        Category.BUG,
        _PSYCOPG,
        "soundex",
        lambda w, v: (w.postgres.url(), v.artist),
    ),
    (
        "no-adapter",
        Category.BUG,
        _PSYCOPG,
        "keep",
        lambda w, v: (w.postgres.url(), {"id": v.id}),
    ),
    (
        "copy-not-null",
        Category.INVALID_DATA,
        _PSYCOPG,
        "copy_plays",
        lambda w, v: (w.postgres.url(), [(7000 + v.number, 1), (8_000_000 + v.number, None)]),
    ),
    (
        "serialization",
        Category.SERVER_ERROR,
        _PSYCOPG,
        "count_twice",
        lambda w, v: (w.postgres.url(), 1 + v.index),
    ),
    (
        "nowait",
        Category.TIMEOUT,
        _PSYCOPG,
        "claim",
        lambda w, v: (w.postgres.url(), 1 + v.index),
    ),
    ("role-full", Category.RESOURCE, _PSYCOPG, "open_link", _user("few")),
    (
        "no-database",
        Category.NOT_FOUND,
        _PSYCOPG,
        "open_link",
        lambda w, v: (w.postgres.url(f"songs_{v.number}"),),
    ),
    (
        "asyncpg-null",
        Category.INVALID_DATA,
        _ASYNCPG,
        "add_all",
        lambda w, v: (w.postgres.url(), [(90_000 + v.number, None)]),
    ),
    (
        "asyncpg-denied",
        Category.AUTH,
        _ASYNCPG,
        "secret",
        lambda w, v: (w.postgres.url().replace("postgres@", "reader@"), v.number),
    ),
    (
        "asyncpg-silent",
        Category.TIMEOUT,
        _ASYNCPG,
        "reached",
        lambda w, v: ("postgresql://songs@{}:{}/songs".format(*w.tcp(silent)), v.seconds),
    ),
    (
        "asyncpg-dropped",
        Category.NETWORK,
        _ASYNCPG,
        "reached",
        lambda w, v: ("postgresql://songs@{}:{}/songs".format(*w.tcp(closing_at_once)), 2),
    ),
    (
        "asyncpg-pool",
        Category.TIMEOUT,
        _ASYNCPG,
        "pooled",
        lambda w, v: (w.postgres.url(), v.seconds),
    ),
    (
        "core-foreign-key",
        Category.INVALID_DATA,
        _ALCHEMY,
        "add_track",
        lambda w, v: (w.postgres.url(), 20_000 + v.number, 800_000 + v.number, v.title),
    ),
    (
        "core-missing-bind",
        Category.BUG,
        _ALCHEMY,
        "forget",
        lambda w, v: (w.postgres.url(), v.number),
    ),
    (
        "orm-no-row",
        Category.NOT_FOUND,
        _ALCHEMY,
        "the_track",
        lambda w, v: (w.postgres.url(), 700_000 + v.number),
    ),
    (
        "core-pool",
        Category.TIMEOUT,
        _ALCHEMY,
        "exhausted",
        lambda w, v: (w.postgres.url(), v.seconds),
    ),
    (
        "core-slow",
        Category.TIMEOUT,
        _ALCHEMY,
        "slow",
        lambda w, v: (w.postgres.url(), int(v.seconds * 1000), v.number),
    ),
    (
        "core-password",
        Category.AUTH,
        _ALCHEMY,
        "the_track",
        lambda w, v: (w.postgres.url().replace("postgres@", f"locked:{v.id[:8]}@"), v.number),
    ),
    (
        "sqlite-null",
        Category.INVALID_DATA,
        _SQLITE,
        "add",
        lambda w, v: (w.file("index.db"), v.id, None),
    ),
    (
        "sqlite-no-table",
        Category.BUG,
        _SQLITE,
        "newest",
        lambda w, v: (w.file("index.db"), v.id),
    ),
    (
        "sqlite-too-many-values",
        Category.BUG,
        _SQLITE,
        "between",
        lambda w, v: (w.file("index.db"), v.id, v.uuid),
    ),
    (
        "sqlite-closed",
        Category.BUG,
        _SQLITE,
        "after_close",
        lambda w, v: (w.file("index.db"), v.id),
    ),
    (
        "sqlite-no-folder",
        Category.NOT_FOUND,
        _SQLITE,
        "add",
        lambda w, v: (w.folder / v.digest / "index.db", v.id, v.number),
    ),
    (
        "sqlite-no-sqlite",
        Category.INVALID_DATA,
        _SQLITE,
        "add",
        lambda w, v: (w.file("index.db", v.digest * 40), v.id, v.number),
    ),
    (
        "redis-cluster-down",
        Category.SERVER_ERROR,
        _REDIS,
        "push",
        _r("CLUSTERDOWN The cluster is down", "x"),
    ),
    (
        "redis-no-perm",
        Category.AUTH,
        _REDIS,
        "counted",
        _r("NOPERM User songs has no permissions to run the 'hincrby' command"),
    ),
    (
        "redis-no-integer",
        Category.INVALID_DATA,
        _REDIS,
        "counted",
        _r("ERR hash value is not an integer"),
    ),
    (
        "redis-dictionary",
        Category.BUG,
        _REDIS,
        "push",
        lambda w, v: (*w.tcp(redis_saying(b":1\r\n")), v.id, {"title": v.title}),
    ),
    (
        "redis-batch-loading",
        Category.SERVER_ERROR,
        _REDIS,
        "batch",
        lambda w, v: (
            *w.tcp(redis_saying(b"-LOADING Redis is loading the dataset in memory\r\n")),
            [v.id, v.uuid],
        ),
    ),
    (
        "redis-pool-spent",
        Category.RESOURCE,
        _REDIS,
        "from_pool",
        lambda w, v: (*w.tcp(redis_saying(b"+OK\r\n")), v.id),
    ),
    (
        "redis-pool-wait",
        Category.TIMEOUT,
        _REDIS,
        "waiting_for_pool",
        lambda w, v: (*w.tcp(redis_saying(b"+OK\r\n")), v.id, v.seconds),
    ),
    (
        "redis-unanswered",
        Category.TIMEOUT,
        _REDIS,
        "follow",
        lambda w, v: (*w.tcp(silent), v.id, v.seconds),
    ),
    (
        "no-exchange",
        Category.NOT_FOUND,
        _PIKA,
        "emit",
        lambda w, v: (w.vhost(), f"events.{v.id}", v.title.encode()),
    ),
    (
        "no-queue-to-get",
        Category.NOT_FOUND,
        _PIKA,
        "fetch",
        lambda w, v: (w.vhost(), f"events.{v.id}"),
    ),
    (
        "exchange-kind",
        Category.BUG,
        _PIKA,
        "declare",
        lambda w, v: (w.vhost(), f"events.{v.id}", "fanoutt"),
    ),
    (
        "queue-full",
        Category.RESOURCE,
        _PIKA,
        "fill",
        lambda w, v: (w.vhost(), f"full.{v.id}", v.title.encode()),
    ),
    (
        "handshake-silent",
        Category.TIMEOUT,
        _PIKA,
        "handshake",
        lambda w, v: ("amqp://{}:{}/%2F".format(*w.tcp(silent)), 0.2 + v.seconds),
    ),
):
    BOOK.cause(_name, _category, _app, _function, _setting)
