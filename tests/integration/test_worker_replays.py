"""Real workers on real replays, over RabbitMQ and over HTTP alike."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dlq.client import DLQClient
from dlq.errors import InvalidInput
from dlq.message import DLQMessage
from dlq.settings import Settings
from dlq.worker import RetryWorker, Tally
from tests.support.manager import ManagerProcess
from tests.support.rabbitmq import BrokerNode
from tests.support.waiting import until

DRAIN_S = 30.0
IDLE_S = 0.5
NUMBERS = itertools.count(1)


@pytest.fixture(scope="module", params=["http", "amqp"])
def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ManagerProcess]:
    """A running manager, without and with a broker: the worker finds its way by settings.

    It is shared: each test has an error_type of its own and leaves nothing in replay.
    """
    environment = {"DLQ_LEASE_TTL_S": "1"}
    if request.param == "amqp":
        broker: BrokerNode = request.getfixturevalue("broker")
        broker.start()
        environment["DLQ_BROKER_URL"] = broker.url(broker.fresh_vhost())
    manager = ManagerProcess(tmp_path_factory.mktemp("stage"), **environment).start()
    try:
        if "DLQ_BROKER_URL" in environment:
            manager.wait_connected()
        yield manager
        manager.stop()
    finally:
        manager.kill()


@pytest.fixture
def error_type() -> str:
    return f"provider_{next(NUMBERS)}"


def publish(manager: ManagerProcess, error_type: str, count: int = 1) -> list[str]:
    """Failures in the ledger. Returns: their ids."""
    with DLQClient(manager.settings, source_service="test") as client:
        receipts = client.publish_batch(
            {
                "item": {"number": number},
                "error": "429 Too Many Requests",
                "error_type": error_type,
                "retry_count": 3,
            }
            for number in range(count)
        )
    assert all(receipts)
    until(
        lambda: manager.get("/dlq/stats")["by_error_type"].get(error_type) == count,
        15,
        lambda: str(manager.get("/dlq/stats")),
    )
    return [receipt.message_id for receipt in receipts]


def replay(manager: ManagerProcess, ids: list[str], max_retries: int = 3) -> None:
    answer = manager.post("/dlq/replay/batch", {"message_ids": ids, "max_retries": max_retries})
    assert answer.json()["replayed_count"] == len(ids), answer.text


def drain(settings: Settings, handler: Callable[[DLQMessage], Any], **options: Any) -> Tally:
    """Work until nothing is left; handlers are called on the worker's threads."""
    return RetryWorker(default=handler, settings=settings, **options).run_until_idle(
        DRAIN_S, idle_s=IDLE_S
    )


def wait_for_state(manager: ManagerProcess, message_id: str, state: str) -> dict[str, Any]:
    def reached() -> bool:
        return bool(manager.get(f"/dlq/messages/{message_id}")["state"] == state)

    until(reached, 15, lambda: f"expected {state}: {manager.get(f'/dlq/messages/{message_id}')}")
    story: dict[str, Any] = manager.get(f"/dlq/messages/{message_id}")
    return story


def test_a_replay_that_succeeds_is_resolved_under_the_workers_name(
    stage: ManagerProcess, error_type: str
) -> None:
    [message_id] = publish(stage, error_type)
    replay(stage, [message_id])
    seen: list[DLQMessage] = []
    assert drain(stage.settings, seen.append, name="enrich-1") == Tally(succeeded=1)
    assert [message.message_id for message in seen] == [message_id]
    assert seen[0].payload == {"number": 0}
    story = wait_for_state(stage, message_id, "resolved")
    assert story["replays"][0]["outcome"] == "succeeded"
    assert story["replays"][0]["worker"] == "enrich-1"


def test_a_replay_that_fails_comes_back_as_the_same_dead_letter_with_its_new_error(
    stage: ManagerProcess, error_type: str
) -> None:
    [message_id] = publish(stage, error_type)
    replay(stage, [message_id])

    async def handle(_message: DLQMessage) -> None:
        raise KeyError("album")

    assert drain(stage.settings, handle) == Tally(failed=1)
    story = wait_for_state(stage, message_id, "pending")
    assert story["error_message"] == "'album'"
    assert story["retry_count"] == 3 + 1
    assert story["category"] == "bug"
    assert story["replays"][0]["outcome"] == "failed"
    assert story["payload"] == {"number": 0}


def test_many_replays_are_shared_out_among_threads_and_each_handled_once(
    stage: ManagerProcess, error_type: str
) -> None:
    ids = publish(stage, error_type, count=60)
    replay(stage, ids)
    seen: list[str] = []
    threads: set[int] = set()

    def handle(message: DLQMessage) -> None:
        seen.append(message.message_id)
        threads.add(threading.get_ident())
        time.sleep(0.01)  # the work

    assert drain(stage.settings, handle, concurrency=4).succeeded == 60
    assert sorted(seen) == sorted(ids)
    assert len(threads) == 4
    for message_id in (ids[0], ids[-1]):
        wait_for_state(stage, message_id, "resolved")


def test_what_the_handler_publishes_itself_is_the_failure_of_this_replay(
    stage: ManagerProcess, error_type: str
) -> None:
    [message_id] = publish(stage, error_type)
    replay(stage, [message_id])
    client = DLQClient(stage.settings, source_service="pipeline")

    def handle(message: DLQMessage) -> None:
        receipt = client.publish_to_dlq(
            message.payload, ValueError("no match"), retry_count=2, error_type=error_type
        )
        assert receipt.message_id == message.message_id

    with client:
        assert drain(stage.settings, handle) == Tally(failed=1)
    story = wait_for_state(stage, message_id, "pending")
    assert story["error_message"] == "no match"
    assert [r["outcome"] for r in story["replays"]] == ["failed"]
    assert stage.get("/dlq/stats")["by_error_type"][error_type] == 1


def test_without_a_handler_the_dead_letter_is_not_lost(
    stage: ManagerProcess, error_type: str
) -> None:
    """Over HTTP such a worker asks only for what it can handle; over AMQP it sends it back."""
    [message_id] = publish(stage, error_type)
    replay(stage, [message_id])
    worker = RetryWorker({"spotify": lambda _: None}, settings=stage.settings, name="w-1")
    tally = worker.run_until_idle(DRAIN_S, idle_s=IDLE_S)
    if stage.settings.amqp_url is None:
        assert tally == Tally()
        assert wait_for_state(stage, message_id, "replaying")["replays"][0]["outcome"] is None
        drain(stage.settings, lambda _: None)
    else:
        assert tally == Tally(released=1)
        story = wait_for_state(stage, message_id, "pending")
        why = f"No handler for error_type {error_type!r} in worker w-1"
        assert why in story["history"][-1]["reason"]
        assert "No handler" not in story["error_message"]  # its own error stays
        assert (story["replays"][0]["outcome"], story["retry_count"]) == ("returned", 3)


def test_a_stop_finishes_what_is_in_hand_and_gives_the_rest_back(
    stage: ManagerProcess, error_type: str
) -> None:
    ids = publish(stage, error_type, count=5)
    replay(stage, ids)
    started, finish = threading.Event(), threading.Event()
    handled: list[str] = []

    def handle(message: DLQMessage) -> None:
        started.set()
        assert finish.wait(20)
        handled.append(message.message_id)

    worker = RetryWorker(default=handle, settings=stage.settings)
    worker.start()
    assert started.wait(20)
    worker.stop()
    closing = threading.Thread(target=worker.close)
    closing.start()
    finish.set()
    closing.join(20)
    assert not closing.is_alive()
    assert worker.tally.succeeded == len(handled) == 1
    rest: list[str] = []
    drain(stage.settings, lambda message: rest.append(message.message_id))
    assert sorted(handled + rest) == sorted(ids)


def test_a_stop_waits_only_so_long_for_a_handler_that_hangs(
    stage: ManagerProcess, error_type: str
) -> None:
    [message_id] = publish(stage, error_type)
    replay(stage, [message_id])
    started, hang = threading.Event(), threading.Event()

    def handle(_message: DLQMessage) -> None:
        started.set()
        hang.wait(30)

    worker = RetryWorker(default=handle, settings=stage.settings, stop_timeout_s=0.3)
    worker.start()
    assert started.wait(20)
    before = time.monotonic()
    worker.close()
    assert time.monotonic() - before < 8
    assert wait_for_state(stage, message_id, "replaying")
    left: list[str] = []
    with RetryWorker(default=lambda m: left.append(m.message_id), settings=stage.settings):
        until(lambda: left == [message_id], 15, "it was not delivered again")
        wait_for_state(stage, message_id, "resolved")
    hang.set()


def test_what_a_handler_does_after_its_worker_was_stopped_is_not_done_again(
    stage: ManagerProcess, error_type: str
) -> None:
    [message_id] = publish(stage, error_type)
    replay(stage, [message_id])
    started, hang, worked = threading.Event(), threading.Event(), []

    def handle(message: DLQMessage) -> None:
        started.set()
        hang.wait(30)
        worked.append(message.message_id)

    worker = RetryWorker(default=handle, settings=stage.settings, stop_timeout_s=0.1)
    worker.start()
    assert started.wait(20)
    worker.close()
    hang.set()
    [late] = [thread for thread in threading.enumerate() if thread.name == "dlq-worker-1"]
    late.join(20)
    with RetryWorker(default=handle, settings=stage.settings):
        wait_for_state(stage, message_id, "resolved")
    assert worked == [message_id]


def test_a_handler_may_take_longer_than_a_lease_without_another_worker_getting_its_message(
    stage: ManagerProcess, error_type: str
) -> None:
    [message_id] = publish(stage, error_type)
    replay(stage, [message_id])
    calls: list[str] = []

    def handle(message: DLQMessage) -> None:
        calls.append(message.message_id)
        time.sleep(2.5)  # the work: more than twice the lease of 1 s

    with (
        RetryWorker(default=handle, settings=stage.settings),
        RetryWorker(default=handle, settings=stage.settings),
    ):
        wait_for_state(stage, message_id, "resolved")
    assert calls == [message_id]


def test_a_started_worker_cannot_be_started_again(stage: ManagerProcess) -> None:
    worker = RetryWorker(default=lambda _: None, settings=stage.settings)
    with worker, pytest.raises(InvalidInput, match="started before"):
        worker.start()
