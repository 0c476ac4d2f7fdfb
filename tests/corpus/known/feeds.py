"""Feeds and files that cannot be read, by the parsers of other formats."""

from __future__ import annotations

import json

from dlq.classify import Category
from tests.corpus.book import App, Book, Setting

BOOK = Book("feeds", error_type="audio_analysis")

_FILES = App(
    "media/unpack.py",
    """
    import gzip


    def unpack(path):
        with gzip.open(path) as packed:
            return packed.read()
    """,
)
_TEXTS = App(
    "feeds/readers.py",
    """
    import base64
    import csv
    import enum
    import io
    import json

    from lxml import etree
    from pydantic import BaseModel, Field
    from ruamel.yaml import YAML


    class Genre(enum.Enum):
        HOUSE = "house"
        TECHNO = "techno"


    class Credit(BaseModel):
        role: str
        share: float = Field(ge=0, le=1)


    class Work(BaseModel):
        title: str
        credits: list[Credit]


    def rows(text):
        return list(csv.reader(io.StringIO(text), strict=True))


    def year(text):
        return int(text)


    def genre(text):
        return Genre(text)


    def cover(text):
        return base64.b64decode(text, validate=True)


    def mapping(text):
        return YAML(typ="safe").load(text)


    def page(text):
        return etree.fromstring(text)


    def message(data):
        return json.loads(data)


    def work(text):
        return Work.model_validate_json(text)
    """,
)


def _file(name: str, content: bytes | str) -> Setting:
    raw = content.encode() if isinstance(content, str) else content
    return lambda w, v: (w.file(f"{v.id}{name}", raw + v.digest.encode()),)


for _name, _app, _function, _setting in (
    ("gzip-bad", _FILES, "unpack", _file(".gz", "not packed ")),
    ("csv", _TEXTS, "rows", lambda w, v: (f'id,title\n{v.number},"abc"{v.id}\n',)),
    ("int", _TEXTS, "year", lambda w, v: (f"c. {1900 + v.index}",)),
    ("enum", _TEXTS, "genre", lambda w, v: (v.pick("polka", "trance", "дабстеп", "city pop"),)),
    ("base64", _TEXTS, "cover", lambda w, v: (f"{v.id}*",)),
    ("yaml", _TEXTS, "mapping", lambda w, v: (f"a: [{v.number}, 2\nb: {v.index}",)),
    ("lxml", _TEXTS, "page", lambda w, v: (f"<html><p>{v.number}</html>",)),
    ("json-extra", _TEXTS, "message", lambda w, v: (json.dumps({"id": v.id}) + "}}",)),
    (
        "pydantic-nested",
        _TEXTS,
        "work",
        lambda w, v: (
            json.dumps({"title": v.title, "credits": [{"role": v.artist}] * (1 + v.index)}),
        ),
    ),
):
    BOOK.cause(_name, Category.INVALID_DATA, _app, _function, _setting)
