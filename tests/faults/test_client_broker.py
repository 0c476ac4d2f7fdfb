"""The client and a real RabbitMQ that dies, hangs and comes back: nothing is lost."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pika
import pytest

from dlq.client import DLQClient, Failure, Receipt, Spool
from dlq.settings import Settings
from tests.support.proxy import FaultProxy
from tests.support.rabbitmq import BrokerNode
from tests.support.waiting import until


@pytest.fixture
def settings(broker_settings: Settings) -> Settings:
    return broker_settings.model_copy(update={"confirm_timeout_s": 3.0})


@pytest.fixture
def proxied(broker: BrokerNode) -> Iterator[tuple[FaultProxy, Settings]]:
    broker.start()
    with FaultProxy(broker.port) as proxy:
        url: Any = broker.url(broker.fresh_vhost(), port=proxy.port)
        yield proxy, Settings(broker_url=url, confirm_timeout_s=2, reconnect_max_s=0.3)


def ids_in_main_queue(settings: Settings, url: str | None = None) -> list[str]:
    """Take everything out of the main queue with a plain client."""
    parameters = pika.URLParameters(url or settings.amqp_url)
    found: list[str] = []
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        while True:
            frame, properties, body = channel.basic_get(settings.main_queue, auto_ack=True)
            if frame is None:
                return found
            assert json.loads(body)["message_id"] == properties.message_id
            found.append(properties.message_id)


def keep_young_queues(broker: BrokerNode) -> None:
    """RabbitMQ 3.10 writes down late what it knows of a new quorum queue: killed before that,
    it brings the queue back without a leader, for good ("leader not known")."""
    broker.eval("[dets:sync(Table) || Table <- dets:all()].")


def publish_until(stop: threading.Event, dlq: DLQClient, receipts: list[Receipt]) -> None:
    while not stop.is_set():
        receipts.append(dlq.publish_to_dlq(item={"a": 1}, error=ValueError("x"), retry_count=3))


def test_a_failure_is_in_the_main_queue_as_specified(settings: Settings) -> None:
    with DLQClient(settings) as dlq:
        receipt = dlq.publish_to_dlq(
            item={"artist": "Deadmau5"},
            error=RuntimeError("Spotify: 429 Too Many Requests"),
            retry_count=3,
            source_service="api-enrichment-pipeline",
            metadata={"spider": "mixesdb"},
        )
        assert receipt.state == "confirmed"
    with pika.BlockingConnection(pika.URLParameters(settings.amqp_url)) as connection:
        channel = connection.channel()
        frame, properties, body = channel.basic_get(settings.main_queue, auto_ack=True)
    assert frame.routing_key == "spotify.enrichment.failed"
    assert properties.message_id == receipt.message_id
    assert properties.headers["x-retry-count"] == 3
    assert properties.headers["x-source-service"] == "api-enrichment-pipeline"
    assert json.loads(properties.headers["x-metadata"]) == {"spider": "mixesdb"}
    assert json.loads(body)["payload"] == {"artist": "Deadmau5"}


def test_the_broker_is_killed_and_restarted_in_mid_publish(
    broker: BrokerNode, settings: Settings
) -> None:
    receipts: list[Receipt] = []
    stop = threading.Event()
    with DLQClient(settings) as dlq:
        threads = [
            threading.Thread(target=publish_until, args=(stop, dlq, receipts)) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        until(lambda: len(receipts) > 50, 30, "nothing was published")
        keep_young_queues(broker)
        broker.kill()
        assert not broker.is_running
        seen = len(receipts)
        until(lambda: len(receipts) > seen + 20, 30, "publishing stalled with the broker dead")
        stop.set()
        for thread in threads:
            thread.join()
        broker.start()
        assert dlq.flush(60)
        assert dlq.publish_to_dlq(item={}, error="x").state == "confirmed"
    states = {str(receipt.state) for receipt in receipts}
    assert states == {"confirmed", "spooled"}, states
    assert {receipt.message_id for receipt in receipts} <= set(ids_in_main_queue(settings))


def test_connections_are_cut_in_mid_publish(
    broker: BrokerNode, proxied: tuple[FaultProxy, Settings]
) -> None:
    proxy, settings = proxied
    receipts: list[Receipt] = []
    stop = threading.Event()
    with DLQClient(settings) as dlq:
        threads = [
            threading.Thread(target=publish_until, args=(stop, dlq, receipts)) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        cut = 0
        for _ in range(3):
            seen = len(receipts)
            until(lambda seen=seen: len(receipts) > seen + 30, 30, "publishing stalled")  # type: ignore[misc]
            until(lambda: proxy.live > 0, 30, "nobody reconnected")
            cut += proxy.cut()
        stop.set()
        for thread in threads:
            thread.join()
        assert cut >= 3
        assert dlq.flush(60)
    assert all(receipts)
    assert {receipt.message_id for receipt in receipts} <= set(ids_in_main_queue(settings))


def test_a_black_hole_costs_one_wait_and_loses_nothing(
    proxied: tuple[FaultProxy, Settings],
) -> None:
    proxy, settings = proxied
    with DLQClient(settings) as dlq:
        assert dlq.publish_to_dlq(item={}, error="x").state == "confirmed"
        proxy.black_hole()
        started = time.monotonic()
        first = dlq.publish_to_dlq(item={}, error="x")
        first_s = time.monotonic() - started
        rest = dlq.publish_batch([Failure({"n": n}, "x") for n in range(20)])
        assert first_s < 2.2
        assert time.monotonic() - started < first_s + 1
        assert {receipt.state for receipt in (first, *rest)} == {"spooled"}
        assert proxy.bytes_held > 0
        proxy.heal()
        assert dlq.flush(60)
        assert dlq.publish_to_dlq(item={}, error="x").state == "confirmed"
    assert {r.message_id for r in (first, *rest)} <= set(ids_in_main_queue(settings))


def test_no_broker_at_all_is_one_short_wait(settings: Settings, broker: BrokerNode) -> None:
    broker.kill()
    with DLQClient(settings) as dlq:
        started = time.monotonic()
        receipts = [dlq.publish_to_dlq(item={}, error="x") for _ in range(10)]
        assert time.monotonic() - started < 3.5
        assert {receipt.state for receipt in receipts} == {"spooled"}
        waiting = [entry.message_id for entry in Spool(settings).entries()]
        assert waiting == [receipt.message_id for receipt in receipts]
        broker.start()
        assert dlq.flush(60)
    assert set(waiting) <= set(ids_in_main_queue(settings))
