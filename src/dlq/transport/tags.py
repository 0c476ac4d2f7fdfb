"""Arithmetic of delivery tags, for publishing and for consuming; pure.

A channel numbers what goes over it 1, 2, 3 …; one answer may stand for all tags up to its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass

from dlq.message import WireMessage
from dlq.transport.properties import EncodedProperties


@dataclass(slots=True, eq=False)
class Pending:
    """A message on its way, and who waits for it. `returned` is the broker's reason if it
    came back: its confirm, which still follows, must not count."""

    wire: WireMessage
    properties: EncodedProperties
    future: Future[None]
    returned: str | None = None


class ConfirmWindow:
    """What was published on one channel and is not confirmed, oldest first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._last_tag = 0
        self._pending: dict[int, Pending] = {}

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def has_room(self) -> bool:
        return len(self._pending) < self._size

    def sent(self, pending: Pending) -> None:
        """Note what was published just now: the channel gives it the next tag."""
        self._last_tag += 1
        self._pending[self._last_tag] = pending

    def settle(self, tag: int, *, multiple: bool) -> list[Pending]:
        """Take out what a confirm speaks of. With `multiple` it is all up to `tag`; tag 0
        then means all there are."""
        if not multiple:
            single = self._pending.pop(tag, None)
            return [] if single is None else [single]
        tags = []
        for known in self._pending:
            if known > tag > 0:
                break
            tags.append(known)
        return [self._pending.pop(known) for known in tags]

    def mark_returned(
        self, message_id: str | None, routing_key: str, body: bytes, why: str
    ) -> bool:
        """Note that the oldest message like this came back; False if there is none.

        A return carries no tag. The same message may be in the window twice, and then either
        will do, since both are returned.
        """
        for pending in self._pending.values():
            wire = pending.wire
            if (
                pending.returned is None
                and wire.routing_key == routing_key
                and wire.properties.get("message_id") == message_id
                and wire.body == body
            ):
                pending.returned = why
                return True
        return False

    def empty(self) -> list[Pending]:
        """Take out everything."""
        pending = list(self._pending.values())
        self._pending.clear()
        return pending


def take_settlements(unsettled: dict[int, None], tags: Iterable[int]) -> list[tuple[int, bool]]:
    """The fewest (tag, multiple) that settle `tags`, which leave `unsettled`.

    Args:
        unsettled: tags delivered and not settled, in the order of delivery.
        tags: those to settle; unknown ones are left out.
    """
    wanted = {tag for tag in tags if tag in unsettled}
    prefix = []
    for tag in unsettled:
        if tag not in wanted:
            break
        prefix.append(tag)
    for tag in wanted:
        del unsettled[tag]
    settlements = [(prefix[-1], len(prefix) > 1)] if prefix else []
    settlements += [(tag, False) for tag in sorted(wanted.difference(prefix))]
    return settlements
