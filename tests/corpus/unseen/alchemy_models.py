"""SQLAlchemy over psycopg: sessions, pools, statements, results."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book
from tests.corpus.variation import Variation
from tests.corpus.world import World

BOOK = Book("alchemy2", error_type="general")

_ALCHEMY = App(
    "catalog/models.py",
    """
    from sqlalchemy import Integer, String, create_engine, select, text
    from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
    from sqlalchemy.pool import QueuePool


    class Base(DeclarativeBase):
        pass


    class Artist(Base):
        __tablename__ = "artists"
        id: Mapped[int] = mapped_column(Integer, primary_key=True)
        name: Mapped[str] = mapped_column(String)


    def session(url, **options):
        engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"), **options)
        made = Session(engine)
        made.info["engine"] = engine
        return made


    def close(made):
        made.close()
        made.info["engine"].dispose()


    def any_artist(url, number):
        made = session(url)
        try:
            return made.scalars(select(Artist).where(Artist.id < number)).one()
        finally:
            close(made)


    def typo(url, number):
        made = session(url)
        try:
            sql = text("SELECT nam FROM artists WHERE id = :id")
            return made.execute(sql, {"id": number}).all()
        finally:
            close(made)


    def forgot(url, number):
        made = session(url)
        try:
            sql = text("SELECT name FROM artists WHERE id = :id")
            return made.execute(sql, {"i": number}).all()
        finally:
            close(made)


    def exhausted(url, seconds):
        engine = create_engine(
            url.replace("postgresql:", "postgresql+psycopg:"),
            poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=seconds,
        )
        try:
            with engine.connect(), engine.connect():
                pass
        finally:
            engine.dispose()


    def detached(url, number):
        made = session(url)
        try:
            artist = made.get(Artist, number)
            made.commit()
        finally:
            close(made)
        return artist.name


    def locked_row(url, number, limit_ms):
        holder, made = session(url), session(url)
        sql = text("UPDATE plays SET count = 0 WHERE track_id = :id")
        try:
            holder.execute(sql, {"id": number})
            made.execute(text(f"SET lock_timeout = {limit_ms}"))
            made.execute(sql, {"id": number})
        finally:
            close(holder)
            close(made)
    """,
)


def _pg(w: World, v: Variation) -> tuple[object, ...]:
    return w.postgres.url(), 1 + v.index


for _name, _category, _app, _function, _setting in (
    (
        "alchemy-many-rows",
        Category.INVALID_DATA,
        _ALCHEMY,
        "any_artist",
        lambda w, v: (w.postgres.url(), 10 + v.index),
    ),
    ("alchemy-column", Category.BUG, _ALCHEMY, "typo", _pg),
    ("alchemy-parameter", Category.BUG, _ALCHEMY, "forgot", _pg),
    (
        "alchemy-pool",
        Category.TIMEOUT,
        _ALCHEMY,
        "exhausted",
        lambda w, v: (w.postgres.url(), v.seconds),
    ),
    ("alchemy-detached", Category.BUG, _ALCHEMY, "detached", _pg),
    (
        "alchemy-lock",
        Category.TIMEOUT,
        _ALCHEMY,
        "locked_row",
        lambda w, v: (w.postgres.url(), 40 + v.index, int(v.seconds * 1000)),
    ),
):
    BOOK.cause(_name, _category, _app, _function, _setting)
