"""A lost ledger, refilled from the analysis queue of a real RabbitMQ."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from dlq.errors import BrokerUnavailable, TopologyError
from dlq.ledger import open_ledger
from dlq.ledger.base import Ledger
from dlq.manager import rebuild as rebuilding
from dlq.manager.arrivals import arrival_of
from dlq.manager.ingest import Ingest
from dlq.manager.rebuild import Choice, Rebuilt, rebuild, waiting_in
from dlq.message import WireMessage, encode
from dlq.query import where
from dlq.settings import Settings
from dlq.transport.amqp import AmqpControl, AmqpPublisher
from tests.integration.transport_tools import consuming, eventually, plain_channel
from tests.support.hearing import hearing
from tests.support.ledger import a_message, now
from tests.support.manager import ManagerProcess
from tests.support.proxy import FaultProxy
from tests.support.rabbitmq import BrokerNode

DLQ = str(Path(sys.executable).parent / "dlq")
ALL = where()


def without_id(number: int) -> WireMessage:
    message = encode(a_message("gone", payload={"number": number}))
    document = json.loads(message.body)
    del document["message_id"]
    properties = {n: v for n, v in message.properties.items() if n != "message_id"}
    return WireMessage(
        json.dumps(document).encode(), message.routing_key, message.headers, properties
    )


@pytest.fixture
def settings(broker_settings: Settings) -> Settings:
    """Of an empty topology."""
    control = AmqpControl(broker_settings)
    control.ensure_topology(20)
    control.close(5)
    return broker_settings


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    yield opened
    opened.close()


def publish(settings: Settings, wires: list[WireMessage]) -> None:
    """To all queues that take failures, and no further: nobody consumes."""
    publisher = AmqpPublisher(settings, name="test")
    try:
        for future in [publisher.publish(wire) for wire in wires]:
            future.result(30)
    finally:
        publisher.close(5)
    eventually(lambda: waiting_in(settings).ready >= len(wires))


def refill(
    settings: Settings, ledger: Ledger, choice: Choice | None = None, ready: int | None = None
) -> Rebuilt:
    seen = waiting_in(settings).ready if ready is None else ready
    return rebuild(
        settings, ledger, choice or Choice(50_000), ready=seen, on_progress=lambda _count: None
    )


def ids_left(settings: Settings, count: int) -> list[str]:
    """In the analysis queue, from its head."""
    with consuming(settings, settings.analysis_queue, prefetch=count) as (_, inbox):
        return [delivery.wire.properties["message_id"] for delivery in inbox.take(count)]


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DLQ, "rebuild", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_lost_ledger_is_refilled_and_the_queue_is_as_it_was(
    broker: BrokerNode, tmp_path: Path
) -> None:
    """5,000 failures, ingested; then the ledger's file is lost, and a manager with a new one
    ingests on while it is refilled."""
    broker.start()
    environment = {"DLQ_BROKER_URL": broker.url(broker.fresh_vhost())}
    manager = ManagerProcess(tmp_path, **environment).start()
    try:
        manager.wait_connected()
        settings = manager.settings
        ids = [f"id-{number:05}" for number in range(5000)]
        publish(settings, [encode(a_message(message_id)) for message_id in ids])
        manager.wait_in_dlq(5000, 60)
        manager.kill()
        for file in tmp_path.glob("ledger.sqlite*"):
            file.unlink()

        manager.start().wait_connected()
        before = waiting_in(settings).ready
        assert before == 5000
        meanwhile = [f"new-{number}" for number in range(300)]
        command = subprocess.Popen(
            [DLQ, "rebuild", "--from-analysis", "--yes", "--json"],
            env={**os.environ, **manager.environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        publish_quietly(settings, [encode(a_message(message_id)) for message_id in meanwhile])
        out, _ = command.communicate(timeout=120)
        assert command.returncode == 0
        rebuilt = json.loads(out)
        assert rebuilt["read"] == rebuilt["expected"] == rebuilt["ready"] >= 5000
        assert rebuilt["stored"] + rebuilt["known"] == rebuilt["read"]
        assert rebuilt["stored"] >= 5000

        manager.wait_in_dlq(5300)
        listed = exported(manager)
        assert sorted(listed) == sorted(ids + meanwhile)
        assert [i for i in listed if i.startswith("id-")] == ids
        eventually(lambda: waiting_in(settings).ready == 5300)
        left = ids_left(settings, 5300)
        assert [i for i in left if i.startswith("id-")] == ids
        assert sorted(left) == sorted(ids + meanwhile)
        manager.stop()
    finally:
        manager.kill()


def publish_quietly(settings: Settings, wires: list[WireMessage]) -> None:
    publisher = AmqpPublisher(settings, name="test")
    try:
        for future in [publisher.publish(wire) for wire in wires]:
            future.result(30)
    finally:
        publisher.close(5)


def exported(manager: ManagerProcess) -> list[str]:
    found = []
    for offset in range(0, 6000, 1000):
        page: list[dict[str, Any]] = manager.get("/dlq/messages", limit=1000, offset=offset)
        found += [letter["message_id"] for letter in page]
    return found


def test_what_comes_back_is_the_message_to_the_byte(settings: Settings, ledger: Ledger) -> None:
    wire = encode(a_message("one", payload={"artist": "Ünï"}, error_message="boom " * 300))
    publish(settings, [wire])
    assert refill(settings, ledger).stored == 1
    letter = ledger.get("one")
    stored = letter.wire
    assert (stored.body, stored.routing_key) == (wire.body, wire.routing_key)
    assert stored.headers == wire.headers
    assert letter.category == arrival_of(wire).category


def test_again_it_changes_nothing_also_of_messages_without_id(
    settings: Settings, ledger: Ledger
) -> None:
    """Each run sees the first run's returns on them, which are no part of the message."""
    publish(settings, [without_id(1), without_id(1), without_id(2), encode(a_message("one"))])
    first = refill(settings, ledger)
    assert (first.stored, first.made_up_ids) == (4, 3)
    eventually(lambda: waiting_in(settings).ready == 4)
    again = refill(settings, ledger)
    assert (again.stored, again.known) == (0, 4)
    assert ledger.count(ALL) == 4
    eventually(lambda: waiting_in(settings).ready == 4)
    only = refill(settings, ledger, Choice(50_000, with_id_only=True))
    assert (only.known, only.left_out, only.made_up_ids) == (1, 3, 0)


def test_a_limit_and_an_instant_choose_what_is_read(settings: Settings, ledger: Ledger) -> None:
    import datetime as dt

    old = now() - dt.timedelta(days=3)
    publish(
        settings,
        [encode(a_message("old", failed_at=old)), encode(a_message("b")), encode(a_message("c"))],
    )
    rebuilt = refill(settings, ledger, Choice(2, since=now() - dt.timedelta(days=1)))
    assert (rebuilt.expected, rebuilt.read, rebuilt.stored, rebuilt.left_out) == (2, 2, 1, 1)
    assert [letter.message.message_id for letter in ledger.iterate(ALL)] == ["b"]
    eventually(lambda: waiting_in(settings).ready == 3)


def test_it_stops_at_messages_that_were_returned_often(settings: Settings, ledger: Ledger) -> None:
    publish(settings, [encode(a_message("one"))])
    for _ in range(2):
        refill(settings, ledger)
        eventually(lambda: waiting_in(settings).ready == 1)
    with pytest.raises(TopologyError, match="was returned 2 times already"):
        refill(settings, ledger, Choice(50_000, max_returns=2))
    eventually(lambda: waiting_in(settings).ready == 1)


def test_fewer_than_expected_are_told_as_such(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "IDLE_S", 0.2)
    publish(settings, [encode(a_message("one"))])
    rebuilt = refill(settings, ledger, ready=3)
    assert (rebuilt.expected, rebuilt.read, rebuilt.stored) == (3, 1, 1)


def test_a_lost_connection_ends_it_and_everything_is_back(
    settings: Settings, ledger: Ledger, broker: BrokerNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    # More than what sockets hold, or all would have been read before the connection is lost.
    payload = {"text": "x" * 30_000}
    many = [encode(a_message(f"id-{number:04}", payload=payload)) for number in range(1000)]
    publish(settings, many)
    assert settings.amqp_url is not None
    store = Ingest.store
    with FaultProxy(broker.port) as proxy:
        cut: list[int] = []

        def store_and_cut(self: Ingest, arrivals: Any) -> Any:
            cut.append(proxy.cut())
            return store(self, arrivals)

        monkeypatch.setattr(Ingest, "store", store_and_cut)
        through_proxy = settings.model_copy(
            update={
                "broker_url": SecretStr(
                    settings.amqp_url.replace(f":{broker.port}/", f":{proxy.port}/")
                )
            }
        )
        with pytest.raises(BrokerUnavailable, match="everything is back in the queue"):
            refill(through_proxy, ledger, ready=1000)
    assert cut[0] > 0
    monkeypatch.undo()
    assert ledger.count(ALL) > 0
    eventually(lambda: waiting_in(settings).ready == 1000)
    assert refill(settings, ledger).read == 1000
    assert ledger.count(ALL) == 1000


def test_ctrl_c_leaves_everything_in_the_queue(settings: Settings, tmp_path: Path) -> None:
    publish(settings, [encode(a_message(f"id-{number:05}")) for number in range(4000)])
    url = f"sqlite:///{tmp_path / 'other.sqlite'}"
    ledger = open_ledger(url)
    assert settings.amqp_url is not None
    environment = {"DLQ_BROKER_URL": settings.amqp_url, "DLQ_LEDGER_URL": url}
    command = subprocess.Popen(
        hearing(DLQ, "rebuild", "--from-analysis", "--yes"),
        env={**os.environ, **environment, "DLQ_INGEST_BATCH": "20"},
        stderr=subprocess.PIPE,
        text=True,
    )
    eventually(lambda: ledger.count(ALL) > 0)
    command.send_signal(signal.SIGINT)
    _, said = command.communicate(timeout=30)
    assert command.returncode == 130
    assert "Traceback" not in said
    assert 0 < ledger.count(ALL) < 4000
    ledger.close()
    eventually(lambda: waiting_in(settings).ready == 4000)
    left = ids_left(settings, 4000)
    assert left == [f"id-{number:05}" for number in range(4000)]


def test_another_consumer_is_told_of(settings: Settings, tmp_path: Path) -> None:
    assert settings.amqp_url is not None
    environment = {
        "DLQ_BROKER_URL": settings.amqp_url,
        "DLQ_LEDGER_URL": f"sqlite:///{tmp_path / 'ledger.sqlite'}",
    }
    with plain_channel(settings) as channel:
        channel.basic_consume(settings.analysis_queue, lambda *_: None)
        eventually(lambda: waiting_in(settings).consumers == 1)
        done = run(environment, "--from-analysis", "--yes")
    assert done.returncode == 0
    assert "Others consume the analysis queue (1)" in done.stderr
    assert "Nothing is ready" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "Say out of what"),
        (("--from-analysis", "--since", "yesterday"), "expected an age as 7d"),
        (("--from-analysis",), "No broker is configured"),
    ],
)
def test_what_cannot_be_done_is_refused(arguments: tuple[str, ...], problem: str) -> None:
    done = run({}, *arguments)
    assert done.returncode == 2
    assert problem in done.stderr
