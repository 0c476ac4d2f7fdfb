"""What is wrong with a policy file, told by line; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from dlq.errors import SettingsError

MOST_TOLD = 10
_QUOTED_MAX = 60


class PolicyError(SettingsError):
    """A policy file cannot be used; nothing of it is in force."""

    code = "invalid_policies"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands in the file, both from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Problem:
    place: Place
    text: str  # what was expected, what came, what to do


def policy_error(name: str, problems: Iterable[Problem]) -> PolicyError:
    """One error for all problems, in the order of the file, one a line, at most 10."""
    found = sorted(problems, key=lambda problem: problem.place)
    lines = [
        f"{name}, line {each.place.line}, column {each.place.column}: {each.text}"
        for each in found[:MOST_TOLD]
    ]
    if len(found) > MOST_TOLD:
        lines.append(f"{name}: and {len(found) - MOST_TOLD} more.")
    return PolicyError("\n".join(lines))


def quoted(value: object) -> str:
    """What came, as the error shows it: on one line, and not much of it."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = ascii(str(value)) if not str(value).isprintable() else str(value)
    return f'"{text[:_QUOTED_MAX]}{"…" if len(text) > _QUOTED_MAX else ""}"'


def expected(what: str, value: object, hint: str = "") -> ValueError:
    """The error of a check: what was expected, what came, what to do."""
    return ValueError(f"expected {what}, got {quoted(value)}.{hint}")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` Did you mean "…"?`, or nothing."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' Did you mean "{close[0]}"?' if close else ""
