"""Reads the values of a filter. Each raises ValueError with a sentence for people: what was
expected, what came."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterable
from typing import Any

from dlq.message import utc
from dlq.query.fields import ALL_STATES, DLQ_STATES, Operator, field_named, similar
from dlq.query.terms import WHOLE_GROUP_CHARS
from dlq.states import IN_DLQ, State

MAX_CHARS = 2000
"""Of a filter, as it is typed and as it is written out again."""
MIN_GROUP_CHARS = 4
MAX_COUNT = 2**31 - 1
MAX_DURATION = dt.timedelta(days=36_500)

_HEX = re.compile(rf"[0-9a-f]{{{MIN_GROUP_CHARS},{WHOLE_GROUP_CHARS}}}")
_COUNT = re.compile(r"[0-9]{1,10}")
_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?(e[+-]?[0-9]{1,3})?", re.IGNORECASE)
_DURATION = re.compile(r"(?:[0-9]{1,10}[smhdw]){1,5}")
_DURATION_PART = re.compile(r"([0-9]{1,10})([smhdw])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_WITHIN_THE_DAY = {Operator.AT_MOST: Operator.LESS, Operator.MORE: Operator.AT_LEAST}


def shown(text: str) -> str:
    """What came, for a message: quoted, and not at length."""
    return repr(text if len(text) <= 60 else f"{text[:60]}…")


def choice(field_name: str, text: str) -> str:
    """One of a field's closed set, in any case."""
    field = field_named(field_name)
    choices = field.choices if field else ()
    word = text.casefold()
    if word in choices:
        return word
    meant = similar(text, choices)
    hint = f" Did you mean {meant}?" if meant else ""
    raise ValueError(f"expected one of {', '.join(choices)}, got {shown(text)}.{hint}")


def name(field_name: str, text: str) -> str:
    """As the ledger holds it: an error_type is always in lower case."""
    return text.lower() if field_name == "error_type" else text


def states_named(names: Iterable[str]) -> tuple[State, ...]:
    """States by name, with `all` and `dlq` for several."""
    several: dict[str, tuple[State, ...]] = {ALL_STATES: tuple(State), DLQ_STATES: IN_DLQ}
    return tuple(state for name in names for state in several.get(name) or (State(name),))


def group_start(text: str) -> str:
    """The hex digits of a fingerprint, or the first of them."""
    digits = text.casefold()
    if not _HEX.fullmatch(digits):
        raise ValueError(
            f"expected {MIN_GROUP_CHARS} to {WHOLE_GROUP_CHARS} hex digits of a group, as "
            f"`dlq groups` shows it, got {shown(text)}."
        )
    return digits


def count(text: str) -> int:
    if not _COUNT.fullmatch(text) or int(text) > MAX_COUNT:
        raise ValueError(f"expected a whole number from 0 to {MAX_COUNT:,}, got {shown(text)}.")
    return int(text)


def number(text: str) -> int | float:
    found = number_in(text)
    if found is None:
        raise ValueError(f"expected a number as 40, -3 or 0.5, got {shown(text)}.")
    return found


def number_in(value: Any) -> int | float | None:
    """A finite number, also one that is written as a text; None of everything else."""
    if isinstance(value, str) and (found := _NUMBER.fullmatch(value)):
        value = float(value) if found[1] or found[2] else int(value)
    if isinstance(value, bool):
        return None
    is_number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    return value if is_number else None


def duration(text: str) -> dt.timedelta:
    """`30s`, `15m`, `1h`, `7d`, `2w`, and together as `1h30m`."""
    if not _DURATION.fullmatch(text.casefold()):
        raise ValueError(
            f"expected a duration as 30s, 15m, 1h, 7d, 2w or 1h30m, got {shown(text)}."
        )
    parts = _DURATION_PART.findall(text.casefold())
    length_s = sum(int(number) * _UNIT_S[unit] for number, unit in parts)
    if length_s > MAX_DURATION.total_seconds():
        raise ValueError(f"expected a duration of at most {MAX_DURATION.days}d, got {shown(text)}.")
    return dt.timedelta(seconds=length_s)


def instant(operator: Operator, text: str) -> tuple[Operator, dt.datetime]:
    """An ISO 8601 date or time, in UTC unless it says otherwise. A date is the whole day: at
    most it means until its end, more than it from the next day on."""
    try:
        begins = utc(dt.datetime.fromisoformat(text))
        if _DAY.fullmatch(text) and operator in _WITHIN_THE_DAY:
            return _WITHIN_THE_DAY[operator], begins + dt.timedelta(days=1)
    except (ValueError, OverflowError):
        raise ValueError(
            f"expected a date or time in UTC as 2026-11-01 or 2026-11-01T12:00:00Z, "
            f"got {shown(text)}."
        ) from None
    return operator, begins
