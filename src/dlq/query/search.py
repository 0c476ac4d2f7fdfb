"""The text of a dead letter that free text is looked for in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dlq.message import DLQMessage
from dlq.query.paths import scalar_text

MAX_CHARS = 8000
MAX_VALUES = 2000
"""Of payload and metadata together that are looked at, however they nest."""


def searchable(message: DLQMessage, title: str) -> str:
    """Title, error class, id, error message, and the values of metadata and payload, a line
    each, casefolded, at most `MAX_CHARS` characters. The error message is cut at half of them,
    so that a page of HTML does not leave the payload out.
    """
    pieces = [title, message.error_class or "", message.message_id]
    pieces.append(message.error_message[: MAX_CHARS // 2])
    left = MAX_CHARS - sum(map(len, pieces))
    for value in _values([message.metadata, message.payload]):
        if left <= 0:
            break
        pieces.append(value[:left])
        left -= len(value) + 1
    return "\n".join(filter(None, pieces)).casefold()[:MAX_CHARS]


def _values(roots: list[Any]) -> Iterator[str]:
    """The scalars in order of their appearance. A stack, not recursion: payloads may nest
    deeper than Python can."""
    waiting: list[Iterator[Any]] = [iter(roots)]
    looked_at = 0
    while waiting and looked_at < MAX_VALUES:
        looked_at += 1
        value = next(waiting[-1], _END)
        if value is _END:
            waiting.pop()
        elif isinstance(value, dict):
            waiting.append(iter(value.values()))
        elif isinstance(value, list):
            waiting.append(iter(value))
        elif (text := scalar_text(value)) is not None:
            yield text


_END: Any = object()
