"""Whether it is worth waiting for the broker, learned from what became of earlier messages."""

from __future__ import annotations

import logging
import threading

logger = logging.getLogger(__name__)


class Reachability:
    """Up until a message was not confirmed; down until a probe gets through."""

    def __init__(self, destination: str, spool_path: object) -> None:
        self._destination = destination
        self._spool_path = spool_path
        self._lock = threading.Lock()
        self.is_down = False

    def lost(self, reason: str) -> None:
        with self._lock:
            if self.is_down:
                return
            self.is_down = True
        logger.warning(
            "%s does not confirm (%s); dead letters go to the spool %s until it does",
            self._destination,
            reason,
            self._spool_path,
        )

    def found(self) -> None:
        with self._lock:
            if not self.is_down:
                return
            self.is_down = False
        logger.info("%s confirms again", self._destination)
