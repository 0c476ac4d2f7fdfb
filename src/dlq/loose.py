"""Single values from a message that may hold anything: read if they can be, else left out; pure."""

from __future__ import annotations

import datetime as dt
from typing import Any

from dlq.message import WireMessage, utc
from dlq.payload import clean_text


def wire_headers(wire: WireMessage) -> dict[str, Any]:
    """Headers with names that are text; pika gives bytes for names that are not UTF-8."""
    return {string(name) or str(name): value for name, value in wire.headers.items()}


def string(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return clean_text(value) or None if isinstance(value, str) else None


def text(*candidates: Any) -> str:
    for candidate in candidates:
        if (found := string(candidate)) is not None:
            return found
    return ""


def count(*candidates: Any) -> int:
    for candidate in candidates:
        if isinstance(candidate, bool):
            continue
        if isinstance(candidate, str) and candidate.isascii() and candidate.isdigit():
            candidate = int(candidate[:10])
        if isinstance(candidate, int | float) and 0 <= candidate < 2**31:
            return int(candidate)
    return 0


def http_status(value: Any) -> int | None:
    return value if isinstance(value, int) and 100 <= value <= 599 else None


def seconds(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 2**31 else None


def instant(value: Any) -> dt.datetime | None:
    """An aware instant from ISO text, epoch seconds or a datetime; None if it is neither."""
    try:
        if isinstance(value, dt.datetime):
            return utc(value)
        if isinstance(value, str):
            return utc(dt.datetime.fromisoformat(value.strip()))
        if isinstance(value, int | float) and not isinstance(value, bool):
            return dt.datetime.fromtimestamp(value, dt.UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None
