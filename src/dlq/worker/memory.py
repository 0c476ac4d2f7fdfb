"""Which replays a worker has in hand or has dealt with: at-least-once made rarer.

A message whose ack was lost is delivered again. It need not be handled again: it is enough to
repeat what was said about it. `ReplayMemory` knows that for as long as its process lives;
`host_memory.py` for all workers of the host, and after they were killed.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from enum import Enum
from typing import Protocol


class Standing(Enum):
    NEW = "new"
    IN_HAND = "in_hand"  # another thread or process has it just now
    SUCCEEDED = "succeeded"
    REPORTED = "reported"  # failed, and the failure is safe in the DLQ


class Memory(Protocol):
    """What a worker remembers of replays. Callable from any thread; never raises.

    A message without replay_id is always NEW, and nothing is remembered of it.
    """

    def begin(self, replay_id: str | None) -> Standing:
        """How this replay stands. Unless it is IN_HAND, it is from now on the caller's,
        until `end`."""
        ...

    def remember(self, replay_id: str | None, standing: Standing) -> None:
        """It SUCCEEDED, or was REPORTED."""
        ...

    def end(self, replay_id: str | None) -> None:
        """Let go of it, whatever became of it."""
        ...

    def close(self) -> None:
        """The worker has stopped: what it still has in hand is anybody's. What a handler that
        comes back late makes known is still remembered."""
        ...


class ReplayMemory:
    """Remembers the last `capacity` replays that this process dealt with."""

    def __init__(self, capacity: int = 10_000) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._in_hand: set[str] = set()
        self._done: OrderedDict[str, Standing] = OrderedDict()

    def begin(self, replay_id: str | None) -> Standing:
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

    def close(self) -> None: ...
