"""Takes messages from one queue in batches: commit first, then ack.

An `Intake` owns one consumer and one thread. Its `store` callback commits a batch to the
ledger; only when it returns are the deliveries acked. While storage fails nothing is acked:
the batch is held and tried again, and if the manager dies meanwhile the broker still has it.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dlq.backoff import equal_jitter
from dlq.errors import LedgerError, LedgerUnavailable
from dlq.transport.amqp import AmqpConsumer

if TYPE_CHECKING:
    from dlq.settings import Settings
    from dlq.transport.base import Delivery

logger = logging.getLogger(__name__)

STORAGE_RETRY_MAX_S = 15.0
ACK_WAIT_S = 5.0
IDLE_WAIT_S = 0.2
CLOSE_S = 0.5

Store = Callable[[Sequence["Delivery"]], list[int]]
"""Commits a batch. Returns the rows that `settled` must hear of once their acks are taken."""


class Intake:
    """Feeds `store` from a queue until stopped."""

    def __init__(
        self,
        settings: Settings,
        *,
        queue_name: str,
        store: Store,
        settled: Callable[[Sequence[int]], None],
    ) -> None:
        self._batch_size = settings.ingest_batch
        self._store = store
        self._settled = settled
        self._arrived: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._consumer = AmqpConsumer(
            settings,
            queue=queue_name,
            prefetch=settings.prefetch,
            on_delivery=self._arrived.put,
            name=f"manager {queue_name}",
        )
        self._thread = threading.Thread(
            target=self._run, name=f"dlq-intake-{queue_name}", daemon=True
        )

    @property
    def is_up(self) -> bool:
        return self._consumer.is_up

    @property
    def last_error(self) -> str | None:
        return self._consumer.last_error

    def start(self) -> None:
        self._thread.start()
        self._consumer.start()

    def ask_to_stop(self) -> None:
        """Take no further batch."""
        self._stopping.set()

    def stop(self, until: float) -> None:
        """Finish the batch in hand; what is not acked goes back to the queue.

        Args:
            until: of `time.monotonic`.
        """
        self.ask_to_stop()
        if self._thread.is_alive():
            self._thread.join(max(until - time.monotonic(), 0.0))
        self._consumer.close(CLOSE_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            if batch := self._next_batch():
                self._take_in(batch)

    def _next_batch(self) -> list[Delivery]:
        """Whatever has arrived, at least one unless nothing comes for a moment. While one
        batch is committed the next gathers, so batches grow with the load by themselves."""
        batch: list[Delivery] = []
        try:
            batch.append(self._arrived.get(timeout=IDLE_WAIT_S))
            while len(batch) < self._batch_size:
                batch.append(self._arrived.get_nowait())
        except queue.Empty:
            pass
        return batch

    def _take_in(self, batch: list[Delivery]) -> None:
        rows = self._store_until_done(batch)
        if rows is None:
            return
        acked = self._consumer.ack(batch)
        if rows:
            self._report_settled(rows, acked.result)

    def _report_settled(self, rows: list[int], result: Callable[[float], bool]) -> None:
        try:
            if result(ACK_WAIT_S):
                self._settled(rows)
        except (TimeoutError, LedgerError):
            # The marks run out by themselves; until then a redelivery is recognised.
            logger.warning("Could not settle %d messages without id", len(rows), exc_info=True)

    def _store_until_done(self, batch: list[Delivery]) -> list[int] | None:
        """None if stopped before the ledger took the batch."""
        attempt = 0
        while True:
            try:
                return self._store(batch)
            except Exception as error:
                attempt += 1
                pause_s = equal_jitter(attempt, base_s=0.5, cap_s=STORAGE_RETRY_MAX_S)
                known = isinstance(error, LedgerUnavailable)
                logger.log(
                    logging.WARNING if known else logging.ERROR,
                    "%d messages are not stored and stay unacked; trying again in %.1f s: %s",
                    len(batch),
                    pause_s,
                    error,
                    exc_info=None if known else error,
                )
                if self._stopping.wait(pause_s):
                    return None
