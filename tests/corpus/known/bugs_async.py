"""Mistakes in classes and coroutines of the application."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book

BOOK = Book("bugs-async", error_type="general")

_APP = App(
    "domain/walk.py",
    """
    import asyncio
    import dataclasses
    from abc import ABC, abstractmethod


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


    class Exporter(ABC):
        @abstractmethod
        def write(self, row): ...


    def targets(edges, key):
        return Walker(edges).neighbours(key)


    def reweigh(key, weight):
        node = Node(key)
        node.weight = weight
        return node


    def unique(keys):
        return {key: 1 for key in keys}


    def exporter(key):
        return Exporter()


    def planned(key):
        raise NotImplementedError(f"similarity for {key}")


    def first_of(rows):
        return sorted(rows, key=lambda row: row["score"])[0]


    async def score(key):
        value = await asyncio.sleep(0)
        return value.total


    async def score_all(keys):
        async with asyncio.TaskGroup() as tasks:
            for key in keys:
                tasks.create_task(score_one({}, key))


    async def score_one(scores, key):
        await asyncio.sleep(0)
        return scores[key]
    """,
)


for _name, _function, _setting in (
    ("attribute", "targets", lambda w, v: ({v.id: [v.number]}, v.id)),
    ("frozen", "reweigh", lambda w, v: (v.id, v.number)),
    ("unhashable", "unique", lambda w, v: ([[v.id], [v.title]],)),
    ("abstract", "exporter", lambda w, v: (v.id,)),
    ("not-implemented", "planned", lambda w, v: (v.id,)),
    ("lambda-key", "first_of", lambda w, v: ([{"id": v.id}, {"id": v.uuid}],)),
    ("none-await", "score", lambda w, v: (v.id,)),
    ("task-group", "score_all", lambda w, v: ([v.id, v.uuid],)),
):
    BOOK.cause(_name, Category.BUG, _APP, _function, _setting)
