"""What reaches a terminal, and the exit codes."""

from __future__ import annotations

import datetime as dt

import pytest

from dlq.cli.exits import ExitCode, exit_code_for, exit_code_of
from dlq.cli.text import age, age_since, block, one_line
from dlq.errors import (
    BrokerUnavailable,
    DLQError,
    IllegalTransition,
    InvalidInput,
    LedgerUnavailable,
    NotFound,
    PublishRejected,
    SettingsError,
    SpoolError,
)

HOSTILE = [
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x9b2J",  # C1: CSI in one byte
    "back\x08space",
    "carriage\rreturn",
    "\u202egnp.exe",  # right to left
    "\u2066isolate\u2069",
    "zero\u200bwidth",
    "line\u2028separator",
    "\ud800",  # half a surrogate pair
    "\x00",
    "\x7f",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_acts_on_a_terminal_gets_through(text: str) -> None:
    for shown in (one_line(text), block(text)):
        assert shown.isprintable()
        shown.encode("utf-8")


def test_a_cell_is_one_line_and_a_block_keeps_its_lines() -> None:
    assert one_line("first\nsecond\tthird") == "first second\\x09third"
    assert block("first\r\n\tsecond") == "first\n    second"


def test_ordinary_text_of_any_language_is_left_alone() -> None:
    text = "Björk – ‘Jóga’ 夜 🎧"
    assert one_line(text) == block(text) == text


def test_nothing_is_a_dash() -> None:
    assert one_line(None) == "–"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "–"),
        (-5, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (12_000, "3 h 20 min"),
        (86_400 * 2 + 4 * 3600, "2 d 4 h"),
    ],
)
def test_ages_are_told_in_their_two_largest_units(seconds: float | None, shown: str) -> None:
    assert age(seconds) == shown


def test_an_age_is_counted_from_an_iso_instant() -> None:
    now = dt.datetime(2025, 10, 10, 12, 32, tzinfo=dt.UTC)
    assert age_since("2025-10-10T12:30:00Z", now) == "2 min"
    assert age_since("2025-10-10T12:30:00", now) == "2 min"
    assert age_since("yesterday", now) == age_since(None, now) == "–"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DLQError("x"), 1),
        (SpoolError("x"), 1),
        (InvalidInput("x"), 2),
        (SettingsError("x"), 2),
        (BrokerUnavailable("x"), 3),
        (LedgerUnavailable("x"), 3),
        (NotFound("x"), 4),
        (IllegalTransition("x"), 5),
        (PublishRejected("x"), 5),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: DLQError, code: int) -> None:
    assert exit_code_of(error) == code


def test_several_dead_letters_give_the_common_code_only_if_nothing_was_done() -> None:
    assert exit_code_for([], done=3) is ExitCode.OK
    assert exit_code_for(["not_found"], done=0) is ExitCode.NOT_FOUND
    assert exit_code_for(["illegal_state", "illegal_state"], done=0) is ExitCode.REFUSED
    assert exit_code_for(["not_found", "illegal_state"], done=0) is ExitCode.FAILED
    assert exit_code_for(["not_found"], done=1) is ExitCode.FAILED
    assert exit_code_for(["of_the_future"], done=0) is ExitCode.FAILED
