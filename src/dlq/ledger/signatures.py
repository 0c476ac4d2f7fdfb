"""Bit-sliced signatures: which of many rows may have a word, told from a few bits of each; pure.

A row's signature has a few bits set for each of its words (a Bloom filter). Of many rows the
bits are kept slice by slice: slice 7 has the seventh bit of every row. The rows that may have a
word are the AND of the slices of its bits, so that a search reads a hundredth of what is kept.

Source: Goodwin et al., "BitFunnel: Revisiting Signatures for Search", SIGIR 2017.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

NARROW, WIDE = 640, 4096
"""Bits of a signature: of a row with up to `NARROW_WORDS`, and of one with more. One of 30 words,
as most have, seems by chance to have one that it lacks once in 14,000 times; one of 250, as the
tracks of a whole evening have, once in 2,000 times. A word that shares its bits with words that
nearly all rows have is taken for theirs more often: once in 250 times at the worst that was met."""
NARROW_WORDS = 48
FEW_CHOICES = 4
"""That rule out something for little work."""
BITS_OF_A_WORD = 8

Word = str
Alternatives = tuple[tuple[frozenset[Word], ...], ...]
"""Any of; all of; any of."""

_ONE = re.compile("1")
_DIGITS = [bytes(0x30 + (byte >> (7 - bit) & 1) for byte in range(256)) for bit in range(8)]
"""What turns bytes into binary digits, each of one of their bits."""


def width_for(words: Collection[Word]) -> int:
    return NARROW if len(words) <= NARROW_WORDS else WIDE


def signature(words: Iterable[Word], width: int) -> bytes:
    bits = {bit for word in words for bit in bits_of(word, width)}
    return sum(1 << (width - 1 - bit) for bit in bits).to_bytes(width // 8, "big")


def anything(width: int) -> bytes:
    """Of a row of which not all words are known."""
    return b"\xff" * (width // 8)


@lru_cache(maxsize=20_000)
def bits_of(word: Word, width: int) -> tuple[int, ...]:
    """In the order of a signature's bytes, each from its highest bit."""
    size = 2 * BITS_OF_A_WORD
    digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=size).digest()
    return tuple(int.from_bytes(digest[at : at + 2], "big") % width for at in range(0, size, 2))


class Slices:
    """The signatures of some rows, by bit. A slice is a number whose highest binary digit is
    that of row 0.

    Args:
        rows: their signatures, one after the other.
    """

    def __init__(self, rows: bytes, width: int) -> None:
        self._rows = rows
        self._width = width

    def __getitem__(self, bit: int) -> int:
        column = self._rows[bit // 8 :: self._width // 8]
        return int(column.translate(_DIGITS[bit % 8]), 2)

    def packed(self) -> bytes:
        """All slices, one after the other, each of a bit a row."""
        size = len(self._rows) // self._width
        return b"".join(self[bit].to_bytes(size, "big") for bit in range(self._width))


def laid_out(signatures: Mapping[int, bytes], count: int, width: int) -> bytes:
    """For `Slices`: each in its place of so many; where there is none, the row has no word."""
    size = width // 8
    rows = bytearray(count * size)
    for place, one in signatures.items():
        rows[place * size : (place + 1) * size] = one
    return bytes(rows)


class Wanted:
    """What is looked for in the signatures of one width: rows that meet all of the needs."""

    def __init__(self, needs: Sequence[Alternatives], width: int) -> None:
        self._needs = [tuple(map(_telling, alternatives)) for alternatives in needs]
        self._width = width
        words = {
            word
            for alternatives in self._needs
            for together in alternatives
            for choices in together
            for word in choices
        }
        self.bits = sorted({bit for word in words for bit in bits_of(word, width)})
        """The slices that it takes."""

    def places(self, slices: Mapping[int, int], count: int) -> Iterator[int]:
        """The rows that may, by their places.

        Args:
            slices: those of `bits`.
            count: how many places there are.
        """
        found = (1 << count) - 1
        for alternatives in self._needs:
            found &= _any(
                _all(_any(self._of_word(word, slices) for word in choices) for choices in together)
                for together in alternatives
            )
            if not found:
                return
        for digit in _ONE.finditer(f"{found:0{count}b}"):
            yield digit.start()

    def _of_word(self, word: Word, slices: Mapping[int, int]) -> int:
        return _all(slices[bit] for bit in bits_of(word, self._width))


def _telling(together: tuple[frozenset[Word], ...]) -> tuple[frozenset[Word], ...]:
    """Without what has many choices, if there is anything else: it would be most of the work,
    and rule out little that the others do not."""
    first, *others = sorted(together, key=len)
    return (first, *(choices for choices in others if len(choices) <= FEW_CHOICES))


def _any(sets: Iterable[int]) -> int:
    found = 0
    for one in sets:
        found |= one
    return found


def _all(sets: Iterable[int]) -> int:
    found = -1
    for one in sets:
        found &= one
        if not found:
            break
    return found
