"""One replay in a worker's hand, and what the worker asks of the place it came from.

Two sources: `amqp_source.py` (the retry queue of a broker) and `http_source.py` (leases of
the manager). In both a task that is neither succeeded, failed nor released, because the
worker died or the network did, is handed out again: handlers see a message at least once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dlq.client.handling import Handling
from dlq.decode import decode, unpacked
from dlq.message import MAX_RETRIES_HEADER, REPLAY_ID_HEADER, DLQMessage, Form, WireMessage
from dlq.payload import as_object, clean_text


@dataclass(frozen=True, slots=True)
class Task:
    """A message to handle. `origin` means something only to the source that gave it.

    `readable` is False when the body is no JSON object: then the payload is only
    `{"text": …}` or `{"base64": …}`, and just a handler named "malformed" may have it.
    `replay_id` is None for a message that somebody put on the retry queue by hand.
    """

    message: DLQMessage
    readable: bool
    replay_id: str | None
    max_tries: int
    origin: Any


class Source(Protocol):
    """Where tasks come from and where their outcomes go. Callable from any thread."""

    def start(self) -> None: ...

    @property
    def is_up(self) -> bool:
        """Whether tasks can come, as far as is known."""
        ...

    def take(self, timeout_s: float) -> Task | None:
        """The next task, or None if none came in time (an unreachable source included).

        Raises: DLQError: this worker will never be given any; the text says why.
        """
        ...

    def succeed(self, task: Task) -> None:
        """Report the success; let go of the task once that is confirmed.

        Raises:
            TransportError: not confirmed; the task is still held.
            NotFound: the task was no longer ours; it is, or will be, handed out again.
        """
        ...

    def fail(self, task: Task, handling: Handling, error: BaseException, tries: int) -> None:
        """Send the dead letter back with its new error. Once that is safe it returns, and
        the task is held until `let_go`.

        Raises: as `succeed`.
        """
        ...

    def let_go(self, task: Task) -> None:
        """The failure was sent back under this replay, now or before. Never raises."""
        ...

    def decline(self, task: Task, why: str) -> None:
        """Send it back to the DLQ as it was: it did not fail, nobody here can handle it.

        Raises: as `succeed`.
        """
        ...

    def release(self, task: Task) -> None:
        """Give it back unworked, for anybody. Never raises."""
        ...

    def close(self, timeout_s: float) -> None:
        """Give back what was not taken, and let go of the connections."""
        ...


def task_of(wire: WireMessage, origin: Any) -> Task:
    """Read a message of the retry queue; never raises."""
    decoded = decode(wire)
    return Task(
        message=decoded.message,
        readable=decoded.form is not Form.MALFORMED or _body_is(wire, decoded.message.payload),
        replay_id=_replay_id(wire.headers),
        max_tries=_max_tries(wire.headers),
        origin=origin,
    )


def _body_is(wire: WireMessage, payload: Mapping[str, Any]) -> bool:
    """Another service's JSON, which RabbitMQ once dead-lettered, is the payload itself."""
    try:
        document = json.loads(unpacked(wire))
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and as_object(document) == payload


def _replay_id(headers: Mapping[str, Any]) -> str | None:
    value = headers.get(REPLAY_ID_HEADER)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return clean_text(value) if isinstance(value, str) and 0 < len(value) <= 64 else None


def _max_tries(headers: Mapping[str, Any]) -> int:
    value = headers.get(MAX_RETRIES_HEADER)
    return value if isinstance(value, int) and value >= 1 else 1
