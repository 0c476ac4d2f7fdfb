"""The consumer against a real broker: settling, redelivery, and coming back."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from dlq.transport import consumer as consumer_module
from dlq.transport.amqp import AmqpConsumer, AmqpControl, AmqpPublisher
from dlq.transport.io_thread import io_loop
from dlq.transport.properties import UNREADABLE_HEADERS, EncodedProperties
from tests.integration.transport_tools import (
    FAILED,
    Inbox,
    consuming,
    eventually,
    plain_channel,
    wire,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dlq.settings import Settings
    from dlq.transport.base import Delivery
    from tests.support.rabbitmq import BrokerNode


@pytest.fixture
def publisher(broker_settings: Settings) -> Iterator[AmqpPublisher]:
    publisher = AmqpPublisher(broker_settings, name="test-publisher")
    yield publisher
    publisher.close(5)


def fill(publisher: AmqpPublisher, count: int) -> list[str]:
    messages = [wire() for _ in range(count)]
    for future in [publisher.publish(message) for message in messages]:
        future.result(10)
    return [message.properties["message_id"] for message in messages]


def ids(deliveries: list[Delivery]) -> list[str]:
    return [delivery.wire.properties["message_id"] for delivery in deliveries]


def test_acked_messages_stay_gone_and_others_come_again(
    publisher: AmqpPublisher, broker_settings: Settings
) -> None:
    """In order, out of order, and twice: whatever the pattern of tags."""
    sent = fill(publisher, 20)
    with consuming(broker_settings, broker_settings.main_queue) as (consumer, inbox):
        got = inbox.take(20)
        assert ids(got) == sent
        assert not any(delivery.redelivered for delivery in got)
        assert got[0].exchange == broker_settings.exchange
        assert got[0].queue == broker_settings.main_queue
        assert consumer.ack(got[:5]).result(10)
        assert consumer.ack([got[9], got[7], got[15]]).result(10)
        assert consumer.ack(got[3:7]).result(10)
        assert consumer.ack([]).result(10)
    acked = {*ids(got[:7]), *ids([got[7], got[9], got[15]])}
    left = [message_id for message_id in sent if message_id not in acked]
    with consuming(broker_settings, broker_settings.main_queue) as (consumer, inbox):
        again = inbox.take(len(left))
        assert sorted(ids(again)) == sorted(left)
        assert all(delivery.redelivered for delivery in again)
        assert consumer.ack(again).result(10)


def test_prefetch_bounds_what_is_held(publisher: AmqpPublisher, broker_settings: Settings) -> None:
    fill(publisher, 10)
    with consuming(broker_settings, broker_settings.main_queue, prefetch=3) as (consumer, inbox):
        first = inbox.take(3)
        assert consumer.ack([]).result(10)  # a round trip: a fourth would have come before
        assert inbox.empty
        assert consumer.ack(first).result(10)
        inbox.take(3)


def test_a_nacked_message_comes_back(publisher: AmqpPublisher, broker_settings: Settings) -> None:
    sent = fill(publisher, 3)
    with consuming(broker_settings, broker_settings.main_queue) as (consumer, inbox):
        got = inbox.take(3)
        consumer.nack(got[1:])
        again = inbox.take(2)
        assert sorted(ids(again)) == sorted(sent[1:])
        assert all(delivery.redelivered for delivery in again)
        assert consumer.ack([got[0], *again]).result(10)


def test_stale_deliveries_are_not_acked_on_the_new_connection(
    broker: BrokerNode, publisher: AmqpPublisher, broker_settings: Settings
) -> None:
    sent = fill(publisher, 3)
    with consuming(broker_settings, broker_settings.main_queue) as (consumer, inbox):
        old = inbox.take(3)
        broker.ctl("close_all_connections", "--global", "test")
        new = inbox.take(3)
        assert new[0].epoch > old[0].epoch
        assert consumer.ack(old).result(10) is False
        assert consumer.ack([old[0], new[0]]).result(10) is False
        assert consumer.ack(new[1:]).result(10) is True
        assert sorted(ids(new)) == sorted(sent)
        assert all(delivery.redelivered for delivery in new)


def test_a_deleted_queue_is_declared_again_and_consumed(
    publisher: AmqpPublisher, broker_settings: Settings
) -> None:
    with consuming(broker_settings, broker_settings.main_queue) as (consumer, inbox):
        eventually(lambda: consumer.is_up)
        with plain_channel(broker_settings) as channel:
            channel.queue_delete(broker_settings.main_queue)
        eventually(lambda: "cancelled" in str(consumer.last_error) or consumer.is_up)
        control = AmqpControl(broker_settings)
        eventually(
            lambda: (d := control.inspect(5)[broker_settings.main_queue]) and d.consumers == 1
        )
        control.close(5)
        fill(publisher, 1)
        assert consumer.ack([inbox.next()]).result(10)


def test_the_watchdog_finds_a_consumer_that_the_broker_lost(
    publisher: AmqpPublisher, broker_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled behind our back: the broker says nothing, and nothing comes."""
    monkeypatch.setattr(consumer_module, "WATCHDOG_S", 0.1)
    with consuming(broker_settings, broker_settings.main_queue) as (consumer, inbox):
        eventually(lambda: consumer.is_up)
        fill(publisher, 1)
        before = inbox.next()
        assert consumer.ack([before]).result(10)
        session = consumer._session
        assert session is not None
        raw = session._channel.raw
        (tag,) = raw.consumer_tags
        io_loop().call_soon_threadsafe(raw.basic_cancel, tag)
        sent = fill(publisher, 1)
        after = inbox.next()
        assert ids([after]) == sent
        assert after.epoch > before.epoch


def test_a_callback_that_raises_gets_its_message_again(
    publisher: AmqpPublisher, broker_settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    sent = fill(publisher, 1)
    inbox = Inbox()
    faults: list[Delivery] = []

    def fail_once(delivery: Delivery) -> None:
        if not faults:
            faults.append(delivery)
            raise KeyError("bug")
        inbox(delivery)

    consumer = AmqpConsumer(
        broker_settings,
        queue=broker_settings.main_queue,
        prefetch=10,
        on_delivery=fail_once,
        name="test-raises",
    )
    consumer.start()
    try:
        again = inbox.next()
        assert ids([again]) == sent == ids(faults)
        assert again.redelivered
        assert "KeyError" in caplog.text
    finally:
        consumer.close(5)


@pytest.mark.parametrize("kind", ["year beyond calendars", "nested too deep"])
def test_headers_that_drivers_cannot_decode_arrive(
    publisher: AmqpPublisher, broker_settings: Settings, kind: str
) -> None:
    """A driver that raises here loses its connection, and gets the same message for ever."""
    fill(publisher, 1)
    if kind == "nested too deep":
        value = b"V"
        for _ in range(3000):
            value = b"A" + struct.pack(">I", len(value)) + value
    else:
        value = b"T" + struct.pack(">Q", 2**62)
    table = bytes((4,)) + b"when" + value
    with plain_channel(broker_settings) as channel:
        channel.basic_publish(
            broker_settings.exchange,
            FAILED,
            b"hostile",
            EncodedProperties(struct.pack(">HI", 1 << 13, len(table)) + table),
        )
    with consuming(broker_settings, broker_settings.main_queue) as (consumer, inbox):
        got = inbox.take(2)
        hostile = got[1].wire
        assert hostile.body == b"hostile"
        if kind == "nested too deep":
            assert list(hostile.headers) == [UNREADABLE_HEADERS]
        else:
            assert hostile.headers == {"when": 2**62}
        assert not hostile.properties
        assert consumer.ack(got).result(10)
