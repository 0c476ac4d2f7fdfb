"""SQLAlchemy over psycopg: errors of the driver in its wrapping."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book, Setting

BOOK = Book("alchemy", error_type="general")

_ALCHEMY = App(
    "catalog/artists.py",
    """
    from sqlalchemy import Integer, String, create_engine, select, text
    from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


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


    def add_artist(url, number, name):
        made = session(url)
        try:
            made.add(Artist(id=number, name=name))
            made.commit()
        finally:
            close(made)


    def the_artist(url, name):
        made = session(url)
        try:
            return made.execute(select(Artist).where(Artist.name == name)).scalar_one()
        finally:
            close(made)


    def ping(url, number):
        made = session(url)
        try:
            return made.execute(text("SELECT 1"))
        finally:
            close(made)
    """,
)


def _refused(*more: object) -> Setting:
    return lambda w, v: ("postgresql://songs@{}:{}/songs".format(*w.refused(v.port)), *more)


for _name, _category, _app, _function, _setting in (
    (
        "alchemy-unique",
        Category.INVALID_DATA,
        _ALCHEMY,
        "add_artist",
        lambda w, v: (w.postgres.url(), 1 + v.index, v.artist),
    ),
    (
        "alchemy-no-row",
        Category.NOT_FOUND,
        _ALCHEMY,
        "the_artist",
        lambda w, v: (w.postgres.url(), v.digest),
    ),
    ("alchemy-refused", Category.NETWORK, _ALCHEMY, "ping", _refused(1)),
):
    BOOK.cause(_name, _category, _app, _function, _setting)
