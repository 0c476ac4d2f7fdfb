"""Workers when something breaks: a killed process, a cut connection, odd messages."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dlq.client import DLQClient
from dlq.errors import IllegalTransition, PublishRejected
from dlq.manager.tokens import Role, create_token
from dlq.message import DLQMessage, WireMessage, encode, new_message_id
from dlq.settings import Settings
from dlq.transport.amqp import AmqpControl, AmqpPublisher
from dlq.worker import RetryWorker, Tally
from tests.support.manager import ManagerProcess
from tests.support.proxy import FaultProxy
from tests.support.rabbitmq import BrokerNode
from tests.support.waiting import until

DRAIN_S = 30.0
IDLE_S = 0.5
CONFIRM_S = 5.0


@pytest.fixture(scope="module")
def vhost(broker: BrokerNode) -> str:
    broker.start()
    return broker.fresh_vhost()


@pytest.fixture(scope="module")
def manager(
    broker: BrokerNode, vhost: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ManagerProcess]:
    folder = tmp_path_factory.mktemp("manager")
    running = ManagerProcess(folder, DLQ_BROKER_URL=broker.url(vhost)).start()
    try:
        yield running.wait_connected()
        running.stop()
    finally:
        running.kill()


def replayed(manager: ManagerProcess, error_type: str) -> str:
    """A dead letter on its way to a worker. Returns: its id."""
    with DLQClient(manager.settings, source_service="test") as client:
        receipt = client.publish_to_dlq(
            {"track": "Strobe"}, "503 from upstream", error_type=error_type
        )
    assert receipt
    until(lambda: state_of(manager, receipt.message_id) == "pending", 15, "not ingested")
    answer = manager.post(f"/dlq/replay/{receipt.message_id}")
    assert answer.status_code == 200, answer.text
    return receipt.message_id


def state_of(manager: ManagerProcess, message_id: str) -> str | None:
    found = [m for m in manager.get("/dlq/messages", state="all") if m["message_id"] == message_id]
    return str(found[0]["state"]) if found else None


def wait_for_state(manager: ManagerProcess, message_id: str, state: str) -> dict[str, Any]:
    until(
        lambda: state_of(manager, message_id) == state,
        20,
        lambda: f"expected {state}, is {state_of(manager, message_id)}",
    )
    story: dict[str, Any] = manager.get(f"/dlq/messages/{message_id}")
    return story


def put_on_retry_queue(settings: Settings, wire: WireMessage) -> None:
    publisher = AmqpPublisher(settings, name="test")
    try:
        publisher.publish(wire).result(CONFIRM_S)
    finally:
        publisher.close(CONFIRM_S)


def retry_depth(settings: Settings) -> int:
    control = AmqpControl(settings)
    try:
        depth = control.inspect(CONFIRM_S)[settings.retry_queue]
    finally:
        control.close(CONFIRM_S)
    assert depth is not None
    return depth.ready


def test_a_worker_killed_in_the_middle_leaves_its_message_to_the_next(
    manager: ManagerProcess, tmp_path: Path
) -> None:
    message_id = replayed(manager, "killed")
    flag = tmp_path / "started"
    (tmp_path / "stuck.py").write_text(
        "import pathlib, time\n"
        "def handle(message):\n"
        f"    pathlib.Path({str(flag)!r}).touch()\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [Path(sys.executable).parent / "dlq", "worker", "stuck:handle"],
        cwd=tmp_path,
        env={**os.environ, **manager.environment},
        stderr=subprocess.DEVNULL,
    )
    try:
        until(flag.exists, 30, "the worker did not get the message")
    finally:
        process.kill()
        assert process.wait(10) == -signal.SIGKILL
    seen: list[str] = []
    worker = RetryWorker(default=lambda m: seen.append(m.message_id), settings=manager.settings)
    with worker:
        wait_for_state(manager, message_id, "resolved")
    assert seen == [message_id]


def test_a_connection_cut_while_the_handler_works_costs_no_second_run(
    manager: ManagerProcess, broker: BrokerNode, vhost: str, tmp_path: Path
) -> None:
    message_id = replayed(manager, "cut")
    with FaultProxy(broker.port) as proxy:
        settings = Settings(
            broker_url=broker.url(vhost, port=proxy.port),
            spool_dir=tmp_path / "spool",
            reconnect_max_s=0.5,
            confirm_timeout_s=2.0,
        )
        calls: list[str] = []

        def handle(message: DLQMessage) -> None:
            calls.append(message.message_id)
            assert proxy.cut() > 0

        with RetryWorker(default=handle, settings=settings):
            story = wait_for_state(manager, message_id, "resolved")
        assert proxy.connections_cut > 0
    assert calls == [message_id]
    assert [r["outcome"] for r in story["replays"]] == ["succeeded"]


def test_a_failure_without_a_broker_is_spooled_and_arrives_when_it_is_back(
    manager: ManagerProcess, broker: BrokerNode, vhost: str, tmp_path: Path
) -> None:
    message_id = replayed(manager, "spooled")
    with FaultProxy(broker.port) as proxy:
        settings = Settings(
            broker_url=broker.url(vhost, port=proxy.port),
            spool_dir=tmp_path / "spool",
            reconnect_max_s=0.5,
            confirm_timeout_s=1.0,
        )
        failed = threading.Event()

        def handle(_message: DLQMessage) -> None:
            proxy.refuse()
            failed.set()
            raise ValueError("still bad")

        worker = RetryWorker(default=handle, settings=settings)
        with worker:
            assert failed.wait(20)
            until(lambda: worker.tally.failed == 1, 20, lambda: str(worker.tally))
            assert state_of(manager, message_id) == "replaying"
            proxy.heal()
            story = wait_for_state(manager, message_id, "pending")
    assert story["error_message"] == "still bad"
    assert [r["outcome"] for r in story["replays"]] == ["failed"]


def test_a_message_put_there_by_hand_is_handled_and_nothing_is_reported(
    manager: ManagerProcess,
) -> None:
    wire = WireMessage(b'{"track": "Strobe"}', "byhand.enrichment.retry")
    put_on_retry_queue(manager.settings, wire)
    seen: list[DLQMessage] = []
    worker = RetryWorker({"byhand": seen.append}, settings=manager.settings)
    assert worker.run_until_idle(DRAIN_S, idle_s=IDLE_S) == Tally(succeeded=1)
    assert seen[0].payload == {"track": "Strobe"}
    assert retry_depth(manager.settings) == 0


def test_an_unreadable_message_comes_back_as_a_dead_letter_and_does_not_loop(
    manager: ManagerProcess,
) -> None:
    message_id = new_message_id()
    put_on_retry_queue(
        manager.settings,
        WireMessage(b"\xff\x00", "spotify.enrichment.retry", properties={"message_id": message_id}),
    )
    calls: list[DLQMessage] = []
    worker = RetryWorker(default=calls.append, settings=manager.settings)
    assert worker.run_until_idle(DRAIN_S, idle_s=IDLE_S) == Tally(failed=1)
    assert calls == []
    story = wait_for_state(manager, message_id, "pending")
    assert "no handler for 'malformed'" in story["error_message"]
    assert story["payload"] == {"base64": "/wA="}
    assert retry_depth(manager.settings) == 0


def test_a_redelivered_replay_is_not_handled_twice_by_one_worker(manager: ManagerProcess) -> None:
    """The broker delivers again what it never saw acked; here, the very same replay."""
    message = DLQMessage.model_validate(
        {
            "message_id": new_message_id(),
            "routing_key": "twice.enrichment.retry",
            "timestamp": "2025-10-10T12:30:45Z",
            "retry_count": 0,
            "error_type": "twice",
            "error_message": "x",
            "source_service": "test",
            "payload": {},
        }
    )
    wire = encode(message, replay_id="one-replay")
    calls: list[str] = []
    worker = RetryWorker({"twice": lambda m: calls.append(m.message_id)}, settings=manager.settings)
    with worker:
        put_on_retry_queue(manager.settings, wire)
        put_on_retry_queue(manager.settings, wire)
        until(lambda: worker.tally.succeeded == 2, 20, lambda: str(worker.tally))
    assert calls == [message.message_id]


def test_a_worker_with_a_wrong_token_stops_and_says_so(tmp_path: Path) -> None:
    create_token(tmp_path / "tokens.json", "somebody", Role.OPERATOR)
    manager = ManagerProcess(tmp_path).start()
    try:
        settings = manager.settings.model_copy(update={"token": None})
        worker = RetryWorker(default=lambda _: None, settings=settings)
        with pytest.raises(PublishRejected, match=r"dlq token create.*DLQ_TOKEN"):
            worker.run()
    finally:
        manager.stop()


def test_a_worker_over_http_of_a_manager_with_a_broker_is_told_where_replays_are(
    manager: ManagerProcess,
) -> None:
    settings = Settings(url=manager.url)
    worker = RetryWorker(default=lambda _: None, settings=settings)
    with pytest.raises(IllegalTransition, match="RABBITMQ_"):
        worker.run()
