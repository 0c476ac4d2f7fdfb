"""Replay: from the ledger to the retry queue, once.

The order is the point: `replaying` with a fresh replay_id is committed first, then the
message is published and confirmed, then the confirmation is recorded. A crash in between
leaves an open replay that was never confirmed, which the sweeper sends again under the same
replay_id; workers know it by that.

Embedded, the ledger itself is the retry queue: committing is handing over.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from dlq.errors import (
    BrokerUnavailable,
    ConfirmTimeout,
    DLQError,
    NotFound,
    PublishNacked,
    PublishRejected,
    PublishReturned,
    TransportError,
)
from dlq.ledger.base import DeadLetter, Ledger, Replay
from dlq.manager.metrics import Metrics
from dlq.message import WireMessage, replay_of
from dlq.settings import Settings
from dlq.topology import retry_routing_key
from dlq.transport.base import Publisher

logger = logging.getLogger(__name__)

WAIT_SLICE_S = 0.2
STOP_WAIT_S = 1.0
CERTAIN_REFUSALS = (PublishNacked, PublishReturned, PublishRejected)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one message of a batch was not replayed."""

    message_id: str
    code: str
    error: str


class Replayer:
    """Replays dead letters; `publisher` None is the embedded shape.

    Args:
        stopping: once set, nothing more is begun, and waits are cut short.
        on_returned: called when the retry queue turns out not to be there.
    """

    def __init__(
        self,
        ledger: Ledger,
        publisher: Publisher | None,
        metrics: Metrics,
        settings: Settings,
        *,
        stopping: threading.Event,
        on_returned: Callable[[], None] = lambda: None,
    ) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._metrics = metrics
        self._timeout_s = settings.confirm_timeout_s
        self._stopping = stopping
        self._on_returned = on_returned
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
        open_replays = self._ledger.unconfirmed_replays(before, limit)
        if self._publisher is None:
            for replay, _ in open_replays:
                self._ledger.confirm_replay(replay.replay_id)
            return len(open_replays)
        if not open_replays or not self._publisher.is_up:
            return 0
        publisher = self._publisher
        sent = [(r, publisher.publish(wire_of(r, letter))) for r, letter in open_replays]
        confirmed_count = 0
        for replay, confirmed in sent:
            try:
                self._conclude(replay, confirmed)
                confirmed_count += 1
            except TransportError as error:
                logger.warning("Replay %s is still not handed over: %s", replay.replay_id, error)
        return confirmed_count

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _one(self, message_id: str, actor: str, max_retries: int | None) -> Replay:
        publisher = self._publisher
        if self._stopping.is_set():
            raise BrokerUnavailable(
                f"Message {message_id} was not replayed: the manager is stopping. Nothing was "
                "changed; ask again when it is back."
            )
        if publisher is not None and not publisher.is_up:
            self._ledger.get(message_id)  # an unknown id is "not found", broker or not
            raise BrokerUnavailable(
                f"Message {message_id} was not replayed: the broker cannot be reached. "
                "Nothing was changed; try again when /health says rabbitmq_connected."
            )
        letter = self._ledger.get(message_id)
        replay, letter = self._ledger.begin_replay(
            message_id,
            actor=actor,
            routing_key=retry_routing_key(letter.message.error_type),
            max_retries=max_retries,
        )
        if publisher is None:
            self._ledger.confirm_replay(replay.replay_id)
        else:
            self._conclude(replay, publisher.publish(wire_of(replay, letter)))
        return replay

    def _conclude(self, replay: Replay, confirmed: Future[None]) -> None:
        """Wait for the broker's word, and record what it means."""
        self._wait(confirmed)
        try:
            confirmed.result(0)
        except CERTAIN_REFUSALS as error:
            self._ledger.abandon_replay(replay.replay_id, str(error))
            if isinstance(error, PublishReturned):
                self._on_returned()
            raise
        except (TimeoutError, BrokerUnavailable) as error:
            # It may have arrived or not, so it must not be offered for another replay.
            raise ConfirmTimeout(
                f"Message {replay.message_id}: the broker did not confirm within "
                f"{self._timeout_s:g} s. It stays in 'replaying' and will be handed over again "
                "under the same replay_id when the broker answers; do not replay it by hand."
            ) from error
        self._ledger.confirm_replay(replay.replay_id)

    def _wait(self, confirmed: Future[None]) -> None:
        """Up to the time-out; a stop cuts it short, for the broker may be a black hole."""
        until = time.monotonic() + self._timeout_s
        while not self._stopping.is_set() and (rest_s := until - time.monotonic()) > 0:
            if wait([confirmed], min(rest_s, WAIT_SLICE_S)).done:
                return
        wait([confirmed], STOP_WAIT_S if self._stopping.is_set() else 0)


def wire_of(replay: Replay, letter: DeadLetter) -> WireMessage:
    """What goes to the worker, over AMQP or in a lease."""
    return replay_of(
        letter.wire,
        routing_key=replay.routing_key,
        message_id=replay.message_id,
        replay_id=replay.replay_id,
        number=replay.number,
        max_retries=replay.max_retries,
        replayed_at=replay.started_at,
    )
