"""Publishes with confirms: many threads share one connection, one channel, one window.

A message goes caller → inbox (any thread) → window (I/O thread, published, unconfirmed) →
confirmed. When the connection goes, everything in inbox and window fails at once, and its
senders decide: nothing is sent again from here, so there is one custodian at each moment.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from concurrent.futures import Future
from typing import Any

from pika import spec
from pika.exceptions import ChannelClosedByBroker

from dlq.errors import (
    BrokerUnavailable,
    DLQError,
    PublishNacked,
    PublishRejected,
    PublishReturned,
    TransportError,
)
from dlq.message import SHORTSTR_BYTES, WireMessage
from dlq.settings import Settings, without_password
from dlq.topology import topology_of
from dlq.transport.connection import PRECONDITION_FAILED, BrokerConnection, Channel, explain
from dlq.transport.declare import Declarer
from dlq.transport.io_thread import io_loop, survive_forks
from dlq.transport.link import Link, LinkState
from dlq.transport.properties import encode_properties
from dlq.transport.tags import ConfirmWindow, Pending

logger = logging.getLogger(__name__)

GIVE_UP_AFTER = 3
"""Times `confirm_timeout_s` without any confirm: then the connection is built anew."""


class AmqpPublisher:
    """A `Publisher` over RabbitMQ. Connects from the start, and again in a forked child.

    Futures resolve on the I/O thread: what is hung on them must not block.

    Args:
        name: shown in the broker's list of connections and in logs.
    """

    def __init__(self, settings: Settings, *, name: str) -> None:
        self._settings = settings
        self._name = name
        self._topology = topology_of(settings)
        self._declarer = Declarer(self._topology)
        self.destination = without_password(settings.amqp_url or "")
        self._begin()
        survive_forks(self)
        self._link.start()

    def _begin(self) -> None:
        self._inbox: deque[Pending] = deque()
        self._woken = False
        self._waiting: deque[Pending] = deque()
        self._window = ConfirmWindow(self._settings.publish_window)
        self._channel: Channel | None = None
        self._frame_max = 0
        self._blocked = False
        self._stalled = False
        self._progress_at = 0.0
        self._one_by_one = 0
        self._watch: asyncio.TimerHandle | None = None
        self._link = Link(
            self._settings, name=self._name, set_up=self._set_up, on_down=self._on_down
        )

    def after_fork(self) -> None:
        """What was under way is the parent's; the child starts when it first publishes."""
        if self._link.state is not LinkState.CLOSED:
            self._begin()

    # --- from any thread ---

    @property
    def is_up(self) -> bool:
        """Connected, not blocked by an alarm, and confirms come."""
        self._link.start()
        return self._link.is_up and not self._blocked and not self._stalled

    @property
    def last_error(self) -> str | None:
        """Why it is not up, as last known."""
        return self._link.last_error

    def publish(self, wire: WireMessage) -> Future[None]:
        """See `Publisher.publish`. While the connection is down it fails at once, except
        that the very first attempt to connect is waited for, `confirm_timeout_s` at most."""
        future: Future[None] = Future()
        future.set_running_or_notify_cancel()  # a confirm may come at any moment: no cancelling
        try:
            pending = self._accept(wire, future)
            self._link.start()
            self._inbox.append(pending)
            self._wake()
        except TransportError as error:
            future.set_exception(error)
        except RuntimeError as error:  # no new thread while the interpreter shuts down
            future.set_exception(BrokerUnavailable(f"cannot publish now: {error}"))
        return future

    def close(self, timeout_s: float) -> None:
        """Let go of the connection; what is unconfirmed fails with `BrokerUnavailable`."""
        self._link.close(timeout_s)

    def _accept(self, wire: WireMessage, future: Future[None]) -> Pending:
        if len(wire.body) > self._settings.max_body_bytes:
            raise PublishRejected(
                f"expected a body of at most {self._settings.max_body_bytes} bytes "
                f"(DLQ_MAX_BODY_BYTES), got {len(wire.body)}"
            )
        try:
            key_bytes = len(wire.routing_key.encode("utf-8"))
        except UnicodeEncodeError as error:
            raise PublishRejected(f"expected a routing key in Unicode: {error}") from error
        if key_bytes > SHORTSTR_BYTES:
            raise PublishRejected(
                f"expected a routing key of at most {SHORTSTR_BYTES} bytes, got {key_bytes}"
            )
        pending = Pending(wire, encode_properties(wire), future)
        refusal = self._refusal()
        if refusal is not None:
            raise refusal
        return pending

    def _refusal(self) -> BrokerUnavailable | None:
        """Why nothing can be sent now."""
        if self._blocked:
            return self._unavailable("the broker blocks publishers (memory or disk alarm)")
        if self._stalled:
            return self._unavailable(
                f"no confirm for {self._settings.confirm_timeout_s:g} s; "
                "its queues may have lost their quorum"
            )
        if self._link.state in (LinkState.DOWN, LinkState.CLOSED):
            return BrokerUnavailable(self._link.last_error or f"{self._name} was closed")
        return None

    def _unavailable(self, what: str) -> BrokerUnavailable:
        return BrokerUnavailable(f"RabbitMQ at {self.destination}: {what}")

    def _wake(self) -> None:
        """One wake-up for many messages. No lock: `_drain` lowers the flag before it looks, so
        a message whose sender saw the flag up is seen."""
        if not self._woken:
            self._woken = True
            io_loop().call_soon_threadsafe(self._drain)

    # --- on the I/O thread ---

    async def _set_up(self, connection: BrokerConnection) -> None:
        await self._declarer.ensure(connection)
        channel = await Channel.open(connection)
        channel.raw.add_on_return_callback(self._on_return)
        await channel.call(channel.raw.confirm_delivery, self._on_confirm)
        connection.add_on_connection_blocked_callback(lambda *_: self._set_blocked(True))
        connection.add_on_connection_unblocked_callback(lambda *_: self._set_blocked(False))
        channel.closed.add_done_callback(self._on_channel_closed)
        self._frame_max = connection.params.frame_max
        self._window = ConfirmWindow(self._settings.publish_window)
        self._channel = channel
        self._progress_at = asyncio.get_running_loop().time()
        self._arm_watch()
        self._fill_window()

    def _drain(self) -> None:
        self._woken = False
        while self._inbox:
            self._waiting.append(self._inbox.popleft())
        if self._channel is not None:
            self._fill_window()
        elif (refusal := self._refusal()) is not None:
            self._fail_waiting(refusal)  # the link went down behind the sender's back

    def _fill_window(self) -> None:
        channel = self._channel
        if channel is None or not channel.raw.is_open or self._blocked:
            return
        if not self._window and self._waiting:
            self._progress_at = asyncio.get_running_loop().time()
        while self._waiting and self._window.has_room and not (self._one_by_one and self._window):
            self._send(channel, self._waiting.popleft())

    def _send(self, channel: Channel, pending: Pending) -> None:
        if len(pending.properties) > self._frame_max - 64:
            _fail(
                pending,
                PublishRejected(
                    f"expected headers within the broker's frame of {self._frame_max} bytes, "
                    f"got {len(pending.properties)}"
                ),
            )
            return
        channel.raw.basic_publish(
            self._topology.exchange,
            pending.wire.routing_key,
            pending.wire.body,
            pending.properties,
            mandatory=True,
        )
        self._window.sent(pending)

    def _on_confirm(self, frame: Any) -> None:
        confirm = frame.method
        acked = isinstance(confirm, spec.Basic.Ack)
        for pending in self._window.settle(confirm.delivery_tag, multiple=confirm.multiple):
            self._one_by_one = max(0, self._one_by_one - 1)
            if pending.returned is not None:
                _fail(pending, PublishReturned(pending.returned))
            elif acked:
                pending.future.set_result(None)
            else:
                _fail(
                    pending,
                    PublishNacked(
                        f"RabbitMQ refused a message for {pending.wire.routing_key!r}: a queue "
                        "bound to it is full (overflow reject-publish) or cannot write"
                    ),
                )
        self._progress_at = asyncio.get_running_loop().time()
        self._stalled = False
        self._fill_window()

    def _on_return(
        self, _channel: Any, method: Any, properties: spec.BasicProperties, body: bytes
    ) -> None:
        why = (
            f"no queue is bound to {method.exchange!r} for {method.routing_key!r} "
            f"({method.reply_code} {method.reply_text})"
        )
        if not self._window.mark_returned(properties.message_id, method.routing_key, body, why):
            logger.error("%s: a message came back that was not sent: %s", self._name, why)

    def _on_channel_closed(self, closed: asyncio.Future[Exception]) -> None:
        why = closed.result()
        if isinstance(why, ChannelClosedByBroker) and why.reply_code == PRECONDITION_FAILED:
            self._on_refused_message(why)
        self._link.restart(explain(why, self._settings))

    def _on_refused_message(self, why: ChannelClosedByBroker) -> None:
        """The broker closes the channel for one message and does not say which.

        If it was alone, it is known and must not be sent again. If not, as many as were under
        way are sent one by one when they come again, so that the bad one is found, rather
        than failing its neighbours for ever.
        """
        suspects = self._window.empty()
        error: TransportError = explain(why, self._settings)
        if len(suspects) == 1:
            error = PublishRejected(f"RabbitMQ will not take this message: {why.reply_text}")
        self._one_by_one = len(suspects) if len(suspects) > 1 else 0
        for pending in suspects:
            _fail(pending, error)

    def _set_blocked(self, blocked: bool) -> None:
        self._blocked = blocked
        if blocked:
            logger.warning("%s: the broker blocks publishers (memory or disk alarm)", self._name)
        else:
            logger.info("%s: the broker takes messages again", self._name)
        self._fill_window()

    def _arm_watch(self) -> None:
        pause_s = min(1.0, self._settings.confirm_timeout_s / 4)
        self._watch = asyncio.get_running_loop().call_later(pause_s, self._check_progress)

    def _check_progress(self) -> None:
        """Without confirms, new messages fail at once instead of costing each a full wait;
        and a connection that stays silent is given up, since RabbitMQ may never answer for
        what it took while a queue had no leader."""
        silent_s = asyncio.get_running_loop().time() - self._progress_at
        if (self._window or self._waiting) and silent_s > self._settings.confirm_timeout_s:
            self._stalled = bool(self._window)
            refusal = self._refusal()
            if refusal is not None:
                self._fail_waiting(refusal)
                if (
                    silent_s > GIVE_UP_AFTER * self._settings.confirm_timeout_s
                    and not self._blocked
                ):
                    self._link.restart(refusal)
        self._arm_watch()

    def _on_down(self, error: DLQError) -> None:
        self._channel = None
        self._blocked = self._stalled = False
        if self._watch is not None:
            self._watch.cancel()
        failure = error if isinstance(error, TransportError) else BrokerUnavailable(str(error))
        for pending in self._window.empty():
            _fail(pending, failure)
        self._waiting.extend(self._inbox)
        self._inbox.clear()
        self._fail_waiting(failure)

    def _fail_waiting(self, error: TransportError) -> None:
        while self._waiting:
            _fail(self._waiting.popleft(), error)


def _fail(pending: Pending, error: TransportError) -> None:
    # Each its own: an exception that is raised in many threads gathers all their tracebacks.
    pending.future.set_exception(type(error)(str(error)))
