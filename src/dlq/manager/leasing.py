"""Whether workers ask for leases (embedded shape)."""

from __future__ import annotations

import time

RECENT_S = 60.0
"""A worker that waits for something to do asks again every 20 seconds at the latest."""


class Leasing:
    """When a worker asked last. Of this process only: the embedded shape has one manager."""

    def __init__(self) -> None:
        self._asked_at = float("-inf")

    def asked(self) -> None:
        self._asked_at = time.monotonic()

    @property
    def is_recent(self) -> bool:
        return time.monotonic() - self._asked_at < RECENT_S
