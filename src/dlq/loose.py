"""Single values from a message that may hold anything: read if they can be, else left out; pure."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from email.utils import parsedate_to_datetime
from typing import Any

from dlq.message import SHORTSTR_BYTES, WireMessage, shorten_utf8, utc
from dlq.payload import clean_text

EPOCH_MS_FROM = 1e11
"""As seconds, a number from here on is past the year 5000: it is milliseconds."""
DIGEST_CHARS = 16
MAX_SECONDS = float(2**31)


def wire_headers(wire: WireMessage) -> dict[str, Any]:
    """Headers with names that are text; pika gives bytes for names that are not UTF-8."""
    return {string(name) or str(name): value for name, value in wire.headers.items()}


def string(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return clean_text(value) or None if isinstance(value, str) else None


def identifier(value: Any) -> str | None:
    """An id as text of at most 255 bytes; two ids that differ never become the same.

    Where cleaning or cutting changes it, a digest of what it was is added.
    """
    readable = string(value)
    if readable is None:
        return None
    short = shorten_utf8(readable, SHORTSTR_BYTES)
    if value in (short, short.encode("utf-8")):
        return short
    raw = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(raw).hexdigest()[:DIGEST_CHARS]
    return f"{shorten_utf8(short, SHORTSTR_BYTES - 1 - DIGEST_CHARS)}~{digest}"


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
    """A number of seconds, also as text; None if it is none, or negative. What is longer than
    anybody waits is cut and not left out: it does ask for a long wait."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = min(float(value), MAX_SECONDS)
    except ValueError:
        return None
    except OverflowError:  # an integer of hundreds of digits
        return MAX_SECONDS if not str(value).startswith("-") else None
    return number if number >= 0 else None


def instant(value: Any) -> dt.datetime | None:
    """An aware instant from ISO or RFC 2822 text, epoch seconds or milliseconds (also as text),
    or a datetime; None if it is none of them."""
    try:
        if isinstance(value, dt.datetime):
            return utc(value)
        if isinstance(value, str):
            return _instant_in(value.strip())
        if isinstance(value, int | float) and not isinstance(value, bool):
            in_seconds = value / 1000 if abs(value) > EPOCH_MS_FROM else value
            return dt.datetime.fromtimestamp(in_seconds, dt.UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def _instant_in(text: str) -> dt.datetime | None:
    if re.fullmatch(r"[0-9]{9,13}(\.[0-9]+)?", text):
        return instant(float(text))
    try:
        return utc(dt.datetime.fromisoformat(text))
    except ValueError:
        return utc(parsedate_to_datetime(text))
