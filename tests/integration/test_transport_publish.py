"""The publisher against a real broker: confirms, pipelining, and each way to be refused."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
import subprocess
import threading
import time
from concurrent.futures import Future, wait
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pika
import pytest

from dlq.errors import (
    BrokerUnavailable,
    PublishNacked,
    PublishRejected,
    PublishReturned,
)
from dlq.message import WireMessage, encode
from dlq.settings import Settings
from dlq.topology import topology_of
from dlq.transport.amqp import AmqpPublisher
from tests.integration.transport_tools import (
    collect,
    dead_letter,
    eventually,
    plain_channel,
    take_one,
    wire,
)
from tests.support.proxy import FaultProxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.rabbitmq import BrokerNode


@pytest.fixture
def publisher(broker_settings: Settings) -> Iterator[AmqpPublisher]:
    publisher = AmqpPublisher(broker_settings, name="test-publisher")
    yield publisher
    publisher.close(5)


def test_a_confirmed_message_is_in_the_queue_as_it_was_sent(
    publisher: AmqpPublisher, broker_settings: Settings
) -> None:
    sent = encode(dead_letter())
    assert publisher.publish(sent).result(10) is None
    got = take_one(broker_settings, broker_settings.main_queue)
    assert got.body == sent.body
    assert got.headers == sent.headers
    assert got.routing_key == sent.routing_key
    assert got.properties == sent.properties
    assert got.properties["delivery_mode"] == 2


def test_every_header_value_comes_back_as_it_went(
    publisher: AmqpPublisher, broker_settings: Settings
) -> None:
    headers: dict[str, Any] = {
        "text": "Sigur Rós",
        "int": 7,
        "large": 2**40,
        "negative": -3,
        "float": 0.5,
        "yes": True,
        "none": None,
        "bytes": b"\xff\x00",
        "instant": dt.datetime(2025, 10, 10, 12, 30, 45, tzinfo=dt.UTC),
        "decimal": Decimal("1.25"),
        "list": [1, "two", [3.5]],
        "table": {"a": {"b": None}},
    }
    publisher.publish(wire(headers=headers)).result(10)
    assert take_one(broker_settings, broker_settings.main_queue).headers == headers


def test_many_threads_share_one_window(publisher: AmqpPublisher, broker_settings: Settings) -> None:
    futures: list[Future[None]] = []

    def run(number: int) -> None:
        futures.extend(publisher.publish(wire(message_id=f"{number}-{n}")) for n in range(250))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    done, missing = wait(futures, timeout=30)
    assert len(done) == 2000
    assert not missing
    assert all(future.exception() is None for future in done)
    ids = [d.wire.properties["message_id"] for d in collect(broker_settings, 2000)]
    assert sorted(ids) == sorted(f"{t}-{n}" for t in range(8) for n in range(250))


def test_an_unroutable_message_fails_alone(
    publisher: AmqpPublisher, broker_settings: Settings
) -> None:
    futures = [
        publisher.publish(
            wire(routing_key="nobody.listens" if n % 3 == 0 else "a.enrichment.failed")
        )
        for n in range(30)
    ]
    for number, future in enumerate(futures):
        if number % 3 == 0:
            with pytest.raises(PublishReturned, match=r"nobody\.listens"):
                future.result(10)
        else:
            assert future.result(10) is None
    assert publisher.is_up


def test_a_full_retry_queue_nacks(broker: BrokerNode, broker_settings: Settings) -> None:
    settings = broker_settings.model_copy(update={"retry_max_length": 1})
    publisher = AmqpPublisher(settings, name="test-full")
    try:
        results = []
        for _ in range(8):  # quorum queues accept a few more than their bound
            future = publisher.publish(wire(routing_key="spotify.enrichment.retry"))
            results.append(future.exception(10))
        assert results[0] is None
        assert isinstance(results[-1], PublishNacked)
        assert "full" in str(results[-1])
        assert publisher.is_up
    finally:
        publisher.close(5)


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"headers": {"x-trace": "x" * 120_000}}, id="headers over a frame"),
        pytest.param({"headers": {"x-object": object()}}, id="not an AMQP value"),
        pytest.param({"headers": {"x-int": 2**70}}, id="over 64 bits"),
        pytest.param({"headers": {"x-text": "\ud800"}}, id="not Unicode"),
        pytest.param({"headers": {"x-float": float("nan")}}, id="not a number"),
        pytest.param({"headers": {"k" * 300: 1}}, id="long header name"),
        pytest.param({"headers": {"CC": "not-a-list"}}, id="CC is no list"),
        pytest.param({"message_id": "i" * 256}, id="long message_id"),
        pytest.param({"expiration": "soon"}, id="expiration is no number"),
        pytest.param({"no_such_property": 1}, id="unknown property"),
        pytest.param({"routing_key": "k" * 256}, id="long routing key"),
        pytest.param({"body": b"x" * (16 * 1024 * 1024)}, id="large body"),
    ],
)
def test_what_amqp_cannot_carry_is_refused_and_disturbs_nobody(
    publisher: AmqpPublisher, bad: dict[str, Any]
) -> None:
    publisher.publish(wire()).result(10)
    neighbours = [publisher.publish(wire())]
    refused = publisher.publish(wire(**bad))
    neighbours.append(publisher.publish(wire()))
    assert isinstance(refused.exception(10), PublishRejected)
    assert [future.result(10) for future in neighbours] == [None, None]
    assert publisher.is_up


def test_a_message_that_costs_the_channel_is_found_and_its_neighbours_arrive(
    broker: BrokerNode, broker_settings: Settings
) -> None:
    """The broker closes the channel for one message and does not say which it was."""
    broker.eval("application:set_env(rabbit, max_message_size, 100000).")
    publisher = AmqpPublisher(broker_settings, name="test-poison")
    try:
        publisher.publish(wire()).result(10)
        outcomes = resend_until_settled(
            publisher, {f"m{n}": wire(body=b"x" * (200_000 if n == 7 else 100)) for n in range(20)}
        )
        bad = outcomes.pop("m7")
        assert isinstance(bad, PublishRejected)
        assert "100000" in str(bad) or "message size" in str(bad)
        assert set(outcomes.values()) == {None}
    finally:
        broker.eval("application:set_env(rabbit, max_message_size, 134217728).")
        publisher.close(5)


def resend_until_settled(
    publisher: AmqpPublisher, messages: dict[str, WireMessage]
) -> dict[str, BaseException | None]:
    """Send again what failed for want of a connection, as a client would."""
    outcomes: dict[str, BaseException | None] = {}
    deadline = time.monotonic() + 30
    while len(outcomes) < len(messages) and time.monotonic() < deadline:
        eventually(lambda: publisher.is_up)
        sent = {
            name: publisher.publish(message)
            for name, message in messages.items()
            if name not in outcomes
        }
        for name, future in sent.items():
            error = future.exception(10)
            if not isinstance(error, BrokerUnavailable):
                outcomes[name] = error
    return outcomes


def test_wrong_credentials_are_told_without_the_password(
    broker: BrokerNode, broker_settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(broker_url=broker.url(password="secret-that-is-wrong"), reconnect_max_s=0.5)
    publisher = AmqpPublisher(settings, name="test-credentials")
    try:
        error = publisher.publish(wire()).exception(10)
        assert isinstance(error, BrokerUnavailable)
        assert "RABBITMQ_USER" in str(error)
        assert not publisher.is_up
        assert publisher.last_error == str(error)
        assert "RABBITMQ_USER" in caplog.text
        assert "secret-that-is-wrong" not in caplog.text + str(error)
        assert all(record.name.startswith("dlq") for record in caplog.records)
    finally:
        publisher.close(5)


def test_a_missing_virtual_host_is_named(broker: BrokerNode, broker_settings: Settings) -> None:
    publisher = AmqpPublisher(
        Settings(broker_url=broker.url("no-such-vhost"), reconnect_max_s=0.5), name="test-vhost"
    )
    try:
        error = publisher.publish(wire()).exception(10)
        assert isinstance(error, BrokerUnavailable)
        assert "virtual host" in str(error)
        assert "no-such-vhost" in str(error)
    finally:
        publisher.close(5)


def test_amqps_is_spoken_and_the_certificate_checked(
    broker: BrokerNode,
    broker_settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    certificate, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with FaultProxy(broker.port, tls=context) as proxy:
        vhost = (broker_settings.amqp_url or "").rpartition("/")[2]
        url = broker.url(vhost, port=proxy.port).replace("amqp:", "amqps:")
        stranger = AmqpPublisher(Settings(broker_url=url), name="test-untrusted")
        error = stranger.publish(wire()).exception(10)
        assert isinstance(error, BrokerUnavailable)
        assert "certificate" in str(error).lower()
        stranger.close(5)

        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        publisher = AmqpPublisher(Settings(broker_url=url), name="test-tls")
        large = wire(body=b"x" * 1_000_000)
        assert publisher.publish(large).result(10) is None
        publisher.close(5)
    assert take_one(broker_settings, broker_settings.main_queue).body == large.body


def self_signed(folder: Path) -> tuple[Path, Path]:
    """(certificate, key) for 127.0.0.1."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    subject = "-subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(
        [*command.split(), *subject.split(), "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    return certificate, key


def test_while_down_a_publish_fails_at_once() -> None:
    publisher = AmqpPublisher(
        Settings(broker_url="amqp://u:p@127.0.0.1:9/x", reconnect_max_s=5), name="test-down"
    )
    try:
        assert isinstance(publisher.publish(wire()).exception(10), BrokerUnavailable)
        started = time.monotonic()
        error = publisher.publish(wire()).exception(0.5)
        assert isinstance(error, BrokerUnavailable)
        assert "refused" in str(error)
        assert time.monotonic() - started < 0.2
    finally:
        publisher.close(5)


async def test_it_works_inside_a_running_loop(broker_settings: Settings) -> None:
    publisher = AmqpPublisher(broker_settings, name="test-asyncio")
    futures = [asyncio.wrap_future(publisher.publish(wire())) for _ in range(50)]
    assert await asyncio.wait_for(asyncio.gather(*futures), 10) == [None] * 50
    await asyncio.to_thread(publisher.close, 5)


def test_after_close_a_publish_fails_at_once(publisher: AmqpPublisher) -> None:
    publisher.publish(wire()).result(10)
    publisher.close(5)
    assert isinstance(publisher.publish(wire()).exception(1), BrokerUnavailable)
    assert not publisher.is_up


def test_a_user_without_configure_permission_publishes_to_what_exists(
    broker: BrokerNode, broker_settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    first = AmqpPublisher(broker_settings, name="test-admin")
    first.publish(wire()).result(10)
    first.close(5)
    vhost = pika.URLParameters(broker_settings.amqp_url).virtual_host
    broker.eval(
        'rabbit_auth_backend_internal:add_user(<<"limited">>, <<"pw">>, <<"t">>), '
        f'rabbit_auth_backend_internal:set_permissions(<<"limited">>, <<"{vhost}">>, '
        f'<<"^$">>, <<"^{broker_settings.exchange}$">>, <<"^$">>, <<"t">>).'
    )
    url = f"amqp://limited:pw@127.0.0.1:{broker.port}/{vhost}"
    publisher = AmqpPublisher(Settings(broker_url=url), name="test-limited")
    try:
        assert publisher.publish(wire()).result(10) is None
        complaints = [r for r in caplog.records if "topology" in r.getMessage()]
        assert len(complaints) == 1
        assert "configure permission" in complaints[0].getMessage()
    finally:
        publisher.close(5)


def test_topology_is_declared_as_specified(
    publisher: AmqpPublisher, broker_settings: Settings
) -> None:
    publisher.publish(wire()).result(10)
    with plain_channel(broker_settings) as channel:
        for queue in topology_of(broker_settings).queues:
            channel.queue_declare(queue.name, durable=True, arguments=queue.arguments)
