"""Mistakes in the application itself."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book

BOOK = Book("bugs")

_APP = App(
    "enrich/merge.py",
    """
    def artist_name(track):
        return track["artists"][0]["name"]


    def first_artist(track):
        return track["artists"][0]


    def normalised(title):
        return title.strip().lower()


    def average_bpm(values):
        return sum(values) / len(values)


    def total_length(tracks):
        return sum(track["seconds"] for track in tracks) + " s"


    def similar(track, depth=0):
        return similar(track, depth + 1)


    def label_of(track):
        if track.get("label"):
            label = track["label"]
        return label


    def tempo(track):
        return compute_tempo(track["bpm"])


    def key_of(track):
        assert track["key"] in range(12), f"key out of range: {track['key']}"


    def export(track):
        from enrich import exporters_v2
        return exporters_v2.export(track)


    def call_stage(track):
        return stage(track, retries=3)


    def stage(track):
        return track
    """,
)

BOOK.cause("key", Category.BUG, _APP, "artist_name", lambda w, v: ({"id": v.id, "title": v.title},))
BOOK.cause("index", Category.BUG, _APP, "first_artist", lambda w, v: ({"artists": [], "i": v.id},))
BOOK.cause("none-attribute", Category.BUG, _APP, "normalised", lambda w, v: (None,))
BOOK.cause("zero-division", Category.BUG, _APP, "average_bpm", lambda w, v: ([],))
BOOK.cause(
    "type-error",
    Category.BUG,
    _APP,
    "total_length",
    lambda w, v: ([{"seconds": v.number}] * (1 + v.index),),
)
BOOK.cause("recursion", Category.BUG, _APP, "similar", lambda w, v: (v.id,))
BOOK.cause("unbound", Category.BUG, _APP, "label_of", lambda w, v: ({"title": v.title},))
BOOK.cause("name", Category.BUG, _APP, "tempo", lambda w, v: ({"bpm": v.number},))
BOOK.cause("assertion", Category.BUG, _APP, "key_of", lambda w, v: ({"key": 12 + v.number},))
BOOK.cause("import", Category.BUG, _APP, "export", lambda w, v: ({"id": v.id},))
BOOK.cause("signature", Category.BUG, _APP, "call_stage", lambda w, v: ({"id": v.id},))
