"""Finds the first phrase of a table in a text, in time that the table's length hardly counts in.

Phrases are of lower-case words with one space between; one begins at a word and may end within
one. Some have a second half that may follow after a few other words: "token … expired". They are
kept by their first letters, so that each word of a text is compared with a few of them and not
with hundreds.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from dlq.classify.rules import Category

_KEY_CHARS = 3
MIN_PHRASE_CHARS = _KEY_CHARS

MAX_WORDS_BETWEEN = 5
"""Between the halves of a phrase; more, and they would belong to different sentences."""


class Wording(NamedTuple):
    """What a table says of one phrase."""

    text: str
    category: Category
    is_sure: bool  # says more than a class that tells
    then: tuple[str, ...] = ()  # one of these must follow
    within: int = MAX_WORDS_BETWEEN  # at most so many words later


class Phrase(NamedTuple):
    rank: int  # smaller wins
    text: str
    category: Category
    is_sure: bool  # says more than a class that tells
    then: re.Pattern[str] | None = None  # what must follow the text

    def name_in(self, words: str, at: int) -> str | None:
        """What it is called if the rest of it follows its text at `at`, else None."""
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
    def of(cls, wordings: Iterable[Wording]) -> PhraseIndex:
        """The first has the best rank."""
        by_start: dict[str, list[Phrase]] = {}
        for rank, (text, category, is_sure, then, within) in enumerate(wordings):
            phrase = Phrase(rank, text, category, is_sure, _follows(then, within))
            by_start.setdefault(text[:_KEY_CHARS], []).append(phrase)
        return cls({start: tuple(found) for start, found in by_start.items()})

    def first_in(self, words: str, among: Container[Category] | None = None) -> Found | None:
        """The best phrase in `words` (as `words_of` gives them), of these categories if given."""
        best: Phrase | None = None
        name = ""
        at = words.find(" ") + 1
        while at > 0:
            for phrase in self.by_start.get(words[at : at + _KEY_CHARS], ()):
                if best is not None and phrase.rank >= best.rank:
                    break  # they stand in the order of their rank
                if (
                    words.startswith(phrase.text, at)
                    and (among is None or phrase.category in among)
                    and (called := phrase.name_in(words, at))
                ):
                    best, name = phrase, called
            at = words.find(" ", at) + 1
        return best and Found(name, best.category, best.is_sure)


@cache
def _follows(then: tuple[str, ...], within: int) -> re.Pattern[str] | None:
    """A rest of a word, a few words, and one of these phrases."""
    if not then:
        return None
    any_of = "|".join(re.escape(text) for text in then)
    return re.compile(rf"[^ ]* ?(?:[^ ]+ ){{0,{within}}}?({any_of})")
