"""Declaring, taking over what exists, and reporting what is otherwise."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from dlq.errors import BrokerUnavailable, TopologyError
from dlq.settings import Settings
from dlq.topology import topology_of
from dlq.transport.amqp import AmqpControl, AmqpPublisher, QueueDepth
from tests.integration.transport_tools import collect, eventually, plain_channel, wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.rabbitmq import BrokerNode


@pytest.fixture
def control(broker_settings: Settings) -> Iterator[AmqpControl]:
    control = AmqpControl(broker_settings)
    yield control
    control.close(5)


def test_on_an_empty_broker_all_is_made_and_nothing_differs(
    control: AmqpControl, broker_settings: Settings
) -> None:
    assert control.ensure_topology(10) == []
    assert control.ensure_topology(10) == []
    names = {queue.name for queue in topology_of(broker_settings).queues}
    assert control.inspect(10) == dict.fromkeys(names, QueueDepth(ready=0, consumers=0))
    assert control.is_up


def test_an_existing_deployment_is_taken_over_as_it_is(
    control: AmqpControl, broker_settings: Settings
) -> None:
    """The three queues as the specification has them, without our further arguments."""
    topology = topology_of(broker_settings)
    names = ("x-message-ttl", "x-max-length", "x-overflow", "x-queue-type")
    with plain_channel(broker_settings) as channel:
        channel.exchange_declare(topology.exchange, "topic", durable=True)
        for queue in (topology.main, topology.retry, topology.analysis):
            arguments = {name: queue.arguments[name] for name in names}
            channel.queue_declare(queue.name, durable=True, arguments=arguments)
        channel.basic_publish("", topology.main.name, b"already here")
        eventually(
            lambda: channel.queue_declare(topology.main.name, passive=True).method.message_count
        )

    mismatches = control.ensure_topology(10)

    assert {m.queue for m in mismatches} == {
        topology.main.name,
        topology.retry.name,
        topology.analysis.name,
    }
    main = next(m for m in mismatches if m.queue == topology.main.name)
    assert main.problem == "x-delivery-limit: expected 1000000, it has none"
    assert main.policy == topology.main.policy_command()
    publisher = AmqpPublisher(broker_settings, name="test-takeover")
    try:
        for key in ("a.enrichment.failed", "a.enrichment.retry", "a.enrichment.outcome"):
            assert publisher.publish(wire(routing_key=key)).result(10) is None
    finally:
        publisher.close(5)
    bodies = [delivery.wire.body for delivery in collect(broker_settings, 2)]
    assert bodies == [b"already here", b"{}"]


def test_a_classic_queue_is_used_and_reported(
    control: AmqpControl, broker_settings: Settings
) -> None:
    with plain_channel(broker_settings) as channel:
        channel.queue_declare(broker_settings.main_queue, durable=True)
    (mismatch,) = control.ensure_topology(10)
    assert mismatch.queue == broker_settings.main_queue
    assert "classic" in mismatch.problem or "none" in mismatch.problem


def test_the_policy_it_names_is_one_that_the_broker_takes(
    broker: BrokerNode, broker_settings: Settings
) -> None:
    vhost = urlsplit(broker_settings.amqp_url or "").path.strip("/")
    retry = topology_of(broker_settings).retry  # the one with the most arguments
    _, *arguments = shlex.split(retry.policy_command())
    broker.ctl(*arguments, "--vhost", vhost)
    assert "dead-letter-strategy" in broker.ctl("list_policies", "--vhost", vhost)


def test_an_exchange_of_another_type_is_an_error_that_says_what_to_do(
    control: AmqpControl, broker_settings: Settings
) -> None:
    with plain_channel(broker_settings) as channel:
        channel.exchange_declare(broker_settings.exchange, "direct", durable=True)
    with pytest.raises(TopologyError, match=r"expected topic, it has direct.*DLQ_EXCHANGE"):
        control.ensure_topology(10)
    publisher = AmqpPublisher(broker_settings, name="test-wrong-type")
    try:
        error = publisher.publish(wire()).exception(10)
        assert isinstance(error, BrokerUnavailable)
        assert "DLQ_EXCHANGE" in str(error)
        assert not publisher.is_up
    finally:
        publisher.close(5)


def test_depths_are_counted_and_a_queue_that_lacks_is_not_zero(
    control: AmqpControl, broker_settings: Settings
) -> None:
    control.ensure_topology(10)
    with plain_channel(broker_settings) as channel:
        channel.queue_delete(broker_settings.outcomes_queue)
        channel.confirm_delivery()
        for _ in range(3):
            channel.basic_publish(broker_settings.exchange, "a.enrichment.failed", b"x")
    depths = eventually(
        lambda: (d := control.inspect(10))[broker_settings.main_queue] == QueueDepth(3, 0) and d
    )
    assert depths[broker_settings.analysis_queue] == QueueDepth(3, 0)
    assert depths[broker_settings.retry_queue] == QueueDepth(0, 0)
    assert depths[broker_settings.outcomes_queue] is None


def test_without_a_broker_it_says_so_within_its_time() -> None:
    control = AmqpControl(Settings(broker_url="amqp://u:secret@127.0.0.1:9/x"))
    try:
        started = time.monotonic()
        with pytest.raises(BrokerUnavailable, match="refused") as caught:
            control.inspect(1.0)
        assert time.monotonic() - started < 2.0
        assert "secret" not in str(caught.value)
        assert not control.is_up
    finally:
        control.close(1)
