"""Values inside a dead letter by a dotted path, as `payload.album.id`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlq.errors import InvalidInput
from dlq.message import DLQMessage

MAX_PATH_CHARS = 255
ROOTS = ("payload", "metadata")
TEXT_FIELDS = (
    "message_id",
    "correlation_id",
    "routing_key",
    "error_type",
    "error_message",
    "error_class",
    "source_service",
)


def check_path(path: str) -> str:
    """The path, if a message could have a value there.

    Raises: InvalidInput.
    """
    root, *steps = path.split(".")
    inside = root in ROOTS and steps and all(steps)
    if len(path) <= MAX_PATH_CHARS and (inside or path in TEXT_FIELDS):
        return path
    raise InvalidInput(
        "Expected a path into a dead letter, as payload.track_id or metadata.spider, or one of "
        f"{', '.join(TEXT_FIELDS)}; got {path[:60]!r}."
    )


def value_at(message: DLQMessage, path: str) -> str | None:
    """The string, number or bool (`true`, `false`) at `path`, as text; None if nothing, null,
    an object or a list is there. A list is entered by number, from 0.

    Raises: InvalidInput: as `check_path`.
    """
    return scalar_text(at(message, check_path(path).split(".")))


def at(message: DLQMessage, steps: Sequence[str]) -> Any:
    """Whatever is there, the first step being an attribute of the message; None if nothing is."""
    root, *keys = steps
    value: Any = getattr(message, root)
    for key in keys:
        value = _inside(value, key)
    return value


def scalar_text(value: Any) -> str | None:
    """A JSON scalar as text; None for null and containers."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    return None


def _inside(value: Any, step: str) -> Any:
    if isinstance(value, dict):
        return value.get(step)
    is_index = step.isascii() and step.isdigit()
    if isinstance(value, list) and is_index and int(step) < len(value):
        return value[int(step)]
    return None
