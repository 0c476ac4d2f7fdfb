"""The hand-over of replays that were begun: published, confirmed, and the confirmation recorded.

Everything that replays comes through here, so that there is one custody: a replay is
`replaying` before it is sent; what the broker certainly refused is as if it had not been begun;
what it did not confirm in time stays `replaying`, and the sweeper hands it over again under the
same replay_id, by which workers know it.

Embedded, the ledger itself is the retry queue: committing is handing over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait

from dlq.errors import (
    BrokerUnavailable,
    ConfirmTimeout,
    DLQError,
    PublishNacked,
    PublishRejected,
    PublishReturned,
    TransportError,
)
from dlq.ledger.base import DeadLetter, Ledger, Replay
from dlq.message import WireMessage, replay_of
from dlq.settings import Settings
from dlq.topology import is_retry_key
from dlq.transport.base import Publisher

WAIT_SLICE_S = 0.2
STOP_WAIT_S = 1.0
CERTAIN_REFUSALS = (PublishNacked, PublishReturned, PublishRejected)

Begun = tuple[Replay, DeadLetter]


class HandOver:
    """`publisher` None is the embedded shape.

    Args:
        stopping: once set, waits are cut short.
        on_returned: called when a queue turns out not to be there.
    """

    def __init__(
        self,
        ledger: Ledger,
        publisher: Publisher | None,
        settings: Settings,
        *,
        stopping: threading.Event,
        on_returned: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._timeout_s = settings.confirm_timeout_s
        self._stopping = stopping
        self._on_returned = on_returned

    @property
    def is_up(self) -> bool:
        """Whether a hand-over now would go out at once, as far as is known."""
        return self._publisher is None or self._publisher.is_up

    def send(self, begun: Sequence[Begun]) -> list[DLQError | None]:
        """Hand them over, all at once, and record what the broker said.

        Returns: per replay None if it is confirmed, else why it is not: `ConfirmTimeout` if
        it stays `replaying`, any other `TransportError` if it is back in its state.
        Raises: LedgerUnavailable: what was confirmed could not be recorded; it is sent again.
        """
        results: list[DLQError | None] = [None] * len(begun)
        if self._publisher is not None:
            publisher = self._publisher
            sent = [publisher.publish(wire_of(replay, letter)) for replay, letter in begun]
            self._wait(sent)
            results = [
                self._word(replay, confirmed)
                for (replay, _), confirmed in zip(begun, sent, strict=True)
            ]
        self._ledger.confirm_replays(
            [
                replay.replay_id
                for (replay, _), error in zip(begun, results, strict=True)
                if error is None
            ]
        )
        for (replay, _), error in zip(begun, results, strict=True):
            if isinstance(error, CERTAIN_REFUSALS):
                full = isinstance(error, PublishNacked)
                self._ledger.abandon_replay(replay.replay_id, str(error), for_now=full)
        for (replay, _), error in zip(begun, results, strict=True):
            # Where a job's own target leads is not ours to declare.
            if isinstance(error, PublishReturned) and is_retry_key(replay.routing_key):
                self._on_returned()
                break
        return results

    def _word(self, replay: Replay, confirmed: Future[None]) -> TransportError | None:
        """What the broker said of one, waited for already."""
        try:
            confirmed.result(0)
        except CERTAIN_REFUSALS as error:
            return error
        except (TimeoutError, BrokerUnavailable):
            # It may have arrived or not, so it must not be offered for another replay.
            return ConfirmTimeout(
                f"Message {replay.message_id}: the broker did not confirm within "
                f"{self._timeout_s:g} s. It stays in 'replaying' and will be handed over again "
                "under the same replay_id when the broker answers; do not replay it by hand."
            )
        return None

    def _wait(self, sent: Sequence[Future[None]]) -> None:
        """Up to the time-out; a stop cuts it short, for the broker may be a black hole."""
        until = time.monotonic() + self._timeout_s
        while not self._stopping.is_set() and (rest_s := until - time.monotonic()) > 0:
            if not wait(sent, min(rest_s, WAIT_SLICE_S)).not_done:
                return
        wait(sent, STOP_WAIT_S if self._stopping.is_set() else 0)


def wire_of(replay: Replay, letter: DeadLetter) -> WireMessage:
    """What goes to the worker, over AMQP or in a lease."""
    return replay_of(
        letter.edited_wire or letter.wire,
        routing_key=replay.routing_key,
        message_id=replay.message_id,
        replay_id=replay.replay_id,
        number=replay.number,
        max_retries=replay.max_retries,
        replayed_at=replay.started_at,
    )
