"""Signatures of rows: what has a word is always found, and little else."""

from __future__ import annotations

import random

import pytest

from dlq.ledger.signatures import (
    NARROW,
    NARROW_WORDS,
    WIDE,
    Alternatives,
    Slices,
    Wanted,
    anything,
    bits_of,
    laid_out,
    signature,
    width_for,
)

ROWS = 1024
TYPICAL = {NARROW: 30, WIDE: 250}
"""Words of a row."""


def made(seed: int, width: int) -> tuple[list[frozenset[str]], Slices]:
    """Rows of words, half of them rare, and their slices."""
    rng = random.Random(seed)
    half = TYPICAL[width] // 2
    rows = [
        frozenset(
            {f"common{rng.randrange(20 * half)}" for _ in range(half)}
            | {f"rare{rng.getrandbits(40):x}" for _ in range(half)}
        )
        for _ in range(ROWS)
    ]
    signed = {place: signature(words, width) for place, words in enumerate(rows)}
    return rows, Slices(laid_out(signed, ROWS, width), width)


def the(*words: str) -> Alternatives:
    """All of these."""
    return (tuple(frozenset({word}) for word in words),)


def found(slices: Slices, width: int, *needs: Alternatives) -> set[int]:
    wanted = Wanted(needs, width)
    return set(wanted.places({bit: slices[bit] for bit in wanted.bits}, ROWS))


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_a_row_is_found_by_each_of_its_words(width: int) -> None:
    rows, slices = made(1, width)
    rng = random.Random(2)
    for place in rng.sample(range(ROWS), 20):
        for word in rows[place]:
            assert place in found(slices, width, the(word))


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_what_no_row_has_is_hardly_found(width: int) -> None:
    _, slices = made(3, width)
    wrong = sum(len(found(slices, width, the(f"absent{number}"))) for number in range(300))
    assert wrong / (300 * ROWS) < 1 / 1000


def test_all_words_of_one_of_the_alternatives_or_one_of_the_choices() -> None:
    rows, slices = made(4, NARROW)
    one, other = max(rows[7]), max(rows[900])
    assert {7, 900} <= found(slices, NARROW, ((frozenset({one, other}),),))
    either: Alternatives = ((frozenset({one}),), (frozenset({other}),))
    assert {7, 900} <= found(slices, NARROW, either)
    assert 7 not in found(slices, NARROW, the(one, other))
    assert 7 not in found(slices, NARROW, either, the(other))


def test_a_row_whose_words_are_not_known_is_always_found() -> None:
    signed = {3: anything(NARROW), 4: signature({"word"}, NARROW)}
    slices = Slices(laid_out(signed, ROWS, NARROW), NARROW)
    assert found(slices, NARROW, the("whatever")) == {3}
    assert found(slices, NARROW, the("word")) == {3, 4}


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_packed_slices_are_each_a_bit_of_every_row(width: int) -> None:
    rows, slices = made(5, width)
    packed = slices.packed()
    assert len(packed) == width * ROWS // 8
    word = next(iter(rows[500]))
    for bit in bits_of(word, width):
        one = packed[bit * ROWS // 8 : (bit + 1) * ROWS // 8]
        assert one[500 // 8] >> (7 - 500 % 8) & 1


def test_many_words_take_a_wide_one() -> None:
    words = {f"word{number}" for number in range(NARROW_WORDS)}
    assert width_for(words) == NARROW
    assert width_for(words | {"one more"}) == WIDE


def test_bits_are_the_same_in_every_process() -> None:
    """They are stored."""
    assert bits_of("timeout", NARROW) == (400, 180, 205, 319, 360, 569, 412, 387)
    assert len(signature({"timeout"}, NARROW)) == NARROW // 8
