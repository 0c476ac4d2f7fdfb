"""The parts: `known`, against which rules may be looked at; the others measure."""

from __future__ import annotations

import importlib
import pkgutil

from tests.corpus.book import App, Book, Cause

PARTS = ("known", "unseen", "fresh", "blind")
Ways = tuple[tuple[App, str], ...]
"""Files and functions in them that call a function with its arguments."""


def causes_of(part: str) -> list[Cause]:
    """All causes of a part, from each module in its folder, in order of the modules' names."""
    package = importlib.import_module(f"tests.corpus.{part}")
    causes: list[Cause] = []
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda found: found.name):
        if module.name.startswith("_"):
            continue
        book = importlib.import_module(f"{package.__name__}.{module.name}").BOOK
        if not isinstance(book, Book):
            raise TypeError(f"expected {module.name}.BOOK to be a Book, got {type(book).__name__}")
        causes += book.causes
    return causes


def ways_of(part: str) -> Ways:
    """How the applications of a part come to the functions that fail, in turn."""
    ways: Ways = importlib.import_module(f"tests.corpus.{part}._ways").WAYS
    return ways
