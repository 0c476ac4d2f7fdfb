"""Failures of which nobody could say from the evidence what is to be done."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book

BOOK = Book("unclear")

_APP = App(
    "enrich/stages.py",
    """
    class StageFailed(Exception):
        pass


    def run_stage(number):
        raise StageFailed(f"stage {number} did not complete")


    def finish(track_id):
        raise RuntimeError(f"giving up on {track_id} after 3 tries")


    def legacy(track_id):
        raise Exception("something went wrong")
    """,
)

BOOK.cause("stage", Category.UNKNOWN, _APP, "run_stage", lambda w, v: (v.number,))
BOOK.cause("gave-up", Category.UNKNOWN, _APP, "finish", lambda w, v: (v.id,))
BOOK.cause("no-words", Category.UNKNOWN, _APP, "legacy", lambda w, v: (v.id,))
