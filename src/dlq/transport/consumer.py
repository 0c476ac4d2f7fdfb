"""Consumes one queue with manual acknowledgement, and comes back from everything.

A delivery belongs to the channel that brought it: each new channel is a new epoch, and what
is settled with an older one is left alone, since the broker has taken it back and delivers
it again. A watchdog asks the broker now and then whether it still sees this consumer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from pika import spec
from pika.exceptions import AMQPError

from dlq.errors import BrokerUnavailable, DLQError
from dlq.message import WireMessage
from dlq.settings import Settings
from dlq.topology import topology_of
from dlq.transport.base import Delivery
from dlq.transport.connection import BrokerConnection, Channel, explain
from dlq.transport.declare import Declarer, depth_of
from dlq.transport.io_thread import io_loop, survive_forks
from dlq.transport.link import Link, LinkState
from dlq.transport.properties import properties_of
from dlq.transport.tags import take_settlements

logger = logging.getLogger(__name__)

WATCHDOG_S = 15.0
"""Between questions to the broker whether the consumer is still there."""

_MISSED_LIMIT = 2
"""The count may be wrong for a moment, as while a leader is elected."""


class AmqpConsumer:
    """Hands each delivery of `queue` to `on_delivery`.

    Args:
        prefetch: most deliveries held unsettled.
        on_delivery: called on the I/O thread; must not block. If it raises, the connection is
            built anew, and the broker delivers again what was not settled.
        name: shown in the broker's lists and in logs.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        queue: str,
        prefetch: int,
        on_delivery: Callable[[Delivery], None],
        name: str,
    ) -> None:
        self._settings = settings
        self._queue = queue
        self._prefetch = prefetch
        self._on_delivery = on_delivery
        self._name = name
        self._declarer = Declarer(topology_of(settings))
        self._epoch = 0  # goes on counting in a child, where the parent's deliveries are stale
        self._begin()
        survive_forks(self)

    def _begin(self) -> None:
        self._session: _Session | None = None
        self._watchdog: asyncio.Task[None] | None = None
        self._link = Link(
            self._settings, name=self._name, set_up=self._set_up, on_down=self._on_down
        )

    def after_fork(self) -> None:
        """The deliveries are the parent's; the child consumes once `start` is called in it."""
        if self._link.state is not LinkState.CLOSED:
            self._begin()

    # --- from any thread ---

    def start(self) -> None:
        """Begin to connect and consume; returns at once."""
        self._link.start()

    @property
    def is_up(self) -> bool:
        """Whether the broker has confirmed the consumer on the connection that lives now."""
        return self._link.is_up

    @property
    def last_error(self) -> str | None:
        """Why it is not up, as last known."""
        return self._link.last_error

    def ack(self, deliveries: Sequence[Delivery]) -> Future[bool]:
        """Tell the broker that these are in safe hands; never raises.

        Resolves to True once a round trip on the same channel has shown that the broker took
        the acks; to False if the connection of any of them is gone, in which case the broker
        delivers that one again.
        """
        taken: Future[bool] = Future()
        taken.set_running_or_notify_cancel()
        self._call(self._ack, tuple(deliveries), taken, lost=lambda: taken.set_result(False))
        return taken

    def nack(self, deliveries: Sequence[Delivery], requeue: bool = True) -> None:
        """Give these back to the queue, or with `requeue=False` to its dead-letter exchange."""
        self._call(self._nack, tuple(deliveries), requeue, lost=lambda: None)

    def close(self, timeout_s: float) -> None:
        """Stop consuming; the broker takes back what is unsettled."""
        self._link.close(timeout_s)

    def _call(self, act: Callable[..., None], *args: Any, lost: Callable[[], None]) -> None:
        try:
            io_loop().call_soon_threadsafe(act, *args)
        except RuntimeError:  # no new thread while the interpreter shuts down
            lost()

    # --- on the I/O thread ---

    async def _set_up(self, connection: BrokerConnection) -> None:
        await self._declarer.ensure(connection)
        channel = await Channel.open(connection)
        channel.closed.add_done_callback(self._on_channel_closed)
        channel.raw.add_on_cancel_callback(self._on_cancelled)
        await channel.call(channel.raw.basic_qos, prefetch_count=self._prefetch)
        self._epoch += 1
        self._session = _Session(channel, self._epoch, self._prefetch)
        await channel.call(channel.raw.basic_consume, self._queue, self._on_message)
        self._watchdog = asyncio.get_running_loop().create_task(self._watch(connection))

    def _on_message(
        self,
        _channel: Any,
        method: spec.Basic.Deliver,
        decoded: spec.BasicProperties,
        body: bytes,
    ) -> None:
        session = self._session
        if session is None:
            return  # the connection is going; the broker keeps the message
        session.unsettled[method.delivery_tag] = None
        headers, properties = properties_of(decoded)
        delivery = Delivery(
            wire=WireMessage(body, method.routing_key, headers, properties),
            exchange=method.exchange,
            queue=self._queue,
            redelivered=method.redelivered,
            tag=method.delivery_tag,
            epoch=session.epoch,
        )
        try:
            self._on_delivery(delivery)
        except Exception:
            logger.exception("%s: taking a delivery failed; it will come again", self._name)
            self._link.restart(BrokerUnavailable("taking a delivery failed"))

    def _ack(self, deliveries: tuple[Delivery, ...], taken: Future[bool]) -> None:
        session = self._session
        tags = [d.tag for d in deliveries if session and d.epoch == session.epoch]
        try:
            if session is None:
                taken.set_result(not deliveries)
            else:
                session.ack(tags, taken, complete=len(tags) == len(deliveries))
        except AMQPError:  # the channel is closing
            taken.set_result(False)

    def _nack(self, deliveries: tuple[Delivery, ...], requeue: bool) -> None:
        session = self._session
        if session is None:
            return
        try:
            session.nack([d.tag for d in deliveries if d.epoch == session.epoch], requeue)
        except AMQPError:
            logger.debug("%s: nack on a closing channel; the broker requeues anyway", self._name)

    async def _watch(self, connection: BrokerConnection) -> None:
        missed = 0
        while missed < _MISSED_LIMIT:
            await asyncio.sleep(WATCHDOG_S)
            try:
                async with asyncio.timeout(WATCHDOG_S):
                    depth = await depth_of(connection, self._queue)
            except (AMQPError, TimeoutError):
                continue  # the heartbeat judges the connection
            missed = missed + 1 if depth is not None and depth.consumers == 0 else 0
        self._link.restart(
            BrokerUnavailable(f"the broker no longer sees the consumer of {self._queue!r}")
        )

    def _on_cancelled(self, _frame: Any) -> None:
        self._link.restart(
            BrokerUnavailable(
                f"the broker cancelled the consumer of {self._queue!r}: queue deleted?"
            )
        )

    def _on_channel_closed(self, closed: asyncio.Future[Exception]) -> None:
        self._link.restart(explain(closed.result(), self._settings))

    def _on_down(self, _error: DLQError) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        session, self._session = self._session, None
        if session is not None:
            session.end()


class _Session:
    """One channel with its consumer, from consume to loss."""

    def __init__(self, channel: Channel, epoch: int, prefetch: int) -> None:
        self.epoch = epoch
        self.unsettled: dict[int, None] = {}
        self._channel = channel
        self._prefetch = prefetch
        self._in_doubt: dict[Future[bool], None] = {}

    def ack(self, tags: Sequence[int], taken: Future[bool], *, complete: bool) -> None:
        """Ack, and resolve `taken` to `complete` after a round trip.

        The round trip is a basic.qos of the value that holds already: harmless, and answered
        in order. Raises AMQPError if the channel is not open.
        """
        for tag, multiple in take_settlements(self.unsettled, tags):
            self._channel.raw.basic_ack(tag, multiple)
        self._in_doubt[taken] = None

        def on_answer(_frame: Any) -> None:
            if taken in self._in_doubt:
                del self._in_doubt[taken]
                taken.set_result(complete)

        try:
            self._channel.raw.basic_qos(prefetch_count=self._prefetch, callback=on_answer)
        except AMQPError:
            del self._in_doubt[taken]
            raise

    def nack(self, tags: Sequence[int], requeue: bool) -> None:
        for tag, multiple in take_settlements(self.unsettled, tags):
            self._channel.raw.basic_nack(tag, multiple, requeue)

    def end(self) -> None:
        """The connection is gone: nobody knows whether the last acks arrived."""
        for taken in self._in_doubt:
            taken.set_result(False)
        self._in_doubt.clear()
