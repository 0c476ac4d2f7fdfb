"""What is done with one task, from the handler's call to letting go of it."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from dataclasses import dataclass

from dlq.backoff import equal_jitter
from dlq.client.handling import Handling, handling
from dlq.errors import DLQError, NotFound
from dlq.worker.attempt import (
    Failed,
    Interrupted,
    Reported,
    Result,
    Succeeded,
    TryPolicy,
    Unhandled,
    attempt,
)
from dlq.worker.handlers import Caller, Handlers, NoHandler
from dlq.worker.memory import Memory, Standing
from dlq.worker.task import Source, Task

logger = logging.getLogger(__name__)

SHARED_PAUSE_S = 1.0
"""Before a copy of a replay that another thread or process has in hand is given back."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How often what happened since the worker was made."""

    succeeded: int = 0  # outcome confirmed
    failed: int = 0  # sent back, confirmed or spooled
    released: int = 0  # given back: unworked, declined, or because nobody confirmed
    lost: int = 0  # no longer ours when it was done; will be, or was, handled again

    @property
    def settled(self) -> int:
        return self.succeeded + self.failed


class Dealer:
    """Handles tasks one by one on each thread that asks; shared by the worker's threads."""

    def __init__(
        self,
        source: Source,
        handlers: Handlers,
        policy: TryPolicy,
        memory: Memory,
        *,
        worker: str,
        stopping: threading.Event,
        reconnect_max_s: float,
    ) -> None:
        self._source = source
        self._handlers = handlers
        self._policy = policy
        self._worker = worker
        self._stopping = stopping
        self._reconnect_max_s = reconnect_max_s
        self._memory = memory
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._unconfirmed = 0  # in a row

    @property
    def tally(self) -> Tally:
        with self._lock:
            return Tally(**self._counts)

    def deal(self, task: Task, caller: Caller) -> None:
        """Handle, settle, let go; never raises."""
        standing = self._memory.begin(task.replay_id)
        if standing is Standing.IN_HAND:
            self._stopping.wait(SHARED_PAUSE_S)
            self._release(task)
            return
        try:
            self._settle(task, standing, caller)
            self._unconfirmed = 0
        except NotFound as error:
            self._count("lost")
            logger.warning("replay of %s was lost: %s", task.message.message_id, error)
        except Exception as error:  # noqa: BLE001 - whatever it was, nobody has confirmed
            self._not_confirmed(task, error)
        finally:
            self._memory.end(task.replay_id)

    def _settle(self, task: Task, standing: Standing, caller: Caller) -> None:
        if standing is Standing.SUCCEEDED:
            self._succeed(task)
        elif standing is Standing.REPORTED:
            self._source.let_go(task)
        else:
            with handling(task.message, task.replay_id or "", worker=self._worker) as current:
                result = self._work(task, current, caller)
                self._settle_result(task, current, result)

    def _work(self, task: Task, current: Handling, caller: Caller) -> Result:
        try:
            handler = self._handlers.choose(task, self._worker)
        except NoHandler as error:
            return Unhandled(str(error))
        return attempt(
            lambda message: caller.call(handler, message),
            current,
            granted=task.max_tries,
            policy=self._policy,
            stopping=self._stopping,
        )

    def _settle_result(self, task: Task, current: Handling, result: Result) -> None:
        match result:
            case Succeeded():
                # Remembered first: should the report not be confirmed, the next delivery
                # repeats the report and not the work.
                self._memory.remember(task.replay_id, Standing.SUCCEEDED)
                self._succeed(task)
            case Failed(error, tries):
                self._source.fail(task, current, error, tries)
                self._failed(task, f"{type(error).__name__} after {tries} tries")
            case Reported():
                self._failed(task, "reported by its handler")
            case Unhandled(why):
                self._decline(task, current, why)
            case Interrupted():
                self._release(task)

    def _decline(self, task: Task, current: Handling, why: str) -> None:
        logger.warning("replay of %s declined: %s", task.message.message_id, why)
        if task.replay_id is None:
            # Put into the queue by hand: no ledger row waits for it, so it becomes one.
            self._source.fail(task, current, NoHandler(why), 0)
            self._failed(task, "no handler")
        else:
            self._source.decline(task, why)
            self._count("released")

    def _succeed(self, task: Task) -> None:
        self._source.succeed(task)
        self._count("succeeded")
        logger.info("replay of %s succeeded", task.message.message_id)

    def _failed(self, task: Task, how: str) -> None:
        """The failure is safe. Remembered before the task is let go: should the process die
        in between, the next delivery is only let go of."""
        self._memory.remember(task.replay_id, Standing.REPORTED)
        self._source.let_go(task)
        self._count("failed")
        logger.info("replay of %s failed again (%s)", task.message.message_id, how)

    def _not_confirmed(self, task: Task, error: Exception) -> None:
        """Nobody has taken custody, so it must not be let go: back with it, at a pace."""
        self._unconfirmed += 1
        logger.warning(
            "replay of %s given back: %s",
            task.message.message_id,
            error,
            exc_info=None if isinstance(error, DLQError) else error,
        )
        pause_s = equal_jitter(self._unconfirmed, base_s=0.5, cap_s=self._reconnect_max_s)
        self._stopping.wait(pause_s)
        self._release(task)

    def _release(self, task: Task) -> None:
        self._source.release(task)
        self._count("released")

    def _count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1
