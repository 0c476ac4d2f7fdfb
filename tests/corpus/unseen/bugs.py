"""Mistakes in the application: other ones than in the first part."""

from __future__ import annotations

import datetime as dt

from dlq.classify import Category
from tests.corpus.book import App, Book

BOOK = Book("bugs2", error_type="general")

_APP = App(
    "domain/graph.py",
    """
    import asyncio
    import dataclasses
    import functools
    import json


    @dataclasses.dataclass(frozen=True)
    class Node:
        key: str
        weight: float = 0.0


    class Walker:
        def __init__(self, edges):
            self.edges = edges

        def neighbours(self, key):
            return [edge.target for edge in self.edges[key]]

        def walk(self, key):
            for other in self.edges:
                self.edges[other + key] = []

        def step(self, key):
            return self.stride(key)

        def stride(self, key):
            return self.step(key)


    def grow(edges, key):
        Walker(edges).walk(key)


    def circle(edges, key):
        return Walker(edges).step(key)


    def to_json(key, when):
        return json.dumps({"key": key, "at": when})


    def next_best(keys):
        stack = list(keys)
        while True:
            stack.pop()


    def build(key):
        return Node(key=key, wieght=1)


    def plugin(name):
        import songs_plugins
        return songs_plugins.load(name)


    def similarity(a, b):
        return (a * b) % (a - a)


    def by_name(node, name):
        return getattr(node, name)()


    def unpack_pair(pair):
        return pair["left"]["id"]


    def length(value):
        return len(value)


    def positions(values, name):
        return values[name]


    async def score(key):
        value = await asyncio.sleep(0)
        return value.total


    async def nested(key):
        return asyncio.run(score(key))


    def twice_done(key):
        loop = asyncio.new_event_loop()
        try:
            future = loop.create_future()
            future.set_result(key)
            future.set_result(key)
        finally:
            loop.close()


    @functools.lru_cache
    def cached_name(track):
        return track


    def names_of(tracks):
        return [cached_name(track) for track in tracks]


    def generator(keys):
        def walk():
            for key in keys:
                yield next(iter(()))

        return list(walk())


    def guarded(values, limit):
        assert len(values) <= limit
    """,
)


for _name, _function, _setting in (
    ("changed-size", "grow", lambda w, v: ({v.id: []}, v.pick("a", "b", "c", "d"))),
    ("mutual-recursion", "circle", lambda w, v: ({}, v.id)),
    ("not-serializable", "to_json", lambda w, v: (v.id, dt.date(2026, 1, 1 + v.index))),
    ("pop-empty", "next_best", lambda w, v: ([v.id] * v.index,)),
    ("keyword", "build", lambda w, v: (v.id,)),
    ("no-module", "plugin", lambda w, v: (v.id,)),
    ("modulo", "similarity", lambda w, v: (v.number, v.index)),
    (
        "not-callable",
        "by_name",
        lambda w, v: (dt.date(2026, 1, 1 + v.index), v.pick("year", "day", "month", "year")),
    ),
    ("none-subscript", "unpack_pair", lambda w, v: ({"left": None, "id": v.id},)),
    ("no-len", "length", lambda w, v: (v.number,)),
    ("list-index", "positions", lambda w, v: ([v.id], v.title)),
    ("nested-loop", "nested", lambda w, v: (v.id,)),
    ("future-twice", "twice_done", lambda w, v: (v.id,)),
    ("cache-unhashable", "names_of", lambda w, v: ([{"title": v.title}],)),
    ("stop-iteration", "generator", lambda w, v: ([v.id],)),
    ("bare-assertion", "guarded", lambda w, v: ([v.id] * 5, v.index)),
):
    BOOK.cause(_name, Category.BUG, _APP, _function, _setting)
