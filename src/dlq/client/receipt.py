"""What a caller gets back for one failure it handed over."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Custody(StrEnum):
    """Who holds the dead letter now."""

    CONFIRMED = "confirmed"  # the broker (or the manager) has confirmed it
    SPOOLED = "spooled"  # on this host's disk, fsynced; sent when the broker is back
    REFUSED = "refused"  # nobody is known to hold it; `reason` says why


@dataclass(frozen=True, slots=True)
class Receipt:
    """True exactly if the dead letter is safe: `if not dlq.publish_to_dlq(…): …`.

    `reason` is set for what is refused, and for what is spooled because the broker will
    not take it as it is.
    """

    message_id: str
    state: Custody
    reason: str | None = None

    def __bool__(self) -> bool:
        return self.state is not Custody.REFUSED
