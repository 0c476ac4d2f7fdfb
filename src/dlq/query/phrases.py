"""A phrase: words that stand together in a text, in order and in any case; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from dlq.query.words import fold, words_of_folded

_BEGUN_UUID = re.compile(r"(?<![a-z0-9_])[0-9a-f]{8}-[0-9a-f-]{0,27}\Z")
_END = "\0"
"""Of a text: in none, and no part of a word."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """With `is_start` a word that it ends with may go on. One without words, as `!!!`, stands
    wherever its characters do."""

    text: str
    is_start: bool
    words: tuple[str, ...]
    _needles: tuple[str, ...]
    """One of them is in the spaced words of a text in which the phrase stands."""

    def stands_in(self, *texts: str) -> bool:
        """In one of them, as a whole."""
        if not self.words:
            mark = self.text.casefold()
            return any(mark in text.casefold() for text in texts)
        # What is plain is folded as one, which takes a fraction of folding each.
        plain = fold(_END.join(filter(str.isascii, texts)))
        if all(word in plain for word in self.words):
            first = self.words[0]
            if any(self._stands_in(text) for text in plain.split(_END) if first in text):
                return True
        return any(self._stands_in(fold(text)) for text in texts if not text.isascii())

    def _stands_in(self, folded: str) -> bool:
        if not all(word in folded for word in self.words):
            return False
        spaced = _spaced(words_of_folded(folded))
        return any(needle in spaced for needle in self._needles)


@lru_cache(maxsize=256)
def phrase_of(text: str, *, is_start: bool = False) -> Phrase:
    folded = fold(text)
    words = words_of_folded(folded)
    needles = [_spaced(words)]
    if is_start:
        may_go_on = folded[-1:].isalnum() or folded[-1:] == "_"
        needles = [_spaced(words)[: -1 if may_go_on else None]]
        if uuid := _BEGUN_UUID.search(folded):  # the whole of it is one word
            needles.append(_spaced([*words_of_folded(folded[: uuid.start()]), uuid[0]])[:-1])
    return Phrase(text, is_start, tuple(words), tuple(needles))


def _spaced(words: list[str]) -> str:
    return f" {' '.join(words)} "
