"""An exception put into words: its message and its stack trace, bounded and redacted.

Exceptions are other people's code: `__str__` may raise, chains may be long, a recursion
leaves a thousand frames, and any text may hold a password. Nothing leaves this module
before `redact_text` has seen it, and nothing here raises.
"""

from __future__ import annotations

import traceback
from typing import Any

from dlq.payload import clean_text
from dlq.redact import redact_text

MESSAGE_CHARS = 64 * 1024
TRACE_CHARS = 256 * 1024
FRAMES = 100
"""Per exception in the chain, the last ones: they are next to where it was raised."""
CHAIN_LINKS = 50
MARGIN_CHARS = 4096
"""Redacted beyond the cut, so that a secret on the cut is not left half readable."""


def as_exception(error: Any) -> BaseException | None:
    """The exception behind `error`, also behind a Twisted `Failure`; None for a text."""
    try:
        # A Failure is itself a BaseException.
        inner = error.value if hasattr(error, "getTraceback") else error
    except Exception:  # noqa: BLE001 - a hostile exception that lets nobody look at it
        inner = error
    return inner if isinstance(inner, BaseException) else None


def message_of(error: Any) -> str:
    """What the error says of itself; its class's name if it says nothing."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a broken __str__ must not cost the dead letter
        text = f"<{type(error).__name__} whose text cannot be read>"
    text = _redacted(text, MESSAGE_CHARS)
    return cut(text, MESSAGE_CHARS) or type(error).__name__


def trace_of(error: BaseException) -> str | None:
    """The formatted traceback with its chain of causes; None if there is none to show."""
    try:
        text = _format(error)
    except Exception:  # noqa: BLE001 - a hostile exception: its message will have to do
        return None
    return cut(_redacted(text, TRACE_CHARS, keep_end=True), TRACE_CHARS)


def told(trouble: BaseException) -> str:
    """Trouble of our own for a log line. Not `logger.exception`: the failure that is being
    published is in the chain, with its secrets, and may break whoever formats it."""
    return trace_of(trouble) or type(trouble).__name__


def cut(text: str, limit: int) -> str:
    """`text`, or its start and its end with a note between, in at most `limit` characters."""
    if len(text) <= limit:
        return text
    note = f"\n… {len(text) - limit} or more characters left out …\n"
    room = max(limit - len(note), 0)
    head = room // 2
    tail = room - head
    return (text[:head] + note + text[len(text) - tail :])[:limit]


def _format(error: BaseException) -> str:
    if _chain_length(error) > CHAIN_LINKS:
        frames = traceback.format_tb(error.__traceback__, limit=-FRAMES)
        return (
            f"(caused by more than {CHAIN_LINKS} other exceptions, left out)\n"
            f"Traceback (most recent call last):\n{''.join(frames)}{type(error).__qualname__}"
        )
    shown = traceback.TracebackException.from_exception(error, limit=-FRAMES)
    return "".join(shown.format())


def _chain_length(error: BaseException) -> int:
    length, link, seen = 0, error, {id(error)}
    while length <= CHAIN_LINKS:
        cause = link.__cause__ or link.__context__
        if cause is None or id(cause) in seen:
            break
        seen.add(id(cause))
        link = cause
        length += 1
    return length


def _redacted(text: str, limit: int, *, keep_end: bool = False) -> str:
    bound = limit + MARGIN_CHARS
    if len(text) > bound:
        text = cut(text, bound) if keep_end else text[:bound]
    return redact_text(clean_text(text))
