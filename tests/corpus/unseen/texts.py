"""Texts that cannot be read: numbers, dates, ids, tables, configuration, encodings."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book

BOOK = Book("texts", error_type="general")

_TEXTS = App(
    "feeds/parse.py",
    """
    import configparser
    import datetime
    import decimal
    import io
    import ipaddress
    import json
    import struct
    import tomllib
    import uuid
    import xml.sax
    from xml.dom import minidom

    import pyarrow
    from pydantic import BaseModel, Field, TypeAdapter


    class Credit(BaseModel):
        role: str
        share: float = Field(ge=0, le=1)


    class Work(BaseModel):
        title: str
        credits: list[Credit]


    def price(text):
        return decimal.Decimal(text)


    def released(text):
        return datetime.date.fromisoformat(text)


    def identifier(text):
        return uuid.UUID(text)


    def network(text):
        return ipaddress.ip_address(text)


    def header(data):
        return struct.unpack(">IHH", data)


    def settings(text):
        return tomllib.loads(text)


    def legacy_settings(text):
        parser = configparser.ConfigParser()
        parser.read_string(text)
        return parser


    def opml(text):
        return minidom.parseString(text)


    def rss(text):
        xml.sax.parseString(text, xml.sax.ContentHandler())


    def message(data):
        return json.loads(data)


    def work(text):
        return Work.model_validate_json(text)


    def shares(values):
        return TypeAdapter(list[Credit]).validate_python(values)


    def ascii_slug(title):
        return title.encode("ascii")


    def table(values):
        return pyarrow.array(values, type=pyarrow.int64())


    def latin(data):
        return io.TextIOWrapper(io.BytesIO(data), encoding="ascii").read()
    """,
)


for _name, _app, _function, _setting in (
    ("decimal", _TEXTS, "price", lambda w, v: (f"{v.number},99 kr",)),
    ("isoformat", _TEXTS, "released", lambda w, v: (f"{v.index + 1}/{v.index + 11}/1999",)),
    ("uuid", _TEXTS, "identifier", lambda w, v: (v.id,)),
    ("address", _TEXTS, "network", lambda w, v: (f"10.0.{v.number}.x",)),
    ("struct", _TEXTS, "header", lambda w, v: (v.digest.encode()[: 3 + v.index],)),
    ("toml", _TEXTS, "settings", lambda w, v: ("\n" * v.index + f"rate = {v.number} per s",)),
    ("ini", _TEXTS, "legacy_settings", lambda w, v: (f"rate = {v.number}\n",)),
    ("minidom", _TEXTS, "opml", lambda w, v: (f"<opml><o id='{v.id}'></opml>",)),
    ("sax", _TEXTS, "rss", lambda w, v: (f"<rss>{v.number} & more</rss>".encode(),)),
    (
        "json-utf8",
        _TEXTS,
        "message",
        lambda w, v: (b'{"title": "caf\xe9 ' + v.id.encode() + b'"}',),
    ),
    ("pydantic-json", _TEXTS, "work", lambda w, v: (f'{{"title": {v.number}, "credits": [',)),
    (
        "pydantic-range",
        _TEXTS,
        "shares",
        lambda w, v: ([{"role": v.artist, "share": 1 + v.number}],),
    ),
    ("encode", _TEXTS, "ascii_slug", lambda w, v: ("x" * v.index + "Ünö " + v.artist,)),
    ("arrow", _TEXTS, "table", lambda w, v: ([1, v.title],)),
    (
        "decode-stream",
        _TEXTS,
        "latin",
        lambda w, v: (b"x" * v.index + b"\xc3\xa9" + v.id.encode(),),
    ),
):
    BOOK.cause(_name, Category.INVALID_DATA, _app, _function, _setting)
