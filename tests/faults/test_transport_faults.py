"""The transport under crash, cut, silence and alarm: what was confirmed is never lost, what
was not fails within its time, and everything comes back by itself."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from dlq.errors import BrokerUnavailable
from dlq.settings import Settings
from dlq.transport.amqp import AmqpControl, AmqpPublisher
from tests.integration.transport_tools import collect, consuming, eventually, wire
from tests.support.proxy import FaultProxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from dlq.transport.base import Delivery
    from tests.support.rabbitmq import BrokerNode


@pytest.fixture
def proxy(broker: BrokerNode, broker_settings: Settings) -> Iterator[FaultProxy]:
    with FaultProxy(broker.port) as proxy:
        yield proxy


@pytest.fixture
def proxied(broker: BrokerNode, broker_settings: Settings, proxy: FaultProxy) -> Settings:
    """The same virtual host, by way of the proxy."""
    vhost = (broker_settings.amqp_url or "").rpartition("/")[2]
    return Settings(
        broker_url=broker.url(vhost, port=proxy.port), reconnect_max_s=0.5, confirm_timeout_s=1.0
    )


@pytest.fixture
def publisher(proxied: Settings) -> Iterator[AmqpPublisher]:
    publisher = AmqpPublisher(proxied, name="test-publisher")
    publisher.publish(wire(message_id="first")).result(10)
    yield publisher
    publisher.close(2)


def outcome(future: Future[None]) -> BaseException | None:
    return future.exception(20)


def test_kill_9_of_the_broker_loses_nothing_that_was_confirmed(
    broker: BrokerNode, broker_settings: Settings
) -> None:
    settings = broker_settings.model_copy(update={"confirm_timeout_s": 1.0})
    publisher = AmqpPublisher(settings, name="test-kill")
    confirmed: set[str] = set()
    failed: set[str] = set()
    stop = threading.Event()

    def publish_all_the_time(thread: int) -> None:
        number = 0
        while not stop.is_set():
            batch = {f"{thread}-{number + n}": None for n in range(20)}
            number += 20
            sent = {name: publisher.publish(wire(message_id=name)) for name in batch}
            for name, future in sent.items():
                (failed if outcome(future) else confirmed).add(name)
            time.sleep(0.005)

    threads = [threading.Thread(target=publish_all_the_time, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: len(confirmed) > 300)
        broker.kill()
        eventually(lambda: failed)
        broker.start()
        before = len(confirmed)
        eventually(lambda: len(confirmed) > before + 100, 30)
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
        publisher.close(5)
    assert failed
    arrived: set[str] = set()

    with consuming(broker_settings, broker_settings.main_queue, prefetch=2000) as (consumer, inbox):
        while not confirmed <= arrived:
            delivery = inbox.next()
            arrived.add(delivery.wire.properties["message_id"])
            consumer.ack([delivery])
    assert confirmed <= arrived <= confirmed | failed


def test_a_cut_fails_what_is_under_way_and_heals_by_itself(
    publisher: AmqpPublisher, proxy: FaultProxy, broker_settings: Settings
) -> None:
    proxy.black_hole()  # so that the confirms cannot come first
    under_way = [publisher.publish(wire(message_id=f"lost?{n}")) for n in range(50)]
    eventually(lambda: proxy.bytes_held)
    assert proxy.cut() == 1
    assert all(isinstance(outcome(future), BrokerUnavailable) for future in under_way)
    assert not publisher.is_up
    proxy.heal()
    eventually(lambda: publisher.is_up)
    assert publisher.publish(wire(message_id="after")).result(10) is None
    assert proxy.connections_seen >= 2
    assert proxy.connections_cut == 1
    ids = [d.wire.properties["message_id"] for d in collect(broker_settings, 2)]
    assert ids == ["first", "after"]


def test_many_cuts_in_a_row(publisher: AmqpPublisher, proxy: FaultProxy) -> None:
    for number in range(8):
        eventually(lambda: publisher.is_up)
        assert publisher.publish(wire(message_id=f"cut-{number}")).result(10) is None
        proxy.cut()
        eventually(lambda: not publisher.is_up)
    assert proxy.connections_cut >= 8


def test_in_a_black_hole_new_messages_fail_at_once_and_old_ones_arrive_late(
    publisher: AmqpPublisher, proxy: FaultProxy, broker_settings: Settings
) -> None:
    proxy.black_hole()
    pending = publisher.publish(wire(message_id="late"))
    eventually(lambda: not publisher.is_up)
    started = time.monotonic()
    refused = outcome(publisher.publish(wire(message_id="refused")))
    assert isinstance(refused, BrokerUnavailable)
    assert "no confirm" in str(refused)
    assert time.monotonic() - started < 0.2
    assert not pending.done()
    assert proxy.bytes_held
    proxy.heal()
    assert outcome(pending) is None
    assert publisher.is_up
    assert publisher.publish(wire(message_id="after")).result(10) is None
    ids = [d.wire.properties["message_id"] for d in collect(broker_settings, 3)]
    assert ids == ["first", "late", "after"]


def test_confirms_that_never_come_end_the_connection(
    publisher: AmqpPublisher, proxy: FaultProxy
) -> None:
    """Long before the heartbeat (35 s) would: nothing stays pending for ever."""
    proxy.black_hole()
    pending = publisher.publish(wire())
    started = time.monotonic()
    error = outcome(pending)
    assert isinstance(error, BrokerUnavailable)
    assert "no confirm" in str(error)
    assert 2 < time.monotonic() - started < 10
    eventually(lambda: proxy.connections_seen == 2)
    proxy.heal()
    eventually(lambda: publisher.is_up)
    assert publisher.publish(wire()).result(10) is None


def test_a_broker_that_accepts_but_never_answers_is_bounded(
    proxy: FaultProxy, proxied: Settings
) -> None:
    proxy.black_hole()
    publisher = AmqpPublisher(proxied, name="test-mute")
    control = AmqpControl(proxied)
    try:
        started = time.monotonic()
        error = publisher.publish(wire()).exception(5)
        assert isinstance(error, BrokerUnavailable)
        assert "no connection within 1 s" in str(error)
        with pytest.raises(BrokerUnavailable):
            control.ensure_topology(0.5)
        assert time.monotonic() - started < 3
        assert proxy.connections_seen == 2
    finally:
        started = time.monotonic()
        publisher.close(0.5)
        control.close(0.5)
        assert time.monotonic() - started < 2


def test_closing_in_the_middle_of_a_handshake_is_quiet(
    proxy: FaultProxy, proxied: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.black_hole()
    publisher = AmqpPublisher(proxied, name="test-half-open")
    eventually(lambda: proxy.connections_seen > 0)
    publisher.close(2)
    control = AmqpControl(proxied)  # its answer comes after whatever the close left behind
    with pytest.raises(BrokerUnavailable):
        control.inspect(0.5)
    control.close(2)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_broker_that_comes_late_is_found(proxy: FaultProxy, proxied: Settings) -> None:
    proxy.refuse()
    publisher = AmqpPublisher(proxied, name="test-late")
    try:
        assert isinstance(outcome(publisher.publish(wire())), BrokerUnavailable)
        proxy.heal()
        eventually(lambda: publisher.is_up)
        assert publisher.publish(wire()).result(10) is None
        assert publisher.last_error is None
    finally:
        publisher.close(2)


def test_close_in_a_black_hole_is_bounded(publisher: AmqpPublisher, proxy: FaultProxy) -> None:
    proxy.black_hole()
    pending = publisher.publish(wire())
    started = time.monotonic()
    publisher.close(0.5)
    assert time.monotonic() - started < 1.5
    assert isinstance(pending.exception(1), BrokerUnavailable)


def test_an_alarm_is_told_and_over_when_it_is_over(
    broker: BrokerNode, broker_settings: Settings
) -> None:
    publisher = AmqpPublisher(broker_settings, name="test-alarm")
    control = AmqpControl(broker_settings)
    try:
        publisher.publish(wire()).result(10)
        broker.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
        late = publisher.publish(wire())
        eventually(lambda: not publisher.is_up)
        error = outcome(publisher.publish(wire()))
        assert isinstance(error, BrokerUnavailable)
        assert "alarm" in str(error)
        assert control.inspect(10)  # its connection never published: not blocked
    finally:
        broker.ctl("set_vm_memory_high_watermark", "absolute", "1GB")
    eventually(lambda: publisher.is_up)
    assert outcome(late) is None
    assert publisher.publish(wire()).result(10) is None
    publisher.close(5)
    control.close(5)


def test_a_consumer_comes_back_after_each_cut_and_sees_what_was_unacked(
    proxied: Settings, proxy: FaultProxy, broker_settings: Settings
) -> None:
    publisher = AmqpPublisher(broker_settings, name="test-publisher")
    eventually(lambda: publisher.is_up)  # its queues are there before another looks for them
    with consuming(proxied, proxied.main_queue) as (consumer, inbox):
        epochs: list[int] = []
        for number in range(3):
            publisher.publish(wire(message_id=str(number))).result(10)
            delivery: Delivery = inbox.next()
            epochs.append(delivery.epoch)
            assert proxy.cut() >= 1
            again = inbox.next()
            assert again.wire.properties["message_id"] == str(number)
            assert again.redelivered
            assert consumer.ack([delivery]).result(10) is False
            assert consumer.ack([again]).result(10) is True
        assert epochs == sorted(set(epochs))
    publisher.close(5)


def test_an_ack_in_a_black_hole_is_not_believed(
    proxied: Settings, proxy: FaultProxy, broker_settings: Settings
) -> None:
    publisher = AmqpPublisher(broker_settings, name="test-publisher")
    eventually(lambda: publisher.is_up)  # its queues are there before another looks for them
    with consuming(proxied, proxied.main_queue) as (consumer, inbox):
        publisher.publish(wire()).result(10)
        delivery = inbox.next()
        proxy.black_hole()
        taken = consumer.ack([delivery])
        eventually(lambda: proxy.bytes_held)
        assert not taken.done()
        proxy.cut()
        assert taken.result(10) is False
        proxy.heal()
        assert inbox.next().redelivered
    publisher.close(5)
