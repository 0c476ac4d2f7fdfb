"""Finds the first phrase of a table in a text, in time that the table's length hardly counts in.

Phrases are of lower-case words with one space between; one begins at a word and may end within
one. Some have a second half that may follow after a few other words: "token … expired". They are
kept by their first letters, so that each word of a text is compared with a few of them and not
with hundreds.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from dlq.classify.rules import Category

_KEY_CHARS = 3
MIN_PHRASE_CHARS = _KEY_CHARS

MAX_WORDS_BETWEEN = 5
"""Between the halves of a phrase; longer, they would belong to different sentences."""


class Phrase(NamedTuple):
    rank: int  # smaller wins
    text: str
    category: Category
    is_sure: bool  # says more than a class that tells
    then: re.Pattern[str] | None = None  # what must follow the text

    def name_in(self, words: str, at: int) -> str | None:
        """What it is called if it stands in `words` at `at`, else None."""
        if not words.startswith(self.text, at):
            return None
        if self.then is None:
            return self.text.strip()
        found = self.then.match(words, at + len(self.text))
        return f"{self.text.strip()} … {found[1].strip()}" if found else None


class Found(NamedTuple):
    """A phrase of a table that stands in a text."""

    name: str
    category: Category
    is_sure: bool


@dataclass(frozen=True, slots=True)
class PhraseIndex:
    by_start: dict[str, tuple[Phrase, ...]]  # each in the order of their rank

    @classmethod
    def of(
        cls, phrases: Iterable[tuple[str, Category, bool, tuple[str, ...]]]
    ) -> PhraseIndex:
        """Of texts, each with its category, whether it is sure, and what must follow it."""
        by_start: dict[str, list[Phrase]] = {}
        patterns: dict[tuple[str, ...], re.Pattern[str] | None] = {(): None}
        for rank, (text, category, is_sure, then) in enumerate(phrases):
            if then not in patterns:
                patterns[then] = _follows(then)
            phrase = Phrase(rank, text, category, is_sure, patterns[then])
            by_start.setdefault(text[:_KEY_CHARS], []).append(phrase)
        return cls({start: tuple(found) for start, found in by_start.items()})

    def first_in(self, words: str, among: Container[Category] | None = None) -> Found | None:
        """The best phrase in `words` (as `words_of` gives them), of these categories if given."""
        best: Found | None = None
        best_rank = -1
        for phrase, at in self._candidates(words):
            if best is not None and phrase.rank >= best_rank:
                continue
            if among is not None and phrase.category not in among:
                continue
            if (name := phrase.name_in(words, at)) is not None:
                best, best_rank = Found(name, phrase.category, phrase.is_sure), phrase.rank
        return best

    def _candidates(self, words: str) -> Iterator[tuple[Phrase, int]]:
        """Every phrase that begins like a word of the text, and where that word begins."""
        at = words.find(" ")
        while at >= 0:
            for phrase in self.by_start.get(words[at + 1 : at + 1 + _KEY_CHARS], ()):
                yield phrase, at + 1
            at = words.find(" ", at + 1)


def _follows(then: tuple[str, ...]) -> re.Pattern[str]:
    """A rest of a word, a few words, and one of these phrases."""
    any_of = "|".join(re.escape(text) for text in then)
    return re.compile(rf"[^ ]* ?(?:[^ ]+ ){{0,{MAX_WORDS_BETWEEN}}}?({any_of})")
