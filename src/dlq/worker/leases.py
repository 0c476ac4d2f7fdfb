"""Keeps the leases of tasks in hand alive while their handlers work."""

from __future__ import annotations

import logging
import threading
import time

from dlq.errors import DLQError, NotFound
from dlq.worker.http import ManagerHttp

logger = logging.getLogger(__name__)

MAX_HOLD_S = 3600.0
"""A handler that has not come back by then hangs: its lease is no longer extended."""


class LeaseKeeper:
    """Extends each held lease at a third of its time, on one thread."""

    def __init__(self, manager: ManagerHttp, ttl_s: float) -> None:
        self._manager = manager
        self._ttl_s = ttl_s
        self._lock = threading.Lock()
        self._held: dict[str, float] = {}  # lease_id → since when, monotonic
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dlq-leases", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def hold(self, lease_id: str) -> None:
        with self._lock:
            self._held[lease_id] = time.monotonic()

    def drop(self, lease_id: str) -> None:
        with self._lock:
            self._held.pop(lease_id, None)

    def close(self, timeout_s: float) -> None:
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._closing.wait(self._ttl_s / 3):
            with self._lock:
                held = list(self._held.items())
            for lease_id, since in held:
                self._extend(lease_id, time.monotonic() - since)

    def _extend(self, lease_id: str, held_s: float) -> None:
        if held_s > MAX_HOLD_S:
            logger.error("a handler has not come back for %.0f s; its lease runs out", held_s)
            self.drop(lease_id)
            return
        try:
            self._manager.request(
                "POST",
                f"/dlq/leases/{lease_id}/extend",
                json={"ttl_s": self._ttl_s},
                timeout_s=max(1.0, self._ttl_s / 3),
            )
        except NotFound:
            # Settled just now by its own thread, or lost: the settling will say which.
            self.drop(lease_id)
        except DLQError as error:
            logger.warning("a lease could not be extended, trying again: %s", error)
