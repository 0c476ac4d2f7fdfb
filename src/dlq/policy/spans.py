"""Spans of time as people write and read them: `90s`, `1m`, `6h`, `30d`, `1h30m`; pure."""

from __future__ import annotations

import re

from dlq.policy.problems import expected

DAY_S = 86_400
MAX_SPAN_S = 3650 * DAY_S

_UNITS = (("d", "d", DAY_S), ("h", "h", 3600), ("m", "min", 60), ("s", "s", 1))
_SPAN = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9})s)?", re.ASCII)
_EXPECTED = "a time span such as 30s, 5m, 6h, 30d or 1h30m"


def parse_span(text: object) -> int:
    """Seconds, from 1 second to 3650 days.

    Raises:
        ValueError: says what was expected.
    """
    found = _SPAN.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None or not any(found.groups()):
        raise expected(_EXPECTED, text)
    seconds = sum(
        int(count or 0) * unit for count, (_, _, unit) in zip(found.groups(), _UNITS, strict=True)
    )
    if not 1 <= seconds <= MAX_SPAN_S:
        raise expected(f"{_EXPECTED}, from 1s to 3650d", text)
    return seconds


def show_span(seconds: float) -> str:
    """For people, to the two largest units: `2 min 3 s`, `30 d`."""
    rest, parts = round(max(seconds, 0)), []
    for _, name, unit in _UNITS:
        count, rest = divmod(rest, unit)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or "0 s"
