"""Text for a terminal, made from text that nobody vouches for; pure.

Error messages, payloads and ids come from failures: they may hold escape sequences that
clear the screen or forge a line, bidirectional marks that reorder it, or markup.
"""

from __future__ import annotations

import datetime as dt
import unicodedata
from typing import Any

_DANGEROUS = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def one_line(value: Any) -> str:
    """`value` on one line; None is a dash. What could act on a terminal is shown escaped."""
    text = "–" if value is None else str(value)
    return "".join(_shown(c) for c in " ".join(text.split("\n")))


def block(value: Any) -> str:
    """The same, with line breaks and tabs kept."""
    lines = str(value).replace("\r\n", "\n").replace("\t", "    ").split("\n")
    return "\n".join("".join(_shown(c) for c in line) for line in lines)


def _shown(character: str) -> str:
    if character.isascii() and character.isprintable():
        return character
    if unicodedata.category(character) not in _DANGEROUS:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{{{code:x}}}"


def age(seconds: float | None) -> str:
    """The two largest units: `45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`; a dash for None."""
    if seconds is None:
        return "–"
    whole = max(0, int(seconds))
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, left = divmod(rest, 60)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{left} s"


def age_since(instant: Any, now: dt.datetime | None = None) -> str:
    """The age of an ISO instant; a dash if it is none."""
    try:
        then = dt.datetime.fromisoformat(instant)
    except (TypeError, ValueError):
        return "–"
    aware = then if then.tzinfo else then.replace(tzinfo=dt.UTC)
    return age(((now or dt.datetime.now(dt.UTC)) - aware).total_seconds())
