"""sqlite3: constraints and locks."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book

BOOK = Book("sqlite", error_type="general")

_SQLITE = App(
    "catalog/seen.py",
    """
    import contextlib
    import sqlite3


    @contextlib.contextmanager
    def database(path, **options):
        with contextlib.closing(sqlite3.connect(path, **options)) as db:
            db.execute("CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY, title TEXT NOT NULL)")
            db.commit()
            yield db


    def see(path, key, title):
        with database(path) as db:
            db.execute("INSERT INTO seen VALUES (?, ?)", (key, title))
            db.execute("INSERT INTO seen VALUES (?, ?)", (key, title))


    def see_locked(path, key, seconds):
        with database(path) as holder, database(path, timeout=seconds) as db:
            holder.execute("BEGIN EXCLUSIVE")
            db.execute("INSERT INTO seen VALUES (?, 'x')", (key,))
    """,
)


for _name, _category, _app, _function, _setting in (
    (
        "sqlite-unique",
        Category.INVALID_DATA,
        _SQLITE,
        "see",
        lambda w, v: (w.file("seen.db"), v.id, v.title),
    ),
    (
        "sqlite-locked",
        Category.TIMEOUT,
        _SQLITE,
        "see_locked",
        lambda w, v: (w.file("seen.db"), v.id, v.seconds),
    ),
):
    BOOK.cause(_name, _category, _app, _function, _setting)
