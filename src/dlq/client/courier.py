"""Takes dead letters into custody: the broker's confirm, or else this host's spool.

Everything here belongs to one process. After a fork the child builds its own courier and
never touches the parent's (see `core.py`).
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from dlq.client.describe import message_of, told
from dlq.client.drain import Drainer
from dlq.client.reachability import Reachability
from dlq.client.receipt import Custody, Receipt
from dlq.client.spool import Addressed, Spool
from dlq.client.steps import Steps, Wait
from dlq.client.writer import SpoolWriter
from dlq.errors import BrokerUnavailable, ConfirmTimeout, PublishRejected
from dlq.message import WireMessage
from dlq.settings import Settings, without_password
from dlq.transport.base import Publisher

logger = logging.getLogger(__name__)

SPOOL_SHARE = 0.3
SPOOL_SHARE_MAX_S = 3.0
"""Of the time a call may take, this is kept back for the disk."""
FLUSH_POLL_S = 0.05
INTERRUPTED = "the call that published it was interrupted before the confirm"
"""The reason that is kept with such a message."""

OpenPublisher = Callable[[Settings], Publisher]


def destination_of(settings: Settings) -> str:
    """What the spool calls the other side that these settings lead to."""
    return without_password(settings.amqp_url or settings.url)


def open_publisher(settings: Settings) -> Publisher:
    """RabbitMQ where a broker is set, else the manager. Imports only what it uses."""
    if settings.amqp_url is not None:
        from dlq.transport.amqp import AmqpPublisher

        return AmqpPublisher(settings, name="dlq-client")
    from dlq.transport.http import HttpPublisher

    return HttpPublisher(settings, name="dlq-client")


@dataclass(slots=True)
class _Try:
    """One message of a delivery, and how far it has come."""

    wire: WireMessage
    confirm: Future[None] | None  # None: it was not sent, the broker is known to be down
    trouble: BaseException | None = None
    spooled: Future[None] | None = None

    @property
    def message_id(self) -> str:
        return str(self.wire.properties["message_id"])

    def judge(self) -> None:
        if self.confirm is None:
            self.trouble = BrokerUnavailable("the broker is down")
        elif not self.confirm.done():
            self.trouble = ConfirmTimeout("no confirm in time")
        else:
            self.trouble = self.confirm.exception()

    @property
    def is_confirmed(self) -> bool:
        return self.confirm is not None and self.confirm.done() and not self.confirm.exception()


@dataclass(slots=True)
class _InFlight:
    """Counts deliveries under way, so that closing can wait for them."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    count: int = 0

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        with self.changed:
            self.count += 1
        try:
            yield
        finally:
            with self.changed:
                self.count -= 1
                self.changed.notify_all()

    def wait_for_none(self, timeout_s: float) -> None:
        with self.changed:
            self.changed.wait_for(lambda: self.count == 0, max(timeout_s, 0.0))


class Courier:
    """Publisher, spool and drainer of one process, as one custody."""

    def __init__(self, settings: Settings, open_publisher: OpenPublisher = open_publisher) -> None:
        self._settings = settings
        self._publisher = open_publisher(settings)
        self.destination = self._publisher.destination
        self.spool = Spool(settings)
        self._writer = SpoolWriter(self.spool)
        self._reachability = Reachability(self.destination, self.spool.path)
        self._drainer = Drainer(self.spool, self._publisher, self._reachability, settings)
        self._in_flight = _InFlight()

    def start(self) -> None:
        """Drain in the background what earlier processes have left."""
        self._drainer.start()

    def deliver(self, wires: Sequence[WireMessage]) -> Steps[list[Receipt]]:
        """Steps that bring each message to the broker, or into the spool, within
        `confirm_timeout_s` in all. Returns: one receipt per message, in order."""
        started = time.monotonic()
        until = started + self._settings.confirm_timeout_s
        keep_s = min(SPOOL_SHARE * self._settings.confirm_timeout_s, SPOOL_SHARE_MAX_S)
        with self._in_flight.one():
            tries = [_Try(wire, self._publish(wire)) for wire in wires]
            try:
                yield Wait([t.confirm for t in tries if t.confirm is not None], until - keep_s)
                self._spool_unconfirmed(tries)
                writes = [t.spooled for t in tries if t.spooled is not None]
                yield Wait(writes, 0.0 if self._writer.is_stuck else until)
            except BaseException:
                # Ctrl-C, a cancelled task, a closed loop: nobody will look at the futures.
                for attempt in tries:
                    if not attempt.is_confirmed and attempt.spooled is None:
                        self._writer.put(Addressed(self.destination, attempt.wire, INTERRUPTED))
                raise
        return [self._receipt(attempt) for attempt in tries]

    def flush(self, timeout_s: float) -> bool:
        """Wait until nothing for this destination waits on disk. Returns: whether so."""
        until = time.monotonic() + timeout_s
        self._writer.flush(timeout_s)
        while self.spool.oldest_waiting(self.destination) is not None:
            rest_s = until - time.monotonic()
            if rest_s <= 0:
                return False
            self._drainer.wake(hurry=True)
            time.sleep(min(FLUSH_POLL_S, rest_s))
        return True

    def close(self, timeout_s: float) -> None:
        """Let go of connection and threads; what is unconfirmed goes to the spool."""
        until = time.monotonic() + timeout_s
        self._drainer.stop()
        self._publisher.close(timeout_s / 2)
        self._in_flight.wait_for_none(until - time.monotonic())
        self._drainer.join(until - time.monotonic())
        if not self._writer.close(max(until - time.monotonic(), 0.0)):
            logger.error("Not all dead letters could be written to the spool before closing")
        self.spool.close()

    def _publish(self, wire: WireMessage) -> Future[None] | None:
        if self._reachability.is_down:
            return None
        try:
            return self._publisher.publish(wire)
        except Exception as trouble:  # noqa: BLE001 - logged; the message goes to the spool
            logger.error("Publishing to %s failed: %s", self.destination, told(trouble))  # noqa: TRY400
            failed: Future[None] = Future()
            failed.set_exception(BrokerUnavailable(message_of(trouble)))
            return failed

    def _spool_unconfirmed(self, tries: Sequence[_Try]) -> None:
        for attempt in tries:
            attempt.judge()
            if attempt.trouble is None:
                continue
            reason = message_of(attempt.trouble)
            rejected = isinstance(attempt.trouble, PublishRejected)
            if rejected:
                logger.error(
                    "Dead letter %s will not be accepted by %s: %s. It is kept in the spool; "
                    "`dlq spool` shows it",
                    attempt.message_id,
                    self.destination,
                    reason,
                )
            elif isinstance(attempt.trouble, BrokerUnavailable | ConfirmTimeout):
                self._reachability.lost(str(attempt.trouble))
            attempt.spooled = self._writer.put(
                Addressed(self.destination, attempt.wire, reason, rejected)
            )

    def _receipt(self, attempt: _Try) -> Receipt:
        if attempt.spooled is None:
            return Receipt(attempt.message_id, Custody.CONFIRMED)
        if not attempt.spooled.done():
            self._writer.gave_up()
            reason = (
                f"the spool {self.spool.path} did not answer in time; the message is in memory "
                "and is written if the disk answers while this process lives"
            )
        elif (error := attempt.spooled.exception()) is not None:
            reason = str(error)
        else:
            self._drainer.wake()
            permanent = isinstance(attempt.trouble, PublishRejected)
            return Receipt(
                attempt.message_id, Custody.SPOOLED, str(attempt.trouble) if permanent else None
            )
        logger.error(
            "Dead letter %s is not safe: not confirmed by %s, and %s",
            attempt.message_id,
            self.destination,
            reason,
        )
        return Receipt(attempt.message_id, Custody.REFUSED, reason)


@dataclass(frozen=True, slots=True)
class Flushed:
    """What a flush of the spool came to, in entries for the configured destination.
    `retried`: of those that had been rejected before, were to be sent again."""

    destination: str
    sent: int
    left: int
    rejected: int
    retried: int


def flush_spool(
    settings: Settings,
    timeout_s: float,
    open_publisher: OpenPublisher = open_publisher,
    *,
    rejected: bool = False,
) -> Flushed:
    """Send now what the spool holds for the configured destination; with `rejected`, also
    what it would not take before.

    Raises: SpoolError: the spool cannot be read.
    """
    courier = Courier(settings, open_publisher)
    try:
        retried = courier.spool.retry_rejected(courier.destination) if rejected else 0
        before = sum(_counts(courier))
        courier.start()
        courier.flush(timeout_s)
        left, refused = _counts(courier)
    finally:
        courier.close(settings.confirm_timeout_s)
    sent = max(before - left - refused, 0)
    return Flushed(courier.destination, sent, left, refused, retried)


def _counts(courier: Courier) -> tuple[int, int]:
    """What waits, and what was rejected."""
    for summary in courier.spool.summary():
        if summary.destination == courier.destination:
            return summary.waiting, summary.rejected
    return 0, 0
