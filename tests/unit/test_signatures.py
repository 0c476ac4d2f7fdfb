"""Signatures of rows: what has a word is always found, and little else."""

from __future__ import annotations

import random

from dlq.ledger.signatures import (
    ANYTHING,
    BITS,
    BYTES,
    Alternatives,
    Slices,
    bits_of,
    laid_out,
    needed_bits,
    places,
    signature,
)

ROWS = 1024
WORDS_OF_A_ROW = 35


def made(seed: int) -> tuple[list[frozenset[str]], Slices]:
    """Rows of words, most of them rare, and their slices."""
    rng = random.Random(seed)
    rows = [
        frozenset(
            {f"common{rng.randrange(20)}" for _ in range(WORDS_OF_A_ROW // 2)}
            | {f"rare{rng.getrandbits(40):x}" for _ in range(WORDS_OF_A_ROW // 2)}
        )
        for _ in range(ROWS)
    ]
    signed = {place: signature(words) for place, words in enumerate(rows)}
    return rows, Slices(laid_out(signed, ROWS))


def the(*words: str) -> Alternatives:
    """All of these."""
    return (tuple(frozenset({word}) for word in words),)


def found(slices: Slices, *needs: Alternatives) -> set[int]:
    wanted = {bit: slices[bit] for bit in needed_bits(needs)}
    return set(places(needs, wanted.__getitem__, ROWS))


def test_a_row_is_found_by_each_of_its_words() -> None:
    rows, slices = made(1)
    rng = random.Random(2)
    for place in rng.sample(range(ROWS), 50):
        for word in rows[place]:
            assert place in found(slices, the(word))


def test_what_no_row_has_is_hardly_found() -> None:
    _, slices = made(3)
    wrong = sum(len(found(slices, the(f"absent{number}"))) for number in range(300))
    assert wrong / (300 * ROWS) < 1 / 20_000


def test_all_words_of_one_of_the_alternatives_or_one_of_the_choices() -> None:
    rows, slices = made(4)
    one, other = max(rows[7]), max(rows[900])
    assert {7, 900} <= found(slices, ((frozenset({one, other}),),))
    either: Alternatives = ((frozenset({one}),), (frozenset({other}),))
    assert {7, 900} <= found(slices, either)
    assert 7 not in found(slices, the(one, other))
    assert 7 not in found(slices, either, the(other))


def test_a_row_whose_words_are_not_known_is_always_found() -> None:
    signed = {3: ANYTHING, 4: signature({"word"})}
    slices = Slices(laid_out(signed, ROWS))
    assert found(slices, the("whatever")) == {3}
    assert found(slices, the("word")) == {3, 4}


def test_packed_slices_are_each_a_bit_of_every_row() -> None:
    rows, slices = made(5)
    packed = slices.packed()
    assert len(packed) == BITS * ROWS // 8
    word = next(iter(rows[500]))
    for bit in bits_of(word):
        one = packed[bit * ROWS // 8 : (bit + 1) * ROWS // 8]
        assert one[500 // 8] >> (7 - 500 % 8) & 1


def test_bits_are_the_same_in_every_process() -> None:
    """They are stored."""
    assert bits_of("timeout") == (237, 1, 422, 353, 109, 122, 546, 401, 691)
    assert len(signature({"timeout"})) == BYTES
