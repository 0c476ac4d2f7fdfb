"""The sweeper brings back what got stuck between two custodians.

Every few seconds: replays that were begun but never confirmed are handed over again under
the same replay_id, and what has been `replaying` past its time comes back. On a broker the
retry queue itself sends back what nobody took, so what is silent for longer was acked by a
consumer that does not report: `presumed`. Embedded, nobody took it: `returned`.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time

from dlq.errors import DLQError
from dlq.ledger.base import Ledger
from dlq.manager.metrics import Metrics
from dlq.manager.replay import Replayer
from dlq.settings import Settings
from dlq.states import Outcome

logger = logging.getLogger(__name__)

BATCH = 500


class Sweeper:
    """One thread; a sweep that fails is logged, and the next one tries again."""

    def __init__(
        self, ledger: Ledger, replayer: Replayer, metrics: Metrics, settings: Settings
    ) -> None:
        self._ledger = ledger
        self._replayer = replayer
        self._metrics = metrics
        self._interval_s = settings.sweep_interval_s
        # A replay still waiting for its confirm must not be sent a second time beside it.
        self._unconfirmed_for = dt.timedelta(seconds=2 * settings.confirm_timeout_s)
        grace_s = settings.replay_grace_s if settings.amqp_url else 0.0
        self._silence = Outcome.PRESUMED if settings.amqp_url else Outcome.RETURNED
        self._silent_for = dt.timedelta(seconds=settings.retry_ttl_ms / 1000 + grace_s)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dlq-sweeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, until: float) -> None:
        """until: of `time.monotonic`."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(max(until - time.monotonic(), 0.0))

    def sweep(self, now: dt.datetime) -> None:
        resent = self._replayer.resend_unconfirmed(now - self._unconfirmed_for, BATCH)
        if resent:
            logger.info("Handed over %d replays again that had not been confirmed", resent)
        closed = self._ledger.close_overdue(now - self._silent_for, BATCH, self._silence)
        for error_type in closed:
            self._metrics.outcome(self._silence, error_type)
        if closed:
            logger.warning(
                "%d replays without an outcome in time are back in the DLQ: %s",
                len(closed),
                self._silence,
            )

    def _run(self) -> None:
        while not self._stopping.wait(self._interval_s):
            try:
                self.sweep(dt.datetime.now(dt.UTC))
            except DLQError as error:
                logger.warning("Sweep failed: %s", error)
            except Exception:
                logger.exception("Sweep failed")
