"""Refills a ledger from the analysis queue, and leaves that queue as it was.

A queue can be read only by consuming it. So all that waits is taken in order, by one consumer
that acks nothing, and written into the ledger; then the connection is closed, and the broker
puts everything back at the head, in its order. Until then the broker holds it all, marked as
delivered: whatever ends this process ends the same way. The price is one return of each
message, which RabbitMQ counts: see `Reader.check`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import queue
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

from dlq.errors import BrokerUnavailable, TopologyError
from dlq.ledger.base import Arrival, Disposition, Ledger
from dlq.manager.arrivals import arrival_of
from dlq.manager.ingest import Ingest
from dlq.manager.metrics import Metrics
from dlq.message import WireMessage
from dlq.settings import Settings
from dlq.transport.amqp import AmqpConsumer, AmqpControl, QueueDepth
from dlq.transport.base import Delivery

MOST = 65_535
"""AMQP counts a consumer's unacked deliveries in 16 bits."""
MAX_HOLD_S = 20 * 60
"""Well within the broker's consumer time-out (30 min), which would end the reading."""
LOOK_TIMEOUT_S = 10.0
CONNECT_S = 20.0
IDLE_S = 5.0
"""Without a delivery for so long, nothing more comes: it expired, or others took it."""
IN_MEMORY = 200
BLOCK_S = 15.0
CLOSE_S = 5.0
RETURNS_HEADER = "x-delivery-count"
COUNT_HEADERS = frozenset({RETURNS_HEADER, "x-acquired-count"})


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was done with what was read."""

    expected: int  # were ready when it began, or the limit
    read: int
    stored: int  # are new in the ledger
    known: int  # were there already
    left_out: int  # failed before the instant asked for, or have no id
    made_up_ids: int  # stored or known under an id made of the content


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of the messages, and how far it may go."""

    limit: int
    since: dt.datetime | None = None
    with_id_only: bool = False
    max_returns: int = 10


def waiting_in(settings: Settings) -> QueueDepth:
    """Of the analysis queue. Raises: BrokerUnavailable; TopologyError: there is none."""
    control = AmqpControl(settings)
    try:
        depth = control.inspect(LOOK_TIMEOUT_S)[settings.analysis_queue]
    finally:
        control.close(CLOSE_S)
    if depth is None:
        raise TopologyError(
            f"There is no queue {settings.analysis_queue!r} on the broker, or it does not tell "
            "its depth. Check DLQ_ANALYSIS_QUEUE and the broker's virtual host."
        )
    return depth


def rebuild(
    settings: Settings,
    ledger: Ledger,
    choice: Choice,
    *,
    ready: int,
    on_progress: Callable[[int], None],
) -> Rebuilt:
    """Store what waits in the analysis queue. Safe to do again: ids that are known change
    nothing.

    Args:
        ready: how many wait, as `waiting_in` has told.
        on_progress: called with the size of each batch that is committed.
    Raises:
        BrokerUnavailable: the connection was lost; what was committed until then stays.
        TopologyError: the messages were returned too often already.
        LedgerUnavailable.
    """
    expected = min(ready, choice.limit, MOST)
    tally: Counter[str] = Counter()
    if expected:
        ingest = Ingest(ledger, Metrics(), retry_queue=settings.retry_queue)
        refill = _Refill(ingest, choice, settings.retry_queue, tally)
        with Reader(settings, count=expected, max_returns=choice.max_returns) as reader:
            for batch in reader.batches(settings.ingest_batch):
                refill.store(batch)
                on_progress(len(batch))
    counts = {name: tally[name] for name in ("read", "stored", "known", "left_out", "made_up_ids")}
    return Rebuilt(expected=expected, **counts)


class Reader:
    """Reads the head of the analysis queue; a context manager, at whose end all goes back.

    It has this process's I/O thread to itself, and holds it up while `IN_MEMORY` messages wait:
    TCP then holds up the broker, and memory stays constant.
    """

    def __init__(self, settings: Settings, *, count: int, max_returns: int) -> None:
        self._queue_name = settings.analysis_queue
        self._count = count
        self._max_returns = max_returns
        self._arrived: queue.Queue[Delivery] = queue.Queue(IN_MEMORY)
        self._ended = threading.Event()
        self._epoch: int | None = None
        self._consumer = AmqpConsumer(
            settings,
            queue=settings.analysis_queue,
            prefetch=count,
            on_delivery=self._take,
            name="dlq rebuild",
        )

    def __enter__(self) -> Self:
        self._consumer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._consumer.close(CLOSE_S)

    def batches(self, size: int) -> Iterator[list[Delivery]]:
        """Until `count` were read, nothing more comes, or the time is over.

        Raises: BrokerUnavailable; TopologyError.
        """
        left = self._count
        until = time.monotonic() + MAX_HOLD_S
        while left and time.monotonic() < until:
            batch = self._next(min(size, left))
            if not batch:
                return
            for delivery in batch:
                self.check(delivery)
            left -= len(batch)
            yield batch

    def check(self, delivery: Delivery) -> None:
        """Raises:
        BrokerUnavailable: it came over another connection than the first.
        TopologyError: it was returned too often. RabbitMQ drops a message that is returned
            more often than its queue's delivery limit, which it does not tell.
        """
        if self._epoch is None:
            self._epoch = delivery.epoch
        if delivery.epoch != self._epoch:
            raise BrokerUnavailable(
                "The connection to RabbitMQ was lost, so everything is back in the queue. What was "
                "stored until then stays; run it again."
            )
        returns = delivery.wire.headers.get(RETURNS_HEADER, 0)
        if isinstance(returns, int) and returns >= self._max_returns:
            raise TopologyError(
                f"A message in {self._queue_name} was returned {returns} times already, and each "
                "run, also this one, returns all once more. RabbitMQ drops what is returned more "
                "often than the queue's delivery limit (from 4.0 on 20, unless queue or policy say "
                f"otherwise). If its limit is higher, pass --max-returns; now {self._max_returns}."
            )

    def _next(self, size: int) -> list[Delivery]:
        """Empty: nothing more comes. Raises: BrokerUnavailable: it never came up."""
        batch = []
        try:
            batch.append(self._arrived.get(timeout=CONNECT_S if self._epoch is None else IDLE_S))
            while len(batch) < size:
                batch.append(self._arrived.get(timeout=0.05))
        except queue.Empty:
            if not batch and not self._consumer.is_up:
                raise BrokerUnavailable(
                    self._consumer.last_error or "RabbitMQ gives no answer."
                ) from None
        return batch

    def _take(self, delivery: Delivery) -> None:
        """On the I/O thread. Raises: queue.Full: the ledger hangs, and heartbeats would fail."""
        until = time.monotonic() + BLOCK_S
        while not self._ended.is_set():
            try:
                self._arrived.put(delivery, timeout=0.1)
            except queue.Full:
                if time.monotonic() > until:
                    raise
            else:
                return


class _Refill:
    """Stores batches in the way that the manager's ingest does."""

    def __init__(
        self, ingest: Ingest, choice: Choice, retry_queue: str, tally: Counter[str]
    ) -> None:
        self._ingest = ingest
        self._choice = choice
        self._retry_queue = retry_queue
        self._tally = tally
        self._alike: Counter[str] = Counter()

    def store(self, batch: Sequence[Delivery]) -> None:
        arrivals = [arrival for d in batch if (arrival := self._arrival(d.wire)) is not None]
        results = self._ingest.store(arrivals) if arrivals else []
        stored = sum(result.disposition is Disposition.STORED for result in results)
        self._tally["read"] += len(batch)
        self._tally["stored"] += stored
        self._tally["known"] += len(results) - stored
        self._tally["left_out"] += len(batch) - len(arrivals)

    def _arrival(self, wire: WireMessage) -> Arrival | None:
        """None: it was not asked for."""
        # The tap's own account of its returns is none of the dead letter's.
        headers = {n: v for n, v in wire.headers.items() if n not in COUNT_HEADERS}
        arrival = arrival_of(replace(wire, headers=headers), retry_queue=self._retry_queue)
        failed_at = arrival.message.failed_at or arrival.message.timestamp
        if self._choice.since is not None and failed_at < self._choice.since:
            return None
        if arrival.had_id:
            return arrival
        return None if self._choice.with_id_only else self._named(arrival)

    def _named(self, arrival: Arrival) -> Arrival:
        """Under an id made of the content, the same in each run; of several that are alike to
        the last byte, the first, second … has one of its own."""
        wire = arrival.wire
        # Sorted: the broker puts headers in another order when it adds its own.
        told = json.dumps(
            [wire.routing_key, wire.headers, wire.properties], sort_keys=True, default=repr
        )
        digest = hashlib.sha256(told.encode() + wire.body).hexdigest()
        self._alike[digest] += 1
        name = f"{digest} {self._alike[digest]}"
        message_id = str(uuid.uuid5(uuid.NAMESPACE_OID, name))
        self._tally["made_up_ids"] += 1
        message = arrival.message.model_copy(update={"message_id": message_id})
        return replace(arrival, message=message, had_id=True)
