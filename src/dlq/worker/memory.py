"""Which replays this worker has in hand or has dealt with: at-least-once made rarer.

A message whose ack was lost is delivered again. Within one process it need not be handled
again: it is enough to repeat what was said about it. Held in memory and bounded; after a
restart a redelivered replay is handled again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from enum import Enum, auto


class Standing(Enum):
    NEW = auto()
    IN_HAND = auto()  # another thread has it just now
    SUCCEEDED = auto()
    REPORTED = auto()  # failed, and the failure is safe in the DLQ


class ReplayMemory:
    """Remembers the last `capacity` replays that were dealt with; thread-safe."""

    def __init__(self, capacity: int = 10_000) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._in_hand: set[str] = set()
        self._done: OrderedDict[str, Standing] = OrderedDict()

    def begin(self, replay_id: str | None) -> Standing:
        """How this replay stands. Unless it is IN_HAND, it is from now on the caller's,
        until `end`. A message without replay_id is always NEW."""
        if replay_id is None:
            return Standing.NEW
        with self._lock:
            if replay_id in self._in_hand:
                return Standing.IN_HAND
            self._in_hand.add(replay_id)
            return self._done.get(replay_id, Standing.NEW)

    def remember(self, replay_id: str | None, standing: Standing) -> None:
        if replay_id is None:
            return
        with self._lock:
            self._done[replay_id] = standing
            self._done.move_to_end(replay_id)
            while len(self._done) > self._capacity:
                self._done.popitem(last=False)

    def end(self, replay_id: str | None) -> None:
        if replay_id is not None:
            with self._lock:
                self._in_hand.discard(replay_id)
