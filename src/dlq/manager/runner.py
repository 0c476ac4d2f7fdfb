"""The runner sends what replays by itself: the items of jobs, and what is due by policy.

One thread a manager. Each step claims in the ledger what may go now, hands it over, and only
then claims more; several managers share the work, since what one has claimed no other is given.
It survives a restart because it holds nothing: jobs and schedule are in the ledger.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time

from dlq.errors import DLQError, LedgerUnavailable, PublishNacked, PublishReturned
from dlq.ledger.base import Ledger
from dlq.ledger.books import Claim
from dlq.manager.handover import HandOver
from dlq.manager.metrics import Metrics
from dlq.manager.scheduler import Scheduler

logger = logging.getLogger(__name__)

LEAST_WAIT_S = 0.01
IDLE_S = 0.5
DOWN_S = 0.5
AFTER_FAULT_S = 2.0
FULL_FOR = dt.timedelta(seconds=2)
"""Until a job tries a retry queue again that refused."""
SCHEDULE_FULL_FOR = dt.timedelta(seconds=30)
"""Nobody waits for what goes by itself, and each attempt leaves lines in the history."""


class Runner:
    def __init__(
        self, ledger: Ledger, handover: HandOver, scheduler: Scheduler, metrics: Metrics
    ) -> None:
        self._ledger = ledger
        self._handover = handover
        self._scheduler = scheduler
        self._metrics = metrics
        self._stopping = threading.Event()
        self._nudged = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dlq-runner", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ask_to_stop(self) -> None:
        self._stopping.set()
        self._nudged.set()

    def stop(self, until: float) -> None:
        """until: of `time.monotonic`."""
        self.ask_to_stop()
        if self._thread.is_alive():
            self._thread.join(max(until - time.monotonic(), 0.0))

    def nudge(self) -> None:
        """Something came back, or a job was made: look at once rather than in a while."""
        self._nudged.set()

    def step(self, now: dt.datetime) -> float:
        """One round over all jobs and the schedule. Returns: seconds until the next."""
        if not self._handover.is_up:
            return DOWN_S
        waits = [self._advance(job_id, now) for job_id in self._ledger.jobs.runnable(now)]
        waits += [self._handed(claim, None) for claim in self._scheduler.claims(now)]
        return min([wait_s for wait_s in waits if wait_s is not None], default=IDLE_S)

    def _advance(self, job_id: str, now: dt.datetime) -> float | None:
        try:
            return self._handed(self._ledger.jobs.advance(job_id, now=now), job_id)
        except LedgerUnavailable:
            raise
        except Exception:
            # One job that cannot go on must not hold up the others.
            logger.exception("A step of the job %s failed", job_id)
            return AFTER_FAULT_S

    def _handed(self, claim: Claim, job_id: str | None) -> float | None:
        """Hand over what was claimed. Returns: seconds until there may be more."""
        if not claim.begun:
            return claim.wait_s
        results = self._handover.send(claim.begun)
        for error in results:
            self._metrics.replay("success" if error is None else "error")
        refusal = next((e for e in results if isinstance(e, PublishNacked | PublishReturned)), None)
        if refusal is not None:
            self._hold(job_id, str(refusal))
        return claim.wait_s

    def _hold(self, job_id: str | None, why: str) -> None:
        now = dt.datetime.now(dt.UTC)
        if job_id is not None:
            self._ledger.jobs.hold(job_id, now + FULL_FOR, why)
        else:
            self._scheduler.hold(now + SCHEDULE_FULL_FOR)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._nudged.clear()
            try:
                wait_s = self.step(dt.datetime.now(dt.UTC))
            except LedgerUnavailable as error:
                logger.warning("Replays wait for the ledger: %s", error)
                wait_s = AFTER_FAULT_S
            except DLQError as error:
                logger.warning("A step of the replays failed: %s", error)
                wait_s = AFTER_FAULT_S
            except Exception:
                logger.exception("A step of the replays failed")
                wait_s = AFTER_FAULT_S
            self._nudged.wait(min(max(wait_s, LEAST_WAIT_S), IDLE_S * 4))
