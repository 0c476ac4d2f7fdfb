"""How the parts of a term are written, so that `grammar.parse` reads them back equal."""

from __future__ import annotations

import datetime as dt
import re

from dlq.payload import iso_z
from dlq.query.fields import ALL_STATES, DLQ_STATES
from dlq.states import IN_DLQ, State

KEYWORDS = frozenset({"not", "and", "or"})

_PLAIN = re.compile(r"[A-Za-z0-9_./@+][A-Za-z0-9_./@+-]*")
_PLAIN_KEY = re.compile(r"[\w-]+")
_UNITS_S = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


def sign(negated: bool) -> str:
    return "-" if negated else ""


def written(value: str) -> str:
    """Quoted only where it must be."""
    plain = _PLAIN.fullmatch(value) and value.casefold() not in KEYWORDS
    return value if plain else quoted(value)


def quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def start(value: str) -> str:
    """What only begins so; `*` alone for whatever there is."""
    return f"{written(value)}*" if value else "*"


def path(steps: tuple[str, ...]) -> str:
    """`payload.album."release date"`."""
    return ".".join(step if _PLAIN_KEY.fullmatch(step) else quoted(step) for step in steps)


def states(values: tuple[str, ...]) -> list[str]:
    whole = {tuple(State): ALL_STATES, IN_DLQ: DLQ_STATES}
    word = whole.get(tuple(State(value) for value in values))
    return [word] if word else list(values)


def measure(value: int | float | dt.timedelta | dt.datetime) -> str:
    if isinstance(value, dt.datetime):
        return iso_z(value)
    if isinstance(value, int | float):
        return str(value)
    left_s, parts = int(value.total_seconds()), []
    for unit, unit_s in _UNITS_S:
        count, left_s = divmod(left_s, unit_s)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
