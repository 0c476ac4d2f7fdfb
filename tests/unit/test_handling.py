"""What fails inside a replay is the same dead letter failing again, not a new one."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator

import pytest

from dlq.client import DLQClient, Receipt
from dlq.client.build import dead_letter
from dlq.client.failure import Failure
from dlq.client.handling import handling
from dlq.decode import decode
from dlq.message import REPLAY_ID_HEADER, DLQMessage
from dlq.settings import Settings
from tests.support.publishers import MemoryPublisher


@pytest.fixture
def publisher() -> MemoryPublisher:
    return MemoryPublisher()


@pytest.fixture
def dlq(publisher: MemoryPublisher) -> Iterator[DLQClient]:
    with DLQClient(Settings(), open_publisher=publisher) as client:
        yield client


@pytest.fixture
def message() -> DLQMessage:
    failure = Failure({"a": 1}, "429", 3, correlation_id="c", message_id="the-id")
    return dead_letter(failure, source_service="pipeline", same_as=None)


def test_a_publish_inside_is_linked_to_the_replay(
    dlq: DLQClient, publisher: MemoryPublisher, message: DLQMessage
) -> None:
    with handling(message, "replay-1") as current:
        receipt = dlq.publish_to_dlq(item={"a": 1}, error="again", retry_count=1)
    assert current.reported == receipt
    assert receipt.message_id == "the-id"
    (wire,) = publisher.confirmed
    assert wire.headers[REPLAY_ID_HEADER] == "replay-1"
    assert decode(wire).message.correlation_id == "c"


def test_a_second_publish_inside_reports_under_the_same_id(
    dlq: DLQClient, publisher: MemoryPublisher, message: DLQMessage
) -> None:
    with handling(message, "replay-1"):
        dlq.publish_to_dlq(item={}, error="one")
        dlq.publish_to_dlq(item={}, error="two")
    assert publisher.confirmed_ids == ["the-id", "the-id"]
    assert {wire.headers[REPLAY_ID_HEADER] for wire in publisher.confirmed} == {"replay-1"}


def test_outside_and_in_other_threads_nothing_is_linked(
    dlq: DLQClient, publisher: MemoryPublisher, message: DLQMessage
) -> None:
    receipts: list[Receipt] = []
    with handling(message, "replay-1") as current:
        thread = threading.Thread(
            target=lambda: receipts.append(dlq.publish_to_dlq(item={}, error="elsewhere"))
        )
        # A thread gets no context of its starter's; some libraries copy it, ours must not need it.
        contextvars.Context().run(thread.start)
        thread.join()
    receipts.append(dlq.publish_to_dlq(item={}, error="after"))
    assert current.reported is None
    assert "the-id" not in {receipt.message_id for receipt in receipts}
    assert all(REPLAY_ID_HEADER not in wire.headers for wire in publisher.confirmed)


def test_an_explicit_other_message_id_is_another_dead_letter(
    dlq: DLQClient, publisher: MemoryPublisher, message: DLQMessage
) -> None:
    with handling(message, "replay-1") as current:
        dlq.publish_to_dlq(item={}, error="x", message_id="other")
    assert current.reported is None
    assert REPLAY_ID_HEADER not in publisher.confirmed[0].headers


def test_the_worker_reports_again_with_the_tries_added(
    dlq: DLQClient, publisher: MemoryPublisher, message: DLQMessage
) -> None:
    with handling(message, "replay-1") as current:
        pass
    receipt = dlq.report_again(current, ValueError("now this"), 2)
    assert receipt
    assert current.reported == receipt
    (wire,) = publisher.confirmed
    again = decode(wire).message
    assert (again.message_id, again.retry_count, again.payload) == ("the-id", 5, {"a": 1})
    assert (again.error_message, again.error_type) == ("now this", message.error_type)
    assert wire.headers[REPLAY_ID_HEADER] == "replay-1"


def test_a_report_that_is_not_safe_is_kept_as_a_false_receipt(
    publisher: MemoryPublisher, message: DLQMessage
) -> None:
    with DLQClient(Settings(max_body_bytes=1024), open_publisher=publisher) as dlq:
        with handling(message, "replay-1") as current:
            receipt = dlq.publish_to_dlq(item={"big": "x" * 5000}, error="x")
        assert not receipt
        assert current.reported == receipt  # the worker must not take it for a success


def test_a_failure_that_comes_after_the_replay_was_answered_is_a_dead_letter_of_its_own(
    publisher: MemoryPublisher, message: DLQMessage
) -> None:
    with DLQClient(open_publisher=publisher) as dlq:
        with handling(message, "replay-1"):
            left_running = contextvars.copy_context()
        receipt = left_running.run(dlq.publish_to_dlq, item={"late": 1}, error="late")
    assert receipt.message_id != message.message_id
