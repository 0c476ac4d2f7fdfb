"""Bit-sliced signatures: which of many rows may have a word, told from a few bits of each; pure.

A row's signature has a few bits set for each of its words (a Bloom filter). Of many rows the
bits are kept slice by slice: slice 7 has the seventh bit of every row. The rows that may have a
word are the AND of the slices of its bits, so that a search reads a hundredth of what is kept.

Source: Goodwin et al., "BitFunnel: Revisiting Signatures for Search", SIGIR 2017.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

BITS = 768
"""Of a signature. A row of 35 words, as most have, seems to have one that it lacks once in
80,000 times; one of twice as many once in 300 times."""
BYTES = BITS // 8
BITS_OF_A_WORD = 9
ANYTHING = b"\xff" * BYTES
"""Of a row of which not all words are known."""

Word = str
Alternatives = tuple[tuple[frozenset[Word], ...], ...]
"""Any of; all of; any of."""

_ONE = re.compile("1")
_DIGITS = [bytes(0x30 + (byte >> (7 - bit) & 1) for byte in range(256)) for bit in range(8)]
"""What turns bytes into binary digits, each of one of their bits."""


@lru_cache(maxsize=100_000)
def bits_of(word: Word) -> tuple[int, ...]:
    """In the order of a signature's bytes, each from its highest bit."""
    digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=18).digest()
    return tuple(
        int.from_bytes(digest[at : at + 2], "big") % BITS for at in range(0, 2 * BITS_OF_A_WORD, 2)
    )


def signature(words: Iterable[Word]) -> bytes:
    bits = {bit for word in words for bit in bits_of(word)}
    return sum(1 << (BITS - 1 - bit) for bit in bits).to_bytes(BYTES, "big")


class Slices:
    """The signatures of some rows, by bit. A slice is a number whose highest binary digit is
    that of row 0.

    Args:
        rows: their signatures one after the other.
    """

    def __init__(self, rows: bytes) -> None:
        self._rows = rows

    def __getitem__(self, bit: int) -> int:
        column = self._rows[bit // 8 :: BYTES]
        return int(column.translate(_DIGITS[bit % 8]), 2)

    def packed(self) -> bytes:
        """All slices one after the other, each of a bit a row."""
        size = len(self._rows) // BYTES // 8
        return b"".join(self[bit].to_bytes(size, "big") for bit in range(BITS))


def laid_out(signatures: Mapping[int, bytes], count: int) -> bytes:
    """For `Slices`: each in its place of so many; where there is none, the row has no word."""
    rows = bytearray(count * BYTES)
    for place, one in signatures.items():
        rows[place * BYTES : (place + 1) * BYTES] = one
    return bytes(rows)


def needed_bits(needs: Iterable[Alternatives]) -> list[int]:
    """The slices that `places` asks for."""
    words = {
        word
        for alternatives in needs
        for together in alternatives
        for choices in together
        for word in choices
    }
    return sorted({bit for word in words for bit in bits_of(word)})


def places(
    needs: Sequence[Alternatives], slice_of: Callable[[int], int], count: int
) -> Iterator[int]:
    """The rows, by their places, that may meet all of the needs.

    Args:
        slice_of: gives a slice.
        count: how many places there are.
    """
    found = (1 << count) - 1
    for alternatives in needs:
        found &= _any(_all(map(_of_choices(slice_of), together)) for together in alternatives)
        if not found:
            return
    for digit in _ONE.finditer(f"{found:0{count}b}"):
        yield digit.start()


def _of_choices(slice_of: Callable[[int], int]) -> Callable[[Iterable[Word]], int]:
    return lambda choices: _any(_all(map(slice_of, bits_of(word))) for word in choices)


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
