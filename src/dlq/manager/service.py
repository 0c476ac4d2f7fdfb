"""The manager itself: its parts put together, started and stopped in order."""

from __future__ import annotations

import logging
import threading
import time

from dlq.ledger import open_ledger
from dlq.ledger.base import Ledger
from dlq.manager.access import check_binding
from dlq.manager.broker import Broker
from dlq.manager.ingest import Ingest
from dlq.manager.ledger_probe import LedgerProbe
from dlq.manager.metrics import Metrics
from dlq.manager.replay import Replayer
from dlq.manager.sweeper import Sweeper
from dlq.manager.tokens import TokenStore
from dlq.settings import Settings, without_password
from dlq.states import State

logger = logging.getLogger(__name__)

STOP_S = 4.0
"""Bound of stopping: with the 3 s for requests in flight it stays within 10 s."""


class Manager:
    """Holds the ledger, and the broker unless embedded; the API asks it for everything."""

    def __init__(self, settings: Settings) -> None:
        """Open the ledger and check that it may be served.

        Raises:
            SettingsError: it would serve the network without any token.
            LedgerUnavailable: the ledger cannot be opened.
        """
        self.settings = settings
        self.tokens = TokenStore(settings.tokens_file)
        check_binding(settings, self.tokens)
        self.ledger: Ledger = open_ledger(
            settings.resolved_ledger_url, replay_budget=settings.replay_budget
        )
        self.metrics = Metrics()
        self.ingest = Ingest(self.ledger, self.metrics, retry_queue=settings.retry_queue)
        self.broker = self._broker() if settings.amqp_url else None
        publisher = self.broker.publisher if self.broker else None
        self.stopping = threading.Event()
        self.replayer = Replayer(
            self.ledger,
            publisher,
            self.metrics,
            settings,
            stopping=self.stopping,
            on_returned=self.broker.mend if self.broker else lambda: None,
        )
        self.metrics.watch(self.ledger, self.depths)
        self.probe = LedgerProbe(self.ledger)
        self.sweeper = Sweeper(self.ledger, self.replayer, settings)

    def start(self) -> None:
        if self.broker:
            self.broker.start()
        self.sweeper.start()
        logger.info(
            "DLQ manager started: %s, ledger %s",
            "RabbitMQ" if self.broker else "embedded (no broker)",
            without_password(self.settings.resolved_ledger_url),
        )

    def stop(self) -> None:
        """Finish what is in hand; what is not acked stays with the broker."""
        until = time.monotonic() + STOP_S
        self.stopping.set()
        if self.broker:
            self.broker.stop(until)
        self.sweeper.stop(until)
        self.replayer.close()
        self.ledger.close()
        logger.info("DLQ manager stopped")

    def depths(self) -> dict[str, int | None]:
        """Depth by queue name, None where it is not known.

        The main queue's is what an operator means by "in the DLQ": ledger rows that are
        pending, scheduled or parked, and what still waits in the broker.
        """
        settings, stats = self.settings, self.ledger.stats()
        if self.broker is None:
            return {
                settings.main_queue: stats.in_dlq,
                settings.retry_queue: stats.by_state[State.REPLAYING],
                settings.analysis_queue: 0,  # the tap exists only on a broker
            }
        seen = self.broker.inspect()
        main = seen.get(settings.main_queue)
        return {
            settings.main_queue: None if main is None else stats.in_dlq + main.ready,
            **{
                name: depth.ready if (depth := seen.get(name)) else None
                for name in (settings.retry_queue, settings.analysis_queue)
            },
        }

    def _broker(self) -> Broker:
        return Broker(
            self.settings,
            store_failures=self.ingest.failures,
            store_outcomes=self.ingest.outcomes,
            settled=self.ledger.settled,
        )
