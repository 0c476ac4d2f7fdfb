"""What the tests of the transport share: messages, a plain client beside ours, polling."""

from __future__ import annotations

import datetime as dt
import queue as queues
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pika

from dlq.message import DLQMessage, WireMessage, new_message_id
from dlq.transport.amqp import AmqpConsumer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dlq.settings import Settings
    from dlq.transport.base import Delivery

FAILED = "spotify.enrichment.failed"


def dead_letter() -> DLQMessage:
    return DLQMessage(
        message_id=new_message_id(),
        correlation_id="req-123456",
        routing_key=FAILED,
        timestamp=dt.datetime(2025, 10, 10, 12, 30, 45, tzinfo=dt.UTC),
        retry_count=3,
        error_type="spotify",
        error_message="Rate limit exceeded: 429 Too Many Requests",
        stack_trace="Traceback (most recent call last):\n  ...",
        source_service="api-enrichment-pipeline",
        payload={"track_id": "abc123", "artist_name": "Deadmau5"},
        metadata={"spider": "mixesdb"},
    )


def wire(
    *,
    routing_key: str = FAILED,
    body: bytes = b"{}",
    headers: dict[str, Any] | None = None,
    **properties: Any,
) -> WireMessage:
    return WireMessage(
        body=body,
        routing_key=routing_key,
        headers=headers or {},
        properties={"message_id": new_message_id()} | properties,
    )


def eventually(condition: Callable[[], Any], timeout_s: float = 20.0) -> Any:
    """The first truthy result; fails when the time is over."""
    deadline = time.monotonic() + timeout_s
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {condition}"
        time.sleep(0.02)
    return result


class Inbox:
    """Deliveries of a consumer, for the test's thread to wait on."""

    def __init__(self) -> None:
        self._deliveries: queues.Queue[Delivery] = queues.Queue()

    def __call__(self, delivery: Delivery) -> None:
        self._deliveries.put(delivery)

    def next(self, timeout_s: float = 20.0) -> Delivery:
        return self._deliveries.get(timeout=timeout_s)

    def take(self, count: int, timeout_s: float = 20.0) -> list[Delivery]:
        return [self.next(timeout_s) for _ in range(count)]

    @property
    def empty(self) -> bool:
        return self._deliveries.empty()


@contextmanager
def consuming(
    settings: Settings, queue: str, *, prefetch: int = 500
) -> Iterator[tuple[AmqpConsumer, Inbox]]:
    inbox = Inbox()
    consumer = AmqpConsumer(
        settings, queue=queue, prefetch=prefetch, on_delivery=inbox, name="test-consumer"
    )
    consumer.start()
    try:
        yield consumer, inbox
    finally:
        consumer.close(5)


def take_one(settings: Settings, queue: str) -> WireMessage:
    """The first message of a queue, acked."""
    with consuming(settings, queue, prefetch=1) as (consumer, inbox):
        delivery = inbox.next()
        assert consumer.ack([delivery]).result(10)
        return delivery.wire


def collect(settings: Settings, count: int, queue: str | None = None) -> list[Delivery]:
    """`count` messages of a queue (the main one), acked."""
    with consuming(settings, queue or settings.main_queue, prefetch=2000) as (consumer, inbox):
        deliveries = inbox.take(count)
        assert consumer.ack(deliveries).result(10)
        return deliveries


@contextmanager
def plain_channel(settings: Settings) -> Iterator[Any]:
    """pika's own blocking client: to set the scene, and to look at it with other eyes."""
    connection = pika.BlockingConnection(pika.URLParameters(settings.amqp_url))
    try:
        yield connection.channel()
    finally:
        connection.close()
