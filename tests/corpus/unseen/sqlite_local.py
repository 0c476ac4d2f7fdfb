"""sqlite3: files that are none, limits, statements."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book
from tests.corpus.variation import Variation
from tests.corpus.world import World

BOOK = Book("sqlite2", error_type="general")

_SQLITE = App(
    "catalog/local.py",
    """
    import contextlib
    import sqlite3


    @contextlib.contextmanager
    def database(path, **options):
        with contextlib.closing(sqlite3.connect(path, **options)) as db:
            db.execute("CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY, title TEXT NOT NULL)")
            db.commit()
            yield db


    def see_untitled(path, key):
        with database(path) as db:
            db.execute("INSERT INTO seen VALUES (?, ?)", (key, None))


    def open_copy(path):
        with database(path) as db:
            return db.execute("SELECT count(*) FROM seen").fetchone()


    def fill(path, key):
        with database(path) as db:
            db.execute("PRAGMA max_page_count = 5")
            db.execute("INSERT INTO seen VALUES (?, ?)", (key, "x" * 100_000))


    def see_short(path, key):
        with database(path) as db:
            db.execute("INSERT INTO seen VALUES (?, ?)", (key,))


    def after_close(path, key):
        with database(path) as db:
            pass
        db.execute("SELECT * FROM seen WHERE id = ?", (key,))


    def misspelt(path, key):
        with database(path) as db:
            db.execute("SELEC * FROM seen WHERE id = ?", (key,))


    def odd_value(path, key):
        with database(path) as db:
            db.execute("INSERT INTO seen VALUES (?, ?)", (key, {"title": key}))
    """,
)


def _db(w: World, v: Variation) -> tuple[object, ...]:
    return w.file("seen.db"), v.id


for _name, _category, _app, _function, _setting in (
    ("sqlite-not-null", Category.INVALID_DATA, _SQLITE, "see_untitled", _db),
    (
        "sqlite-no-database",
        Category.INVALID_DATA,
        _SQLITE,
        "open_copy",
        lambda w, v: (w.file("copy.db", v.digest * 30),),
    ),
    ("sqlite-full", Category.RESOURCE, _SQLITE, "fill", _db),
    ("sqlite-bindings", Category.BUG, _SQLITE, "see_short", _db),
    ("sqlite-closed", Category.BUG, _SQLITE, "after_close", _db),
    ("sqlite-syntax", Category.BUG, _SQLITE, "misspelt", _db),
    ("sqlite-type", Category.BUG, _SQLITE, "odd_value", _db),
):
    BOOK.cause(_name, _category, _app, _function, _setting)
