"""The client over HTTP: batches, refusals, tokens, and the way back from the spool."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from dlq.client import DLQClient, Failure, Spool
from dlq.client.handling import handling
from dlq.decode import decode
from dlq.errors import BrokerUnavailable, PublishRejected
from dlq.message import REPLAY_ID_HEADER, WireMessage
from dlq.settings import Settings
from dlq.transport.http import HttpPublisher
from tests.support.ports import free_port
from tests.support.publishers import Answer, Intake, accept


@pytest.fixture
def intake() -> Iterator[Intake]:
    with Intake(free_port()) as server:
        yield server


def settings_for(intake: Intake, **fields: Any) -> Settings:
    return Settings(**{"url": intake.url, "confirm_timeout_s": 3, "reconnect_max_s": 0.3, **fields})


@pytest.fixture
def publisher(intake: Intake) -> Iterator[HttpPublisher]:
    publisher = HttpPublisher(settings_for(intake), name="test")
    yield publisher
    publisher.close(2)


def wire(message_id: str, **headers: Any) -> WireMessage:
    body = f'{{"message_id": "{message_id}"}}'.encode()
    return WireMessage(body, "general.enrichment.failed", headers, {"message_id": message_id})


def test_the_manager_gets_the_dead_letter_as_it_is(intake: Intake) -> None:
    with DLQClient(settings_for(intake)) as dlq:
        receipt = dlq.publish_to_dlq(item={"a": 1}, error=ValueError("ü"), retry_count=3)
    assert receipt.state == "confirmed"
    ((document,),) = intake.posts
    assert document["message_id"] == receipt.message_id
    assert (document["payload"], document["retry_count"]) == ({"a": 1}, 3)


def test_a_replay_that_failed_again_carries_its_replay_id(intake: Intake) -> None:
    with DLQClient(settings_for(intake)) as dlq:
        dlq.publish_to_dlq(item={"a": 1}, error="x")
        document = intake.posts[0][0]
        message = decode(
            WireMessage(json.dumps(document).encode(), document["routing_key"])
        ).message
        with handling(message, "replay-9") as current:
            dlq.publish_to_dlq(item={"a": 1}, error="again")
    assert current.reported
    assert intake.posts[1][0]["replay_id"] == "replay-9"
    assert intake.ids == [message.message_id] * 2


def test_what_waits_together_travels_together(intake: Intake, publisher: HttpPublisher) -> None:
    gate = threading.Event()

    def slow(documents: list[dict[str, Any]]) -> Answer:
        assert gate.wait(10)
        return accept(documents)

    intake.answer = slow
    futures = [publisher.publish(wire(str(n))) for n in range(1500)]
    gate.set()
    for future in futures:
        future.result(10)
    assert intake.ids == [str(n) for n in range(1500)]
    assert len(intake.posts) <= 4
    assert max(len(post) for post in intake.posts) <= 1000


def test_one_bad_message_costs_only_itself(intake: Intake, publisher: HttpPublisher) -> None:
    def answer(documents: list[dict[str, Any]]) -> Answer:
        if any(d["message_id"] == "bad" for d in documents):
            return 422, {"detail": "item 3: error_type: missing", "code": "invalid_input"}
        return accept(documents)

    intake.answer = answer
    ids = ["a", "b", "c", "bad", "d", "e"]
    futures = {i: publisher.publish(wire(i)) for i in ids}
    with pytest.raises(PublishRejected, match="error_type: missing"):
        futures["bad"].result(10)
    for name in ("a", "b", "c", "d", "e"):
        futures[name].result(10)
    assert intake.ids == ["a", "b", "c", "d", "e"]
    assert publisher.is_up


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        (503, {"detail": "ledger locked", "code": "ledger_unavailable"}, "ledger locked"),
        (429, {"detail": "slow down"}, "slow down"),
        (401, {"detail": "no token"}, "DLQ_TOKEN"),
        (403, {"detail": "not allowed"}, "DLQ_TOKEN"),
        (404, "<html>a web server</html>", "DLQ_URL"),
        (200, "<html>log in to the wifi</html>", "DLQ_URL"),
        (201, {"accepted": 0}, "expected 1|Expected 201 and 1"),
        (201, "created, surely", "Expected 201"),
    ],
)
def test_anything_but_the_managers_own_confirmation_is_none(
    intake: Intake, publisher: HttpPublisher, status: int, content: Any, expected: str
) -> None:
    intake.answer = lambda _documents: (status, content)
    with pytest.raises(BrokerUnavailable, match=expected):
        publisher.publish(wire("a")).result(10)
    assert not publisher.is_up
    intake.answer = accept
    publisher.publish(wire("a")).result(10)
    assert publisher.is_up


def test_the_token_is_shown_to_the_manager_and_to_nobody_else(
    intake: Intake, caplog: pytest.LogCaptureFixture
) -> None:
    intake.answer = lambda _documents: (401, {"detail": "unknown token"})
    settings = settings_for(intake, token="hidden-token")
    with caplog.at_level(logging.DEBUG), DLQClient(settings) as dlq:
        assert dlq.publish_to_dlq(item={}, error="x").state == "spooled"
    assert "Bearer hidden-token" in intake.tokens
    assert "DLQ_TOKEN" in caplog.text
    assert "hidden-token" not in caplog.text
    assert Spool(settings).entries()[0].rejected is False  # a mended token cures it


def test_a_proxy_of_the_environment_is_not_used_for_loopback(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{free_port()}")
    with DLQClient(settings_for(intake)) as dlq:
        assert dlq.publish_to_dlq(item={}, error="x").state == "confirmed"


def test_requests_do_not_fill_the_pipelines_log(
    intake: Intake, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), DLQClient(settings_for(intake)) as dlq:
        assert dlq.publish_to_dlq(item={}, error="x")
    assert "HTTP Request" not in caplog.text


def test_with_the_manager_down_failures_wait_and_arrive_later() -> None:
    port = free_port()
    settings = Settings(url=f"http://127.0.0.1:{port}", confirm_timeout_s=2, reconnect_max_s=0.3)
    with DLQClient(settings) as dlq:
        started = time.monotonic()
        receipts = [dlq.publish_to_dlq(item={"n": n}, error="x") for n in range(20)]
        assert time.monotonic() - started < 2
        assert {receipt.state for receipt in receipts} == {"spooled"}
        with Intake(port) as intake:
            assert dlq.flush(15)
            assert intake.ids == [receipt.message_id for receipt in receipts]
            assert dlq.publish_to_dlq(item={}, error="x").state == "confirmed"


def test_a_closed_publisher_fails_what_it_has_and_takes_no_more(intake: Intake) -> None:
    gate = threading.Event()

    def stuck(documents: list[dict[str, Any]]) -> Answer:
        gate.wait(10)
        return accept(documents)

    intake.answer = stuck
    publisher = HttpPublisher(settings_for(intake), name="test")
    first, second = publisher.publish(wire("a")), publisher.publish(wire("b"))
    publisher.close(0.2)
    for future in (first, second, publisher.publish(wire("c"))):
        with pytest.raises(BrokerUnavailable):
            future.result(5)
    gate.set()


def test_a_body_that_is_no_json_is_rejected_not_raised(publisher: HttpPublisher) -> None:
    bad = WireMessage(b"\xff", "k", {REPLAY_ID_HEADER: "r"}, {"message_id": "a"})
    with pytest.raises(PublishRejected, match="JSON"):
        publisher.publish(bad).result(5)


def test_many_threads_share_round_trips(intake: Intake) -> None:
    with DLQClient(settings_for(intake)) as dlq:
        threads = [
            threading.Thread(target=dlq.publish_batch, args=([Failure({"n": n}, "x")],))
            for n in range(50)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(intake.ids) == 50
    assert len(intake.posts) < 50
