"""Replays at somebody's explicit word: one message, or a batch of ids.

They go out at once, through the same hand-over as everything else, and are charged to their
provider's pace, so that jobs and schedules wait for them.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from dlq.errors import BrokerUnavailable, DLQError, NotFound
from dlq.ledger.base import Ledger, Replay
from dlq.manager.handover import HandOver
from dlq.manager.metrics import Metrics
from dlq.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one message of a batch was not replayed."""

    message_id: str
    code: str
    error: str


class Replayer:
    """Replays dead letters by their ids.

    Args:
        stopping: once set, nothing more is begun.
    """

    def __init__(
        self,
        ledger: Ledger,
        handover: HandOver,
        metrics: Metrics,
        settings: Settings,
        *,
        stopping: threading.Event,
    ) -> None:
        self._ledger = ledger
        self._handover = handover
        self._metrics = metrics
        self._stopping = stopping
        self._pool = ThreadPoolExecutor(
            settings.replay_concurrency, thread_name_prefix="dlq-replay"
        )

    def one(self, message_id: str, *, actor: str, max_retries: int | None = None) -> Replay:
        """Hand one dead letter to the retry queue.

        Args:
            max_retries: tries granted to the worker; None leaves it to the worker.
        Raises:
            NotFound, IllegalTransition: nothing changed.
            BrokerUnavailable, PublishNacked, PublishReturned: it is back in its state.
            ConfirmTimeout: it stays `replaying`; the sweeper sends it again.
        """
        try:
            replay = self._one(message_id, actor, max_retries)
        except NotFound:
            self._metrics.replay("not_found")
            raise
        except Exception:
            self._metrics.replay("error")
            raise
        self._metrics.replay("success")
        return replay

    def batch(
        self, message_ids: Sequence[str], *, actor: str, max_retries: int | None
    ) -> tuple[list[Replay], list[Refusal]]:
        """Replay several, a bounded number at once. One that fails does not stop the others.

        An id given twice is replayed once.
        """

        def attempt(message_id: str) -> Replay | Refusal:
            try:
                return self.one(message_id, actor=actor, max_retries=max_retries)
            except DLQError as error:
                return Refusal(message_id, error.code, str(error))

        results = list(self._pool.map(attempt, dict.fromkeys(message_ids)))
        return (
            [result for result in results if isinstance(result, Replay)],
            [result for result in results if isinstance(result, Refusal)],
        )

    def resend_unconfirmed(self, before: dt.datetime, limit: int) -> int:
        """Hand over again what was begun before that instant and never confirmed.

        Returns: how many the broker has now.
        """
        if not self._handover.is_up:
            return 0
        results = self._handover.send(self._ledger.unconfirmed_replays(before, limit))
        for error in filter(None, results):
            logger.warning("A replay is still not handed over: %s", error)
        return sum(error is None for error in results)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _one(self, message_id: str, actor: str, max_retries: int | None) -> Replay:
        if self._stopping.is_set():
            raise BrokerUnavailable(
                f"Message {message_id} was not replayed: the manager is stopping. Nothing was "
                "changed; ask again when it is back."
            )
        if not self._handover.is_up:
            self._ledger.get(message_id)  # an unknown id is "not found", broker or not
            raise BrokerUnavailable(
                f"Message {message_id} was not replayed: the broker cannot be reached. "
                "Nothing was changed; try again when /health says rabbitmq_connected."
            )
        begun = self._ledger.begin_replay(message_id, actor=actor, max_retries=max_retries)
        (error,) = self._handover.send([begun])
        if error is not None:
            raise error
        return begun[0]
