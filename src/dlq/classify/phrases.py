"""Finds the first phrase of a table in a text, in time that the table's length hardly counts in.

Phrases are of lower-case words with one space between; one begins at a word and may end within
one. They are kept by their first letters, so that each word of a text is compared with a few of
them and not with hundreds.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from dlq.classify.rules import Category

_KEY_CHARS = 3
MIN_PHRASE_CHARS = _KEY_CHARS


class Phrase(NamedTuple):
    rank: int  # smaller wins
    text: str
    category: Category
    is_sure: bool  # says more than a class that tells


@dataclass(frozen=True, slots=True)
class PhraseIndex:
    by_start: dict[str, tuple[Phrase, ...]]

    @classmethod
    def of(cls, phrases: Iterable[tuple[str, Category, bool]]) -> PhraseIndex:
        by_start: dict[str, list[Phrase]] = {}
        for rank, (text, category, is_sure) in enumerate(phrases):
            phrase = Phrase(rank, text, category, is_sure)
            by_start.setdefault(text[:_KEY_CHARS], []).append(phrase)
        return cls({start: tuple(found) for start, found in by_start.items()})

    def first_in(self, words: str, among: Container[Category] | None = None) -> Phrase | None:
        """The best phrase in `words` (as `words_of` gives them), of these categories if given."""
        best: Phrase | None = None
        at = words.find(" ")
        while at >= 0:
            for phrase in self.by_start.get(words[at + 1 : at + 1 + _KEY_CHARS], ()):
                if (
                    (best is None or phrase.rank < best.rank)
                    and words.startswith(phrase.text, at + 1)
                    and (among is None or phrase.category in among)
                ):
                    best = phrase
            at = words.find(" ", at + 1)
        return best
