"""Two managers on one broker and one PostgreSQL, as behind a load balancer."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dlq import DLQClient, RetryWorker
from tests.support.manager import ManagerProcess
from tests.support.postgres import PostgresCluster
from tests.support.rabbitmq import BrokerNode
from tests.support.waiting import until

COUNT = 600


@pytest.fixture
def managers(
    broker: BrokerNode, postgres: PostgresCluster, tmp_path: Path
) -> Iterator[list[ManagerProcess]]:
    """Started at the same moment on an empty database, so that they race for its schema too."""
    broker.start()
    shared = {
        "DLQ_BROKER_URL": broker.url(broker.fresh_vhost()),
        "DLQ_LEDGER_URL": postgres.fresh_database(),
        "DLQ_INGEST_BATCH": "25",
        "DLQ_PREFETCH": "50",
    }
    both = [ManagerProcess(tmp_path, **shared) for _ in range(2)]
    starts = [threading.Thread(target=manager.start) for manager in both]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    try:
        for manager in both:
            manager.wait_connected()
        yield both
        for manager in both:
            manager.stop()
    finally:
        for manager in both:
            manager.kill()


def test_both_ingest_and_each_message_is_replayed_once(managers: list[ManagerProcess]) -> None:
    first, second = managers
    with DLQClient(first.settings) as dlq:
        receipts = dlq.publish_batch(
            [{"item": {"n": n}, "error": "HTTP 503 Service Unavailable"} for n in range(COUNT)]
        )
    assert all(receipt.state == "confirmed" for receipt in receipts)
    first.wait_in_dlq(COUNT)
    ids = [receipt.message_id for receipt in receipts]

    answers: list[dict[str, Any]] = []

    def replay(manager: ManagerProcess) -> None:
        answers.append(manager.post("/dlq/replay/batch", {"message_ids": ids}).json())

    racers = [threading.Thread(target=replay, args=(manager,)) for manager in managers]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert sum(answer["replayed_count"] for answer in answers) == COUNT
    refused = Counter(error["code"] for answer in answers for error in answer["errors"])
    assert refused == {"illegal_state": COUNT}

    handled: Counter[str] = Counter()
    worker = RetryWorker(
        default=lambda message: handled.update([message.message_id]), settings=second.settings
    )
    worker.run_until_idle(60)
    assert handled == dict.fromkeys(ids, 1)
    until(
        lambda: bool(second.get("/dlq/stats")["by_state"]["resolved"] == COUNT),
        30,
        lambda: f"not all resolved: {second.get('/dlq/stats')}",
    )
