"""The manager's side of the broker: connections, topology, depths, and how they are.

None of this exists in the embedded shape. The manager starts without the broker and goes on
without it; everything here keeps trying and says how it stands.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dlq.errors import BrokerUnavailable, DLQError, TopologyError
from dlq.manager.intake import Intake
from dlq.settings import Settings
from dlq.transport.amqp import AmqpControl, AmqpPublisher, Mismatch, QueueDepth
from dlq.transport.base import Delivery

logger = logging.getLogger(__name__)

INSPECT_TIMEOUT_S = 2.0
INSPECT_MAX_AGE_S = 0.05
TOPOLOGY_TIMEOUT_S = 10.0
TOPOLOGY_RETRY_S = 2.0
CLOSE_S = 0.5


@dataclass(frozen=True, slots=True)
class BrokerReport:
    """How the broker stands, for `/health`."""

    connected: bool
    mismatches: list[Mismatch] = field(default_factory=list)
    problem: str | None = None


class Broker:
    """Publisher, intakes and control connection of one manager."""

    def __init__(
        self,
        settings: Settings,
        *,
        store_failures: Callable[[Sequence[Delivery]], list[int]],
        store_outcomes: Callable[[Sequence[Delivery]], list[int]],
        settled: Callable[[Sequence[int]], None],
    ) -> None:
        self.publisher = AmqpPublisher(settings, name="manager replay")
        self._control = AmqpControl(settings)
        self._failures = Intake(
            settings, queue_name=settings.main_queue, store=store_failures, settled=settled
        )
        self._outcomes = Intake(
            settings, queue_name=settings.outcomes_queue, store=store_outcomes, settled=settled
        )
        self._mismatches: list[Mismatch] = []
        self._problem: str | None = None
        self._stopping = threading.Event()
        self._setup = threading.Thread(target=self._set_up, name="dlq-topology", daemon=True)
        self._depths: dict[str, QueueDepth | None] = {}
        self._depths_at = float("-inf")
        self._depths_lock = threading.Lock()

    def start(self) -> None:
        """Returns at once; connections come up by themselves."""
        self._setup.start()

    def stop(self, until: float) -> None:
        """All are asked first and waited for then, so that their waits are one.

        Args:
            until: of `time.monotonic`.
        """
        self._stopping.set()
        for intake in (self._failures, self._outcomes):
            intake.ask_to_stop()
        self._control.close(CLOSE_S)  # before the set-up, which may be waiting for it
        if self._setup.is_alive():
            self._setup.join(max(until - time.monotonic(), 0.0))
        for intake in (self._failures, self._outcomes):
            intake.stop(until)
        self.publisher.close(CLOSE_S)

    def report(self) -> BrokerReport:
        parts = (self.publisher, self._failures, self._outcomes)
        down = next((part for part in parts if not part.is_up), None)
        problem = self._problem or (down.last_error if down is not None else self._missing())
        return BrokerReport(down is None, list(self._mismatches), problem)

    def mend(self) -> None:
        """Declare again what somebody has deleted; bounded, and never raises."""
        try:
            self._control.ensure_topology(INSPECT_TIMEOUT_S)
        except DLQError as error:
            logger.warning("A queue is missing and cannot be declared: %s", error)
        else:
            logger.warning("A queue was missing; exchange, queues and bindings are declared again")

    def _missing(self) -> str | None:
        gone = [name for name, depth in self.inspect().items() if depth is None]
        return f"missing, or not telling its depth: {', '.join(gone)}" if gone else None

    def inspect(self) -> dict[str, QueueDepth | None]:
        """Depth and consumers by queue; None where the broker does not say. Many
        requests at once share one look."""
        with self._depths_lock:
            if time.monotonic() - self._depths_at > INSPECT_MAX_AGE_S:
                self._depths = self._look()
                self._depths_at = time.monotonic()
            return dict(self._depths)

    def _look(self) -> dict[str, QueueDepth | None]:
        try:
            return self._control.inspect(INSPECT_TIMEOUT_S)
        except DLQError as error:
            logger.debug("Queue depths are not known: %s", error)
            return {}

    def _set_up(self) -> None:
        """Declare what lacks, then consume. Tried until it succeeds or the manager stops."""
        while not self._stopping.is_set():
            try:
                self._mismatches = self._control.ensure_topology(TOPOLOGY_TIMEOUT_S)
            except (BrokerUnavailable, TopologyError) as error:
                self._note(str(error))
                self._stopping.wait(TOPOLOGY_RETRY_S)
                continue
            except Exception as error:
                # Nobody ingests without this thread: it must outlive whatever that was.
                logger.exception("Setting up RabbitMQ failed")
                self._note(f"{type(error).__name__} while setting it up; see the log")
                self._stopping.wait(TOPOLOGY_RETRY_S)
                continue
            self._problem = None
            for mismatch in self._mismatches:
                logger.warning(
                    "Queue %s is used as it is, though not as specified: %s. To change it: %s",
                    mismatch.queue,
                    mismatch.problem,
                    mismatch.policy,
                )
            self._failures.start()
            self._outcomes.start()
            logger.info("RabbitMQ infrastructure is ready")
            return

    def _note(self, problem: str) -> None:
        if problem != self._problem:
            logger.warning("RabbitMQ is not ready; trying again until it is: %s", problem)
        self._problem = problem
