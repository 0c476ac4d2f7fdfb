"""A dead letter is built from whatever a pipeline hands over, bounded and redacted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

from dlq.client.build import dead_letter, failed_again, fitting_wire
from dlq.client.describe import CHAIN_LINKS, MESSAGE_CHARS, TRACE_CHARS, cut, message_of, trace_of
from dlq.client.failure import Failure
from dlq.decode import decode
from dlq.errors import InvalidInput
from dlq.message import DLQMessage, encode


def build(item: Any = None, error: Any = "it failed", **fields: Any) -> DLQMessage:
    return dead_letter(Failure(item, error, **fields), source_service="pipeline", same_as=None)


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_the_specified_call_gives_the_specified_message() -> None:
    message = build(
        {"artist": "Deadmau5"},
        raised(RuntimeError("Spotify: 429 Too Many Requests")),
        retry_count=3,
        source_service="api-enrichment-pipeline",
        metadata={"spider": "mixesdb"},
        correlation_id="req-1",
    )
    assert message.payload == {"artist": "Deadmau5"}
    assert message.metadata == {"spider": "mixesdb"}
    assert (message.retry_count, message.correlation_id) == (3, "req-1")
    assert message.source_service == "api-enrichment-pipeline"
    assert (message.error_type, message.category) == ("spotify", "rate_limit")
    assert message.routing_key == "spotify.enrichment.failed"
    assert message.error_message == "Spotify: 429 Too Many Requests"
    assert message.stack_trace is not None
    assert "Traceback (most recent call last):" in message.stack_trace
    assert message.timestamp.microsecond == 0
    assert message.failed_at is not None
    assert dt.datetime.now(dt.UTC) - message.failed_at < dt.timedelta(seconds=10)


def test_a_text_for_an_error_will_do() -> None:
    message = build({}, "Connection timeout")
    assert (message.error_message, message.stack_trace) == ("Connection timeout", None)
    assert message.category == "timeout"


def test_a_given_error_type_wins_and_becomes_one_word() -> None:
    message = build({}, "x", error_type="Apple.Music!")
    assert message.error_type == "apple_music"
    assert message.routing_key == "apple_music.enrichment.failed"


def test_secrets_do_not_leave_the_process() -> None:
    secret = "s3cr3t-Passw0rd"
    error = raised(RuntimeError(f"cannot reach postgresql://user:{secret}@db/name"))
    message = build({"password": secret, "title": "Strobe"}, error, metadata={"api_key": secret})
    assert message.payload["title"] == "Strobe"
    assert secret.encode() not in encode(message).body
    assert secret not in str(encode(message).headers)


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


class HostileItem:
    def __repr__(self) -> str:
        raise ValueError("no repr")

    def __iter__(self) -> Iterator[Any]:
        raise ValueError("no iteration")


class HostileMapping(dict[str, Any]):
    def items(self) -> Any:
        raise ValueError("no items")


@pytest.mark.parametrize(
    "item",
    [
        None,
        "text",
        b"\xff\xfe",
        HostileItem(),
        HostileMapping(a=1),
        {"nan": float("nan"), "when": dt.datetime.now(dt.UTC), b"k": {1, 2}},
        {"surrogate": "\ud800", "nul": "a\x00b"},
        {"item": HostileItem()},
    ],
)
def test_any_item_gives_a_message_that_travels(item: Any) -> None:
    wire = encode(build(item, raised(Unprintable())))
    decoded = decode(wire)
    assert decoded.problem is None
    assert decoded.message.error_class is not None
    assert "Unprintable" in decoded.message.error_class


def test_wrong_types_of_arguments_are_taken_as_far_as_they_go() -> None:
    message = build(
        {},
        object(),
        retry_count="many",
        metadata=["not", "a", "mapping"],
        correlation_id=17,
        source_service=3.5,
        message_id="m" * 400,
    )
    assert message.retry_count == 0
    assert message.metadata == {"value": ["not", "a", "mapping"]}
    assert (message.correlation_id, message.source_service) == ("17", "3.5")
    assert message.message_id == "m" * 255


def test_the_chain_of_causes_is_in_the_trace() -> None:
    try:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise RuntimeError("outer") from inner
    except RuntimeError as error:
        trace = trace_of(error)
    assert trace is not None
    assert "KeyError: 'inner'" in trace
    assert "direct cause" in trace


def test_a_recursion_leaves_a_bounded_trace_that_ends_where_it_was_raised() -> None:
    def ping(depth: int) -> None:
        pong(depth + 1)

    def pong(depth: int) -> None:
        ping(depth + 1)

    try:
        ping(0)
    except RecursionError as error:
        trace = trace_of(error)
    assert trace is not None
    assert trace.count("\n") < 500
    assert "RecursionError" in trace.splitlines()[-1]


def test_an_endless_chain_of_causes_is_cut() -> None:
    error: BaseException = ValueError("first")
    for number in range(CHAIN_LINKS + 10):
        following = ValueError(str(number))
        following.__cause__ = error
        error = following
    trace = trace_of(raised(error))
    assert trace is not None
    assert "left out" in trace
    assert len(trace) < 5000


def test_long_texts_are_cut_and_keep_both_ends() -> None:
    message = message_of("start" + "x" * (2 * MESSAGE_CHARS) + "end")
    assert len(message) <= MESSAGE_CHARS
    assert message.startswith("start")
    error = raised(ValueError("y" * (2 * TRACE_CHARS) + "THE END"))
    trace = trace_of(error)
    assert trace is not None
    assert len(trace) <= TRACE_CHARS
    assert trace.startswith("Traceback")
    assert trace.rstrip().endswith("THE END")


@pytest.mark.parametrize("limit", [0, 1, 10, 50, 100, 1000])
def test_cut_never_exceeds_its_limit(limit: int) -> None:
    assert len(cut("z" * 500, limit)) <= max(limit, 0)


def test_a_body_over_the_bound_loses_its_trace_and_text_first() -> None:
    message = build({"keep": "me"}, raised(ValueError("z" * 50_000)))
    wire = fitting_wire(message, 20_000)
    assert len(wire.body) <= 20_000
    assert decode(wire).message.payload == {"keep": "me"}


def test_a_payload_over_the_bound_is_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidInput, match="DLQ_MAX_BODY_BYTES"):
        fitting_wire(build({"big": "z" * 50_000}), 20_000)


def test_what_failed_again_keeps_its_story_and_adds_its_tries() -> None:
    first = build(
        {"a": 1}, "429", retry_count=3, error_type="spotify", correlation_id="c", message_id="id"
    )
    again = failed_again(first, raised(ValueError("now this")), 2)
    assert (again.message_id, again.correlation_id, again.payload) == ("id", "c", {"a": 1})
    assert (again.retry_count, again.error_message) == (5, "now this")
    assert again.error_type == "spotify"


def test_a_twisted_failure_is_taken_for_its_exception() -> None:
    failure = pytest.importorskip("twisted.python.failure")
    try:
        raise KeyError("in a deferred")
    except KeyError:
        wrapped = failure.Failure()
    message = build({}, wrapped)
    assert message.error_class == "KeyError"
    assert message.stack_trace is not None
