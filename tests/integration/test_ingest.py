"""What arrives on the main queue from everybody else: older producers, RabbitMQ itself, junk.

The producers here speak bare pika, as other people's programs do.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from dlq.topology import topology_of
from tests.support.manager import ManagerProcess
from tests.support.waiting import until

pytestmark = pytest.mark.xdist_group("ingest")

EXCHANGE = "enrichment.dlq.exchange"


@contextmanager
def bare_channel(manager: ManagerProcess) -> Iterator[BlockingChannel]:
    parameters = pika.URLParameters(manager.environment["DLQ_BROKER_URL"])
    connection = pika.BlockingConnection(parameters)
    try:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel
    finally:
        connection.close()


def publish(
    channel: BlockingChannel,
    body: bytes,
    *,
    routing_key: str = "spotify.enrichment.failed",
    exchange: str = EXCHANGE,
    **properties: Any,
) -> None:
    channel.basic_publish(
        exchange, routing_key, body, pika.BasicProperties(**properties), mandatory=True
    )


def get_one(channel: BlockingChannel, queue: str) -> tuple[Any, Any, bytes]:
    """The next delivery; a confirmed message may take a moment to be ready."""
    got: list[tuple[Any, Any, bytes]] = []

    def arrived() -> bool:
        method, properties, body = channel.basic_get(queue)
        if method is not None:
            got.append((method, properties, body or b""))
        return bool(got)

    until(arrived, 5, f"nothing came in {queue}")
    return got[0]


def only_message(manager: ManagerProcess) -> dict[str, Any]:
    manager.wait_in_dlq(1)
    (message,) = manager.get("/dlq/messages")
    story: dict[str, Any] = manager.get(f"/dlq/messages/{message['message_id']}")
    return story


def test_an_older_producers_message_is_understood(broker_manager: ManagerProcess) -> None:
    body = {
        "item": {"artist": "Deadmau5", "title": "Strobe"},
        "error_context": {
            "error_type": "spotify",
            "error_message": "Rate limit exceeded: 429 Too Many Requests",
            "stack_trace": "Traceback (most recent call last):\n  ...",
            "timestamp": "2025-10-10T12:30:45Z",
        },
        "metadata": {"spider": "mixesdb"},
    }
    with bare_channel(broker_manager) as channel:
        publish(
            channel,
            json.dumps(body).encode(),
            message_id="550e8400-e29b-41d4-a716-446655440000",
            correlation_id="req-123456",
            delivery_mode=2,
            headers={
                "x-retry-count": 3,
                "x-error-type": "spotify",
                "x-error-message": "Rate limit exceeded",
                "x-source-service": "api-enrichment-pipeline",
                "x-metadata": {"spider": "mixesdb"},
                "x-failed-at": "2025-10-10T12:30:45Z",
            },
        )
    message = only_message(broker_manager)
    assert message["form"] == "legacy"
    assert message["message_id"] == "550e8400-e29b-41d4-a716-446655440000"
    assert message["correlation_id"] == "req-123456"
    assert message["payload"] == {"artist": "Deadmau5", "title": "Strobe"}
    assert message["metadata"] == {"spider": "mixesdb"}
    assert (message["error_type"], message["category"]) == ("spotify", "rate_limit")
    assert message["retry_count"] == 3
    assert message["timestamp"] == "2025-10-10T12:30:45Z"
    assert message["source_service"] == "api-enrichment-pipeline"


def test_a_message_that_rabbitmq_dead_lettered_is_understood(
    broker_manager: ManagerProcess,
) -> None:
    """Another service's queue dead-letters into our exchange; one of its consumers rejects."""
    with bare_channel(broker_manager) as channel:
        channel.queue_declare(
            "tagging.jobs",
            durable=True,
            arguments={
                "x-queue-type": "quorum",
                "x-dead-letter-exchange": EXCHANGE,
                "x-dead-letter-routing-key": "general.enrichment.failed",
            },
        )
        publish(
            channel,
            b'{"track": 7}',
            exchange="",
            routing_key="tagging.jobs",
            message_id="job-7",
            content_type="application/json",
        )
        method, _, _ = get_one(channel, "tagging.jobs")
        channel.basic_reject(method.delivery_tag, requeue=False)
        message = only_message(broker_manager)
    assert message["form"] == "dead_lettered"
    assert message["message_id"] == "job-7"
    assert message["payload"] == {"track": 7}
    assert message["error_type"] == "general"
    assert message["source_service"] == "tagging.jobs"
    assert "rejected" in message["error_message"]
    assert message["metadata"]["deaths"][0]["queue"] == "tagging.jobs"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"\xff\xfe\x00 not text", {}),
        (b"{broken json", {"x-error-type": b"\xff"}),
        (b"[" * 100_000, {}),
        (b"", {"x-death": "not a list", "x-retry-count": "many"}),
        (b'{"error_type": "spotify", "payload": {}, "retry_count": -5}', {"x-metadata": "{"}),
        (b'{"item": {"a": "\\ud800"}, "error_context": {}}', {"x-replay-id": 7}),
        (b'{"error_type": "\\u0000", "payload": {"n": NaN}, "message_id": "\\u0000"}', {}),
        (b"null", {"x-failed-at": dt.datetime(2025, 1, 1)}),  # noqa: DTZ001
    ],
)
def test_hostile_messages_are_kept_and_do_not_hold_up_the_next(
    broker_manager: ManagerProcess, body: bytes, headers: dict[str, Any]
) -> None:
    with bare_channel(broker_manager) as channel:
        publish(channel, body, headers=headers)
        publish(channel, b'{"item": {}, "error_context": {}}', message_id="the-next")
    broker_manager.wait_in_dlq(2)
    listed = broker_manager.get("/dlq/messages")
    assert listed[1]["message_id"] == "the-next"
    with bare_channel(broker_manager) as channel:
        waiting = channel.queue_declare("enrichment.dlq.queue", passive=True).method.message_count
    assert waiting == 0  # taken, acked, and not looping


def test_the_same_message_id_twice_is_one_row(broker_manager: ManagerProcess) -> None:
    with bare_channel(broker_manager) as channel:
        for _ in range(3):
            publish(channel, b'{"item": {}, "error_context": {}}', message_id="same")
        publish(channel, b'{"item": {}, "error_context": {}}', message_id="other")
    broker_manager.wait_in_dlq(2)


def test_identical_messages_without_id_are_rows_of_their_own(
    broker_manager: ManagerProcess,
) -> None:
    with bare_channel(broker_manager) as channel:
        for _ in range(3):
            publish(channel, b'{"item": {"a": 1}, "error_context": {}}')
    broker_manager.wait_in_dlq(3)
    ids = {m["message_id"] for m in broker_manager.get("/dlq/messages")}
    assert len(ids) == 3


def test_a_replay_sends_the_original_bytes_properties_and_headers(
    broker_manager: ManagerProcess,
) -> None:
    body = b'{ "item" : {"a": 1.0},\n "error_context": {} }  '
    headers = {"x-error-type": "lastfm", "own": [1, {"deep": True}], "CC": ["x"], "n": None}
    with bare_channel(broker_manager) as channel:
        publish(
            channel,
            body,
            routing_key="lastfm.enrichment.failed",
            message_id="exact",
            content_type="application/x-odd",
            app_id="them",
            priority=3,
            headers=headers,
        )
        broker_manager.wait_in_dlq(1)
        answer = broker_manager.post("/dlq/replay/exact?max_retries=2")
        assert answer.status_code == 200, answer.text
        method, properties, got = get_one(channel, "enrichment.dlq.retry")
    assert method.routing_key == "lastfm.enrichment.retry"
    assert got == body
    assert properties.message_id == "exact"
    assert properties.content_type == "application/x-odd"
    assert (properties.app_id, properties.priority) == ("them", 3)
    assert properties.delivery_mode == 2
    sent = properties.headers
    assert (sent["own"], sent["n"]) == ([1, {"deep": True}], None)
    assert "CC" not in sent
    assert sent["x-original-routing-key"] == "lastfm.enrichment.failed"
    assert (sent["x-replay-count"], sent["x-max-retries"]) == (1, 2)
    assert len(sent["x-replay-id"]) >= 32
    assert sent["x-replayed-at"].endswith("Z")


def test_a_retry_that_nobody_takes_comes_back(broker_manager: ManagerProcess) -> None:
    broker_manager.stop()
    broker_manager.environment["DLQ_RETRY_QUEUE"] = "short.retry"
    broker_manager.environment["DLQ_RETRY_TTL_MS"] = "300"
    with bare_channel(broker_manager) as channel:
        channel.queue_unbind("enrichment.dlq.retry", EXCHANGE, "*.enrichment.retry")
    broker_manager.start().wait_connected()
    with bare_channel(broker_manager) as channel:
        publish(channel, b'{"item": {}, "error_context": {}}', message_id="untaken")
    broker_manager.wait_in_dlq(1)
    assert broker_manager.post("/dlq/replay/untaken").status_code == 200

    def came_back() -> bool:
        return bool(broker_manager.get("/dlq/messages/untaken")["state"] == "pending")

    until(came_back, 15, lambda: str(broker_manager.get("/dlq/messages/untaken")))
    story = broker_manager.get("/dlq/messages/untaken")
    assert [r["outcome"] for r in story["replays"]] == ["returned"]
    assert [h["to_state"] for h in story["history"]] == ["pending", "replaying", "pending"]


def test_queues_of_an_older_deployment_are_taken_over(
    broker_manager: ManagerProcess,
) -> None:
    """The specified queues with the specified arguments and no more, made before us."""
    broker_manager.stop()
    day_ms = 24 * 3600 * 1000
    older = {
        "enrichment.dlq.queue": (30 * day_ms, 100_000),
        "enrichment.dlq.retry": (day_ms, 10_000),
        "enrichment.dlq.analysis": (7 * day_ms, 50_000),
    }
    with bare_channel(broker_manager) as channel:
        for name, (ttl_ms, length) in older.items():
            channel.queue_delete(name)
            channel.queue_declare(
                name,
                durable=True,
                arguments={
                    "x-message-ttl": ttl_ms,
                    "x-max-length": length,
                    "x-overflow": "drop-head",
                    "x-queue-type": "quorum",
                },
            )
            channel.queue_bind(name, EXCHANGE, "spotify.enrichment.failed")
        channel.queue_unbind("enrichment.dlq.retry", EXCHANGE, "spotify.enrichment.failed")
        publish(channel, b'{"item": {}, "error_context": {}}', message_id="from-before")
    broker_manager.start().wait_connected()
    assert only_message(broker_manager)["message_id"] == "from-before"
    health = broker_manager.get("/health")
    assert health["status"] == "healthy"
    mismatches = {m["queue"]: m for m in health["broker"]["mismatches"]}
    assert set(mismatches) == set(older)
    retry = mismatches["enrichment.dlq.retry"]
    assert retry["problem"]
    assert retry["policy"].startswith("rabbitmqctl set_policy")
    assert broker_manager.post("/dlq/replay/from-before").status_code == 200


def test_the_declared_topology_is_the_designed_one(broker_manager: ManagerProcess) -> None:
    """Each queue is as designed, or the broker would refuse this declaration with 406."""
    topology = topology_of(broker_manager.settings)
    with bare_channel(broker_manager) as channel:
        channel.exchange_declare(topology.exchange, "topic", durable=True)
        for queue in topology.queues:
            channel.queue_declare(queue.name, durable=True, arguments=queue.arguments)


def test_a_replay_that_a_consumer_rejects_keeps_its_story(broker_manager: ManagerProcess) -> None:
    """A consumer of somebody else's, which says nothing: only the broker's account is new."""
    with bare_channel(broker_manager) as channel:
        body = json.dumps({"item": {"a": 1}, "error_context": {"message": "429 Too Many Requests"}})
        key = "lastfm.enrichment.failed"
        publish(channel, body.encode(), routing_key=key, message_id="rejected")
        broker_manager.wait_in_dlq(1)
        before = broker_manager.get("/dlq/messages/rejected")
        assert broker_manager.post("/dlq/replay/rejected").status_code == 200
        method, _, _ = get_one(channel, "enrichment.dlq.retry")
        channel.basic_reject(method.delivery_tag, requeue=False)

        def is_back() -> bool:
            return bool(broker_manager.get("/dlq/messages/rejected")["state"] == "pending")

        until(is_back, 15, "it did not come back")
    after = broker_manager.get("/dlq/messages/rejected")
    told = ("error_type", "error_message", "routing_key", "title", "fingerprint", "category")
    assert {name: after[name] for name in told} == {name: before[name] for name in told}
    assert after["replays"][0]["outcome"] == "failed"
    assert "rejected" in after["replays"][0]["error"]


def test_a_retry_queue_that_somebody_deleted_is_there_again(
    broker_manager: ManagerProcess,
) -> None:
    with bare_channel(broker_manager) as channel:
        publish(channel, b'{"item": {}, "error_context": {}}', message_id="homeless")
        broker_manager.wait_in_dlq(1)
        channel.queue_delete("enrichment.dlq.retry")
    until(
        lambda: "enrichment.dlq.retry" in str(broker_manager.get("/health")["broker"]["problem"]),
        10,
        "health did not notice",
    )
    answer = broker_manager.post("/dlq/replay/homeless")
    assert (answer.status_code, answer.json()["code"]) == (503, "publish_returned")
    assert broker_manager.post("/dlq/replay/homeless").status_code == 200
