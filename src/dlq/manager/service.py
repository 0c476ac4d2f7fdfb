"""The manager itself: its parts put together, started and stopped in order."""

from __future__ import annotations

import logging
import threading
import time

from dlq.circuit import CircuitRules
from dlq.classify import load_rules, use_rules
from dlq.fingerprint import load_fingerprinter, use_fingerprinter
from dlq.ledger import ReplayRules, open_ledger
from dlq.ledger.base import Ledger, LedgerStats
from dlq.manager.access import check_binding
from dlq.manager.broker import Broker
from dlq.manager.handover import HandOver
from dlq.manager.ingest import Ingest
from dlq.manager.jobs import JobDesk
from dlq.manager.keeper import Keeper
from dlq.manager.leasing import Leasing
from dlq.manager.ledger_probe import LedgerProbe
from dlq.manager.metrics import Metrics
from dlq.manager.purge import Purger
from dlq.manager.regroup import Regrouper
from dlq.manager.replay import Replayer
from dlq.manager.runner import Runner
from dlq.manager.scheduler import Scheduler
from dlq.manager.sweeper import Sweeper
from dlq.manager.tokens import TokenStore
from dlq.policy import load_policies
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
            SettingsError: it would serve the network without any token, or its rules, its
                fingerprinter or its retry policies cannot be read.
            LedgerUnavailable: the ledger cannot be opened.
        """
        self.settings = settings
        self.tokens = TokenStore(settings.tokens_file)
        check_binding(settings, self.tokens)
        use_rules(load_rules(settings.rules_file))
        use_fingerprinter(
            load_fingerprinter(settings.fingerprinter) if settings.fingerprinter else None
        )
        self.policies = load_policies(settings.policies_file) if settings.auto_retry else None
        self.ledger: Ledger = open_ledger(settings.resolved_ledger_url, rules=rules_of(settings))
        self.metrics = Metrics()
        self.ingest = Ingest(
            self.ledger, self.metrics, retry_queue=settings.retry_queue, on_closed=self._nudge
        )
        self.broker = self._broker() if settings.amqp_url else None
        self.stopping = threading.Event()
        self.handover = HandOver(
            self.ledger,
            self.broker.publisher if self.broker else None,
            settings,
            stopping=self.stopping,
            on_returned=self.broker.mend if self.broker else lambda: None,
        )
        self.replayer = Replayer(
            self.ledger, self.handover, self.metrics, settings, stopping=self.stopping
        )
        self.leasing = Leasing()
        scheduler = Scheduler(self.ledger, self.policies, worker_is_there=self.worker_is_there)
        self.runner = Runner(self.ledger, self.handover, scheduler, self.metrics)
        self.jobs = JobDesk(
            self.ledger,
            self.broker,
            settings,
            worker_is_there=self.worker_is_there,
            on_new=self.runner.nudge,
        )
        self.keeper = Keeper(
            self.ledger, settings, main_depth=self._main_depth, on_expired=self.metrics.expired
        )
        self.purger = Purger(self.ledger, stopping=self.stopping)
        self.regrouper = Regrouper(self.ledger, stopping=self.stopping)
        self.metrics.watch(self.ledger, self.depths, lambda: self.keeper.outlook)
        self.probe = LedgerProbe(self.ledger)
        self.sweeper = Sweeper(self.ledger, self.replayer, self.metrics, settings)

    def start(self) -> None:
        if self.broker:
            self.broker.start()
        self.sweeper.start()
        self.keeper.start()
        self.runner.start()
        logger.info(
            "DLQ manager started: %s, ledger %s",
            "RabbitMQ" if self.broker else "embedded (no broker)",
            without_password(self.settings.resolved_ledger_url),
        )

    def stop(self) -> None:
        """Finish what is in hand; what is not acked stays with the broker."""
        until = time.monotonic() + STOP_S
        self.stopping.set()
        self.runner.ask_to_stop()
        self.keeper.ask_to_stop()
        if self.broker:
            self.broker.stop(until)
        self.runner.stop(until)
        self.sweeper.stop(until)
        self.keeper.stop(until)
        self.replayer.close()
        self.ledger.close()
        logger.info("DLQ manager stopped")

    def depths(self, stats: LedgerStats) -> dict[str, int | None]:
        """Depth by queue name, None where it is not known.

        The main queue's is what an operator means by "in the DLQ": ledger rows that are
        pending, scheduled or parked, and what still waits in the broker.
        """
        settings = self.settings
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

    def _main_depth(self) -> int | None:
        """Messages that wait in the broker's main queue; None: not known, or no broker."""
        if self.broker is None:
            return None
        depth = self.broker.inspect().get(self.settings.main_queue)
        return None if depth is None else depth.ready

    def worker_is_there(self) -> bool | None:
        """Whether somebody takes replays: consumes the retry queue, or asks for leases. None:
        the broker does not say."""
        if self.broker is None:
            return self.leasing.is_recent
        depth = self.broker.inspect().get(self.settings.retry_queue)
        return None if depth is None else depth.consumers > 0

    def _nudge(self) -> None:
        self.runner.nudge()

    def _broker(self) -> Broker:
        return Broker(
            self.settings,
            store_failures=self.ingest.failures,
            store_outcomes=self.ingest.outcomes,
            settled=self.ledger.settled,
        )


def rules_of(settings: Settings) -> ReplayRules:
    return ReplayRules(
        replay_budget=settings.replay_budget,
        concurrency=settings.replay_concurrency,
        slot_s=settings.replay_slot_s,
        canary_wait_s=settings.canary_wait_s,
        limits=settings.limits,
        circuit=CircuitRules(settings.circuit_failures, settings.circuit_cooldown_s),
    )
