"""The words of a text: what is one, what is the same, and how long it takes."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlq.query import MAX_WORD_CHARS, fold, words_of
from dlq.query.words import begun

UUID = "550e8400-e29b-41d4-a716-446655440000"
PIECES = [
    UUID,
    UUID[:20],
    "-",
    ".",
    " ",
    "e29b",
    "\u0301",
    "\u3099",
    "か",
    "é",
    "日",
    "x_1",
    "A" * 41,
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=8).map("".join)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Too MANY", "too many"),
        ("Größe ÜNÏCODE", "grosse unicode"),
        ("I\u0307stanbul ﬁ", "istanbul fi"),
        ("Ёлка Йод", "елка иод"),
        ("Ｆｕｌｌ ｶﾞ ℌ²", "full ガ h2"),
        ("がか", "がか"),  # a voiced kana is another letter, not one with an accent
        ("한국어", "한국어"),
        ("e\u0301\u0338", "e"),
    ],
)
def test_case_width_and_accents_make_no_difference(text: str, folded: str) -> None:
    assert fold(text) == fold(folded) == folded


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("429 Too-Many; Requests!", ["429", "too", "many", "requests"]),
        ("requests.exceptions.HTTPError", ["requests", "exceptions", "httperror"]),
        ("artist_name='x', n=1.5e3", ["artist_name", "x", "n", "1", "5e3"]),
        (f"id:{UUID.upper()}/v1", ["id", UUID, "v1"]),
        (f"a-{UUID}-b", ["a", UUID, "b"]),
        (f"{UUID}{UUID}", ["550e8400", *UUID.split("-")[1:4], "446655440000550e8400",
                           *UUID.split("-")[1:]]),
        (f"{UUID}0", [*UUID.split("-")[:4], "4466554400000"]),
        (f"x{UUID}", ["x550e8400", *UUID.split("-")[1:]]),
        (f"跟踪{UUID}中", ["跟", "踪", UUID, "中"]),
        ("日本語のtext", ["日", "本", "語", "の", "text"]),
        ("サーバー・エラー", [*"サーバー", *"エラー"]),
        ("한국어 x", ["한", "국", "어", "x"]),
        ("x" * 100 + " y", ["x" * MAX_WORD_CHARS, "y"]),
        ("!!! \U0001f3a7 \x00\ud800", []),
        ("", []),
    ],
)  # fmt: skip
def test_words_are_runs_of_letters_and_digits(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@given(TEXTS)
def test_words_stay_words_wherever_they_are_written(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    words = words_of(text)
    assert words_of(" ".join(words)) == words
    assert words_of(f"a b\n{text}.c") == ["a", "b", *words, "c"]
    assert all(0 < len(word) <= MAX_WORD_CHARS and word.encode() for word in words)


@pytest.mark.parametrize(
    ("text", "whole", "start"),
    [
        ("dead", set(), "dead"),
        ("Too Ma", {"too"}, "ma"),
        ("too ", {"too"}, None),
        ("spotify.enrich", {"spotify"}, "enrich"),
        ("id 550e8400-e29b", {"id"}, "550e8400"),  # what follows may make it a UUID
        ("too-ma", set(), "too"),
        ("日本", set(), None),
        ("", set(), None),
    ],
)
def test_what_is_known_of_a_text_that_goes_on(
    text: str, whole: set[str], start: str | None
) -> None:
    assert begun(text) == (frozenset(whole), start)


@given(TEXTS, TEXTS)
def test_what_is_known_of_a_text_holds_however_it_goes_on(text: str, more: str) -> None:
    whole, start = begun(text)
    words = words_of(text + more)
    assert whole <= set(words)
    assert start is None or any(word.startswith(start) for word in words)


@pytest.mark.parametrize(
    "piece", ["a", "a b ", "-", "!", "0a1b2c3d-", "é", "日", UUID[:24], "A\u0301"]
)
def test_the_time_grows_with_the_length(piece: str) -> None:
    text = piece * (300_000 // len(piece))
    begun_at = time.perf_counter()
    words_of(text)
    begun(text)
    assert time.perf_counter() - begun_at < 2
