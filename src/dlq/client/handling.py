"""The replay that is being worked on right now, so that a failure in it is linked to it.

A worker runs the pipeline's own function, which may publish to the DLQ by itself. Inside
`handling(...)` such a publish reports "this replay failed again" under the same message_id
instead of making a second dead letter. The link follows the context: the same thread, the
same asyncio task and what they start with a copied context (`asyncio.to_thread`).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass

from dlq.client.failure import Failure
from dlq.client.receipt import Receipt
from dlq.message import DLQMessage

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Handling:
    """One replay in a worker's hands. `reported` is set once a failure of it was published, or
    could not be: a false receipt."""

    message: DLQMessage
    replay_id: str
    worker: str | None = None
    reported: Receipt | None = None
    is_over: bool = False


_current: ContextVar[Handling | None] = ContextVar("dlq_handling", default=None)


@contextlib.contextmanager
def handling(
    message: DLQMessage, replay_id: str, *, worker: str | None = None
) -> Iterator[Handling]:
    """Link what is published inside to this replay of `message`, in the hands of `worker`."""
    current = Handling(message, replay_id, worker)
    token = _current.set(current)
    try:
        yield current
    finally:
        # What the handler has left running still sees it: a failure that comes only now is
        # a dead letter of its own, for the replay is already answered.
        current.is_over = True
        _current.reset(token)


def handling_of(failure: Failure) -> Handling | None:
    """The replay that `failure` belongs to, if any.

    An explicit message_id other than the handled one is another dead letter.
    """
    current = _current.get()
    if (
        current is None
        or current.is_over
        or failure.message_id not in (None, current.message.message_id)
    ):
        return None
    if current.reported is not None:
        logger.debug("Message %s failed once more in one replay", current.message.message_id)
    return current
