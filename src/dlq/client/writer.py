"""Writes to the spool on a thread of its own, so that no caller waits on a disk for ever.

Callers get a future and bound their own wait. What waits together is written in one
transaction: fifty threads share one fsync. What a caller no longer waits for stays in
memory, within a bound, and is written when the disk answers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field

from dlq.client.spool import Addressed, Spool
from dlq.errors import SpoolError, SpoolFull

logger = logging.getLogger(__name__)

BACKLOG_BYTES = 64 * 1024 * 1024
"""Held in memory at most while the disk does not answer."""
BATCH_COUNT = 1000


@dataclass(frozen=True, slots=True)
class _Waiting:
    message: Addressed
    written: Future[None] = field(default_factory=Future)


class SpoolWriter:
    """Puts messages into the spool in the order they came."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._changed = threading.Condition()
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._writing = 0
        self._closing = False
        self._thread: threading.Thread | None = None
        self.is_stuck = False

    def put(self, message: Addressed) -> Future[None]:
        """Write one message; returns at once. The future fails with a `SpoolError`:
        `SpoolFull` if the bound is reached."""
        waiting = _Waiting(message)
        size = len(message.wire.body)
        with self._changed:
            if self._waiting_bytes and self._waiting_bytes + size > BACKLOG_BYTES:
                waiting.written.set_exception(
                    SpoolError(f"The disk under {self._spool.path} does not answer.")
                )
                return waiting.written
            self._waiting.append(waiting)
            self._waiting_bytes += size
            threaded = self._ensure_thread()
            self._changed.notify_all()
        if not threaded:
            self._write_what_waits()
        return waiting.written

    def gave_up(self) -> None:
        """A caller's wait ran out: until a write succeeds, nobody needs to wait again."""
        self.is_stuck = True

    def flush(self, timeout_s: float) -> bool:
        """Wait until all is written (or refused). Returns: whether it is."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._waiting and not self._writing, max(timeout_s, 0.0)
            )

    def close(self, timeout_s: float) -> bool:
        """Write what waits and end the thread. A later `put` starts another."""
        until = time.monotonic() + timeout_s
        flushed = self.flush(timeout_s)
        with self._changed:
            self._closing = True
            thread, self._thread = self._thread, None
            self._changed.notify_all()
        if thread is not None and flushed:
            thread.join(max(until - time.monotonic(), 0.0))
        return flushed

    def _ensure_thread(self) -> bool:
        if self._thread is None:
            self._closing = False
            thread = threading.Thread(target=self._run, name="dlq-spool-writer", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no more threads, or the interpreter is going down
                return False
            self._thread = thread
        return True

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
            self._write_what_waits()

    def _write_what_waits(self) -> None:
        with self._changed:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_COUNT))]
            self._writing += 1
        try:
            self._write(batch)
        finally:
            with self._changed:
                self._waiting_bytes -= sum(len(w.message.wire.body) for w in batch)
                self._writing -= 1
                self._changed.notify_all()

    def _write(self, batch: list[_Waiting]) -> None:
        try:
            stored = self._spool.append([waiting.message for waiting in batch])
        except Exception as error:  # noqa: BLE001 - it goes to the callers, who log it
            trouble = error if isinstance(error, SpoolError) else SpoolError(repr(error))
            for waiting in batch:
                waiting.written.set_exception(trouble)
            return
        self.is_stuck = False
        for waiting, fits in zip(batch, stored, strict=True):
            if fits:
                waiting.written.set_result(None)
            else:
                waiting.written.set_exception(
                    SpoolFull(
                        f"The spool {self._spool.path} has reached DLQ_SPOOL_MAX_BYTES. Bring the "
                        "broker back, or raise the bound."
                    )
                )
