"""The manager under faults: broker, ledger and itself killed while messages are on their way.

Each test asserts that the fault happened, and then that nothing was lost and no row is twice.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pika
import pytest

from dlq import DLQClient
from dlq.client.receipt import Custody, Receipt
from dlq.errors import SettingsError
from dlq.manager.server import serve
from tests.support.manager import ManagerProcess
from tests.support.postgres import PostgresCluster
from tests.support.rabbitmq import BrokerNode
from tests.support.waiting import until

pytestmark = pytest.mark.xdist_group("faults")


@pytest.fixture
def broker_url(broker: BrokerNode) -> Iterator[str]:
    broker.start()
    yield broker.url(broker.fresh_vhost())
    broker.start()


@pytest.fixture
def manager(broker_url: str, tmp_path: Path) -> Iterator[ManagerProcess]:
    """Not started yet."""
    process = ManagerProcess(tmp_path, DLQ_BROKER_URL=broker_url, DLQ_RECONNECT_MAX_S="0.5")
    yield process
    process.kill()


def bare_publish(url: str, count: int, *, with_ids: bool) -> None:
    """`count` messages of an older producer, confirmed."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()
    for n in range(count):
        properties = pika.BasicProperties(
            delivery_mode=2, message_id=f"bare-{n}" if with_ids else None
        )
        channel.basic_publish(
            "enrichment.dlq.exchange",
            "spotify.enrichment.failed",
            f'{{"item": {{"track": {n}}}, "error_context": {{}}}}'.encode(),
            properties,
            mandatory=True,
        )
    connection.close()


def exported(manager: ManagerProcess) -> Counter[str]:
    text = httpx2.get(f"{manager.url}/dlq/export", timeout=60).text
    return Counter(line.split('"message_id": "', 1)[1].split('"')[0] for line in text.splitlines())


def test_a_broker_killed_mid_publish_and_mid_ingest_loses_nothing(
    manager: ManagerProcess, broker: BrokerNode
) -> None:
    manager.start().wait_connected()
    settings = manager.settings.model_copy(update={"confirm_timeout_s": 1.0})
    receipts: list[Receipt] = []
    killed = threading.Event()

    def produce(dlq: DLQClient) -> None:
        until_missed = 40
        while until_missed:
            number = len(receipts)
            receipts.append(
                dlq.publish_to_dlq(item={"n": number}, error=TimeoutError("read timed out"))
            )
            until_missed -= killed.is_set()

    with DLQClient(settings, source_service="faults") as dlq:
        producer = threading.Thread(target=produce, args=(dlq,))
        producer.start()
        until(lambda: len(receipts) > 100, 30, "nothing was published")
        broker.kill()
        killed.set()
        producer.join(60)
        assert not producer.is_alive()
        states = Counter(receipt.state for receipt in receipts)
        assert states[Custody.SPOOLED] > 0, "the broker was not missed"
        assert states[Custody.CONFIRMED] > 0
        broker.start()
        assert dlq.flush(60), "the spool did not drain"
    manager.wait_in_dlq(len(receipts), 60)
    assert exported(manager) == {receipt.message_id: 1 for receipt in receipts}


@pytest.mark.parametrize("with_ids", [True, False])
def test_a_manager_killed_mid_ingest_takes_each_message_once(
    manager: ManagerProcess, broker_url: str, with_ids: bool
) -> None:
    manager.environment |= {"DLQ_INGEST_BATCH": "20", "DLQ_PREFETCH": "40"}
    manager.start().wait_connected()
    manager.stop()
    bare_publish(broker_url, 1500, with_ids=with_ids)
    manager.start()

    def some_but_not_all() -> bool:
        return 0 < manager.stored_count() < 1500

    until(some_but_not_all, 20, "ingest was over before it could be interrupted")
    manager.kill()
    manager.start().wait_connected()
    manager.wait_in_dlq(1500, 60)
    assert len(exported(manager)) == 1500


def test_a_connection_closed_by_the_broker_is_no_reason_for_a_second_row(
    manager: ManagerProcess, broker: BrokerNode, broker_url: str
) -> None:
    manager.environment |= {"DLQ_INGEST_BATCH": "20", "DLQ_PREFETCH": "40"}
    manager.start().wait_connected()
    manager.stop()
    bare_publish(broker_url, 1500, with_ids=False)
    manager.start()
    until(lambda: manager.stored_count() > 0, 20, "no ingest")
    broker.ctl("close_all_connections", "chaos")
    manager.wait_in_dlq(1500, 60)

    def all_acked() -> bool:
        depth = manager.get("/dlq/stats")["queue_stats"]["enrichment.dlq.queue"]
        return bool(depth == 1500)

    until(all_acked, 20, "the broker still holds what is in the ledger")
    assert len(exported(manager)) == 1500


def test_the_manager_starts_without_a_broker_and_finds_it_later(
    manager: ManagerProcess, broker: BrokerNode
) -> None:
    broker.stop()
    manager.start()
    health = manager.get("/health")
    assert (health["status"], health["rabbitmq_connected"]) == ("degraded", False)
    assert health["broker"]["problem"]
    assert manager.get("/health/ready") == {"status": "ready"}
    stats = manager.get("/dlq/stats")
    assert stats["total_messages"] == 0
    assert stats["queue_stats"]["enrichment.dlq.retry"] is None  # not known is never 0
    metrics = httpx2.get(manager.url + "/metrics").text
    assert "dlq_messages_total{" not in metrics

    broker.start()
    manager.wait_connected()
    assert manager.get("/health")["status"] == "healthy"
    manager.stop()


def test_a_replay_without_the_broker_is_refused_and_changes_nothing(
    manager: ManagerProcess, broker: BrokerNode
) -> None:
    manager.start().wait_connected()
    with DLQClient(manager.settings) as dlq:
        receipt = dlq.publish_to_dlq(item={"a": 1}, error=TimeoutError("t"), source_service="s")
    manager.wait_in_dlq(1)
    broker.kill()
    until(lambda: not manager.get("/health")["rabbitmq_connected"], 20, "not noticed")
    answer = manager.post(f"/dlq/replay/{receipt.message_id}")
    assert (answer.status_code, answer.json()["code"]) == (503, "broker_unavailable")
    story: dict[str, Any] = manager.get(f"/dlq/messages/{receipt.message_id}")
    assert (story["state"], story["replays"]) == ("pending", [])


def test_a_replay_that_the_retry_queue_refuses_goes_back(broker_url: str, tmp_path: Path) -> None:
    manager = ManagerProcess(
        tmp_path, DLQ_BROKER_URL=broker_url, DLQ_RETRY_MAX_LENGTH="1", DLQ_LOG_LEVEL="debug"
    )
    try:
        manager.start().wait_connected()
        with DLQClient(manager.settings) as dlq:
            ids = [
                dlq.publish_to_dlq(item={"n": n}, error=OSError("x")).message_id for n in range(12)
            ]
        manager.wait_in_dlq(12)
        answer = manager.post("/dlq/replay/batch", {"message_ids": ids}).json()
        assert answer["replayed_count"] >= 1
        assert answer["failed_count"] >= 1, "the full queue refused nothing"
        assert {e["code"] for e in answer["errors"]} == {"publish_nacked"}
        refused = manager.get(f"/dlq/messages/{answer['errors'][0]['message_id']}")
        assert (refused["state"], refused["replay_count"]) == ("pending", 0)
        manager.stop()
    finally:
        manager.kill()


def test_a_ledger_that_fails_stops_the_acks_until_it_is_back(
    broker_url: str, postgres: PostgresCluster, tmp_path: Path
) -> None:
    manager = ManagerProcess(
        tmp_path, DLQ_BROKER_URL=broker_url, DLQ_LEDGER_URL=postgres.fresh_database()
    )
    try:
        manager.start().wait_connected()
        postgres.kill()
        health = httpx2.get(manager.url + "/health", timeout=20)
        assert (health.status_code, health.json()["status"]) == (503, "unhealthy")
        bare_publish(broker_url, 50, with_ids=True)
        until(lambda: "stay unacked" in manager.log.read_text(), 20, "the fault was not met")

        postgres.start()
        manager.wait_in_dlq(50, 40)
        assert len(exported(manager)) == 50
        manager.stop()
    finally:
        postgres.start()
        manager.kill()


def test_a_stop_in_the_middle_of_ingest_is_clean_and_in_time(
    manager: ManagerProcess, broker_url: str
) -> None:
    manager.environment |= {"DLQ_INGEST_BATCH": "5", "DLQ_PREFETCH": "10"}
    manager.start().wait_connected()
    manager.stop()
    bare_publish(broker_url, 1000, with_ids=True)
    manager.start()
    until(lambda: manager.stored_count() > 0, 20, "no ingest")
    manager.stop()  # asserts the exit code, and that it takes less than 10 s
    manager.start()
    manager.wait_in_dlq(1000, 60)
    assert set(exported(manager).values()) == {1}


def test_a_stop_in_a_batch_replay_with_a_frozen_broker_is_in_time(
    manager: ManagerProcess, broker: BrokerNode, broker_url: str
) -> None:
    manager.start().wait_connected()
    bare_publish(broker_url, 50, with_ids=True)
    manager.wait_in_dlq(50)
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        body = {"message_ids": [f"bare-{n}" for n in range(50)]}
        answers: list[httpx2.Response] = []
        batch = threading.Thread(
            target=lambda: answers.append(manager.post("/dlq/replay/batch", body))
        )
        batch.start()
        until(lambda: manager.get("/dlq/stats")["by_state"]["replaying"] > 0, 20, "not begun")
        manager.stop()  # asserts exit code 0 within 10 s
        batch.join(10)
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    assert answers[0].json()["failed_count"] == 50
    manager.start().wait_connected()
    until(
        lambda: manager.get("/dlq/stats")["queue_stats"]["enrichment.dlq.retry"] > 0,
        30,
        "what was begun was not handed over again",
    )


def test_a_frozen_database_holds_up_neither_health_nor_the_stop(
    postgres: PostgresCluster, tmp_path: Path
) -> None:
    manager = ManagerProcess(tmp_path, DLQ_LEDGER_URL=postgres.fresh_database()).start()
    frozen = [row[0] for row in postgres.execute("SELECT pid FROM pg_stat_activity")]
    for pid in frozen:
        with contextlib.suppress(ProcessLookupError):  # the asker's own backend is gone
            os.kill(pid, signal.SIGSTOP)
    try:
        health = httpx2.get(manager.url + "/health", timeout=8)
        assert (health.status_code, health.json()["status"]) == (503, "unhealthy")
        manager.stop()
    finally:
        for pid in frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        manager.kill()


def test_a_second_manager_on_the_same_port_says_so(tmp_path: Path) -> None:
    first = ManagerProcess(tmp_path).start()
    try:
        with pytest.raises(SettingsError, match="Another process has the port"):
            serve(first.settings)
    finally:
        first.stop()
