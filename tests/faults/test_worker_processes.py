"""Worker processes that are killed between the confirmed outcome and the ack, on RabbitMQ."""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dlq.message import DLQMessage, WireMessage, encode, replay_of
from dlq.settings import Settings
from dlq.topology import retry_routing_key
from dlq.transport.amqp import AmqpControl, AmqpPublisher
from tests.support.ledger import a_message, now
from tests.support.rabbitmq import BrokerNode
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
WAIT_S = 10.0

WORKER = """
import os, signal, sys
from dlq import RetryWorker
from dlq.transport.amqp import AmqpConsumer

effects, acks_to_live = sys.argv[1], int(sys.argv[2])
ack = AmqpConsumer.ack

def mortal_ack(consumer, deliveries):
    global acks_to_live
    acks_to_live -= 1
    if acks_to_live < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    ack(consumer, deliveries)

def handle(message):
    descriptor = os.open(effects, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, (message.message_id + "\\n").encode())
    os.close(descriptor)
    if message.payload.get("fails"):
        raise KeyError("album")

AmqpConsumer.ack = mortal_ack
RetryWorker(default=handle).run()
"""


@pytest.fixture
def settings(broker: BrokerNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A broker with the queues, and no manager: what workers say stays to be counted."""
    broker.start()
    monkeypatch.setenv("DLQ_BROKER_URL", broker.url(broker.fresh_vhost()))
    loaded = Settings.load(spool_dir=tmp_path / "spool")
    with controlled(loaded) as control:
        control.ensure_topology(WAIT_S)
    return loaded


@contextmanager
def controlled(settings: Settings) -> Iterator[AmqpControl]:
    control = AmqpControl(settings)
    try:
        yield control
    finally:
        control.close(WAIT_S)


@contextmanager
def a_worker(effects: Path, *, acks_to_live: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(effects), str(acks_to_live)], cwd=ROOT
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(WAIT_S)


def send_replays(settings: Settings, messages: list[DLQMessage]) -> None:
    publisher = AmqpPublisher(settings, name="test")
    try:
        sent = [publisher.publish(replay) for replay in map(replay_wire, messages)]
        for confirmed in sent:
            confirmed.result(WAIT_S)
    finally:
        publisher.close(WAIT_S)


def replay_wire(message: DLQMessage) -> WireMessage:
    return replay_of(
        encode(message),
        routing_key=retry_routing_key(message.error_type),
        message_id=message.message_id,
        replay_id=str(uuid.uuid4()),
        number=1,
        max_retries=1,
        replayed_at=now(),
    )


def depths(settings: Settings) -> Callable[[], dict[str, int]]:
    def ask() -> dict[str, int]:
        with controlled(settings) as control:
            found = control.inspect(WAIT_S)
        return {name: depth.ready for name, depth in found.items() if depth is not None}

    return ask


def effects_in(file: Path) -> Counter[str]:
    return Counter(file.read_text().split()) if file.exists() else Counter()


@pytest.mark.parametrize("fails", [False, True])
def test_killed_after_the_report_and_before_the_ack_the_next_worker_does_not_work_again(
    settings: Settings, tmp_path: Path, fails: bool
) -> None:
    message = a_message(payload={"fails": fails})
    send_replays(settings, [message])
    effects, ask = tmp_path / "effects", depths(settings)
    with a_worker(effects, acks_to_live=0) as process:
        assert process.wait(30) == -signal.SIGKILL
    until(lambda: ask()[settings.retry_queue] == 1, WAIT_S, "the replay did not come back")
    said = settings.main_queue if fails else settings.outcomes_queue
    assert ask()[said] == 1
    with a_worker(effects, acks_to_live=99) as process:
        until(lambda: ask()[settings.retry_queue] == 0, 30, "nobody took the replay")
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0
    assert ask()[settings.retry_queue] == 0  # acked, not given back
    assert effects_in(effects) == {message.message_id: 1}
    assert ask()[said] == (1 if fails else 2)  # a success is said again, a failure is there


def test_two_worker_processes_that_keep_being_killed_work_on_each_replay_once(
    settings: Settings, tmp_path: Path
) -> None:
    messages = [a_message() for _ in range(40)]
    send_replays(settings, messages)
    effects, ask = tmp_path / "effects", depths(settings)
    deaths = 0
    for _ in range(30):
        if ask()[settings.retry_queue] == 0 and len(effects_in(effects)) == len(messages):
            break
        with (
            a_worker(effects, acks_to_live=4) as one,
            a_worker(effects, acks_to_live=5) as other,
        ):
            until(
                lambda: None not in (one.poll(), other.poll()) or ask()[settings.retry_queue] == 0,
                30,
                "the workers do not work",
            )
            deaths += [one.poll(), other.poll()].count(-signal.SIGKILL)
    assert deaths >= 4
    assert effects_in(effects) == {message.message_id: 1 for message in messages}
    assert ask()[settings.outcomes_queue] >= len(messages)
