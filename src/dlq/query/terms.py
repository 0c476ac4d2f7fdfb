"""The terms of a filter, and how each is written: what `grammar.parse` reads back."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass

from dlq.payload import iso_z
from dlq.query.fields import ALL_STATES, DLQ_STATES, Operator
from dlq.states import IN_DLQ, State

KEYWORDS = frozenset({"not", "and", "or"})
WHOLE_GROUP_CHARS = 16
"""Of a fingerprint; fewer hex digits are the start of one."""

_PLAIN = re.compile(r"[A-Za-z0-9_./@+][A-Za-z0-9_./@+-]*")
_WHOLE_GROUP = re.compile(rf"[0-9a-f]{{{WHOLE_GROUP_CHARS}}}")
_UNITS_S = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


@dataclass(frozen=True, slots=True)
class AnyOf:
    """A field whose text is one of `values`, or begins with one of `starts`."""

    field: str
    values: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()
    negated: bool = False

    def text(self) -> str:
        if self.field == "state":
            shown = _states(self.values)
        elif self.field == "group":  # quoted, since without quotes a short one is a start
            exact = [v if _WHOLE_GROUP.fullmatch(v) else _quoted(v) for v in self.values]
            shown = [*exact, *self.starts]
        else:
            shown = [_written(v) for v in self.values] + [f"{_written(s)}*" for s in self.starts]
        return f"{_sign(self.negated)}{self.field}:{','.join(shown)}"


@dataclass(frozen=True, slots=True)
class Compare:
    """A field compared with a number, an instant, or (`age`) a duration."""

    field: str
    operator: Operator
    value: int | dt.timedelta | dt.datetime
    negated: bool = False

    def text(self) -> str:
        return f"{_sign(self.negated)}{self.field}{self.operator}{_measure(self.value)}"


@dataclass(frozen=True, slots=True)
class Contains:
    """Free text, in any case, somewhere in what `search.searchable` collects."""

    phrase: str
    negated: bool = False

    def text(self) -> str:
        return f"{_sign(self.negated)}{_written(self.phrase)}"


Term = AnyOf | Compare | Contains


def states_term(states: Iterable[State], negated: bool = False) -> AnyOf:
    """The states in their own order, so that equal choices are equal terms."""
    wanted = set(states)
    return AnyOf("state", tuple(s.value for s in State if s in wanted), negated=negated)


def _sign(negated: bool) -> str:
    return "-" if negated else ""


def _written(value: str) -> str:
    plain = _PLAIN.fullmatch(value) and value.casefold() not in KEYWORDS
    return value if plain else _quoted(value)


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _states(values: tuple[str, ...]) -> list[str]:
    whole = {tuple(State): ALL_STATES, IN_DLQ: DLQ_STATES}
    word = whole.get(tuple(State(value) for value in values))
    return [word] if word else list(values)


def _measure(value: int | dt.timedelta | dt.datetime) -> str:
    if isinstance(value, dt.datetime):
        return iso_z(value)
    if isinstance(value, int):
        return str(value)
    left_s, parts = int(value.total_seconds()), []
    for unit, unit_s in _UNITS_S:
        count, left_s = divmod(left_s, unit_s)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
