"""Answers and payloads that cannot be read, by json, pydantic, xml, zip and the codecs."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book

BOOK = Book("parsing")

_APP = App(
    "ingest/readers.py",
    """
    import json
    import xml.etree.ElementTree as ET
    import zipfile
    from datetime import datetime

    from pydantic import BaseModel


    class Track(BaseModel):
        title: str
        bpm: float
        isrc: str


    class BadFeed(ValueError):
        pass


    def read_dump(text):
        return [json.loads(line) for line in text.splitlines()]


    def read_track(row):
        return Track.model_validate(row)


    def read_feed(text):
        try:
            return ET.fromstring(text)
        except ET.ParseError as error:
            raise BadFeed("the label's feed is no XML") from error


    def read_delivery(path):
        with zipfile.ZipFile(path) as delivery:
            return delivery.namelist()


    def read_title(raw):
        return raw.decode("utf-8")


    def read_released(text):
        return datetime.strptime(text, "%Y-%m-%d")
    """,
)

BOOK.cause(
    "json-lines",
    Category.INVALID_DATA,
    _APP,
    "read_dump",
    lambda w, v: (f'{{"id": {v.number}}}\n' * (v.index + 1) + f'{{"id": {v.number}, "title": }}',),
)
BOOK.cause(
    "pydantic-track",
    Category.INVALID_DATA,
    _APP,
    "read_track",
    lambda w, v: ({"title": v.title, "bpm": f"{v.number} bpm", "isrc": v.id},),
)
BOOK.cause(
    "xml-feed",
    Category.INVALID_DATA,
    _APP,
    "read_feed",
    lambda w, v: ("<feed>" + "\n" * v.index + f"<track id='{v.id}'><title></feed>",),
)
BOOK.cause(
    "zip-delivery",
    Category.INVALID_DATA,
    _APP,
    "read_delivery",
    lambda w, v: (w.file(f"{v.id}.zip", f"not a zip {v.digest}"),),
)
BOOK.cause(
    "utf8-title",
    Category.INVALID_DATA,
    _APP,
    "read_title",
    lambda w, v: (b"a" * (v.index + 2) + b"\xe9" + v.id.encode(),),
)
BOOK.cause(
    "release-date",
    Category.INVALID_DATA,
    _APP,
    "read_released",
    lambda w, v: (v.pick("1994", "1994-13-01", "May 1994", "unknown"),),
)
