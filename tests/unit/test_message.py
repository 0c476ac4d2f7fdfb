"""The dead letter and its forms on the wire."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import uuid
from typing import Any
from unittest import mock

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlq.decode import decode
from dlq.message import (
    DLQMessage,
    Form,
    WireMessage,
    encode,
    error_type_word,
    new_message_id,
    replay_of,
    routing_key_for,
    shorten_utf8,
)

NOW = dt.datetime(2025, 10, 10, 13, tzinfo=dt.UTC)
MESSAGE = DLQMessage(
    message_id="550e8400-e29b-41d4-a716-446655440000",
    correlation_id="req-123456",
    routing_key="spotify.enrichment.failed",
    timestamp=dt.datetime(2025, 10, 10, 12, 30, 45, tzinfo=dt.UTC),
    failed_at=dt.datetime(2025, 10, 10, 12, 30, 45, 678901, tzinfo=dt.UTC),
    retry_count=3,
    error_type="spotify",
    error_message="Rate limit exceeded: 429 Too Many Requests",
    stack_trace="Traceback (most recent call last):\n  ...",
    source_service="api-enrichment-pipeline",
    payload={"track_id": "abc123", "artist_name": "Beyoncé"},
    metadata={"spider": "mixesdb", "failed_services": ["spotify"]},
    error_class="spotipy.exceptions.SpotifyException",
    category="rate_limit",
    http_status=429,
    retry_after_s=30.0,
)


def changed(**values: Any) -> DLQMessage:
    return MESSAGE.model_copy(update=values)


# --- encode ------------------------------------------------------------------------------


def test_a_message_survives_the_wire() -> None:
    decoded = decode(encode(MESSAGE))
    assert decoded.message == MESSAGE
    assert (decoded.form, decoded.had_id, decoded.problem) == (Form.CURRENT, True, None)


def test_headers_are_those_of_the_contract() -> None:
    assert encode(MESSAGE).headers == {
        "x-retry-count": 3,
        "x-error-type": "spotify",
        "x-error-message": "Rate limit exceeded: 429 Too Many Requests",
        "x-stack-trace": "Traceback (most recent call last):\n  ...",
        "x-source-service": "api-enrichment-pipeline",
        "x-metadata": '{"spider": "mixesdb", "failed_services": ["spotify"]}',
        "x-failed-at": "2025-10-10T12:30:45.678901Z",
    }


def test_properties_are_persistent_and_carry_the_ids() -> None:
    assert encode(MESSAGE).properties == {
        "message_id": MESSAGE.message_id,
        "correlation_id": "req-123456",
        "timestamp": 1760099445,
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "delivery_mode": 2,
    }


def test_the_body_has_the_fields_of_the_contract() -> None:
    body = json.loads(encode(MESSAGE).body)
    assert body["timestamp"] == "2025-10-10T12:30:45Z"
    assert body["payload"] == MESSAGE.payload
    assert body["schema_version"] == 1


def test_headers_stay_small_and_the_body_holds_everything() -> None:
    huge = changed(
        error_message="ß" * 100_000,
        stack_trace="💥" * 100_000,
        source_service="s" * 1000,
        metadata={f"key-{n}": "x" * 1000 for n in range(1000)},
    )
    wire = encode(huge)
    assert len(wire.headers["x-error-message"]) == 500
    assert len(wire.headers["x-stack-trace"]) == 2000
    assert json.loads(wire.headers["x-metadata"])["truncated"] is True
    assert sum(len(str(value).encode()) for value in wire.headers.values()) < 32_768
    assert decode(wire).message == huge


def test_a_failed_replay_is_sent_under_its_replay_id() -> None:
    assert encode(MESSAGE, replay_id="r-1").headers["x-replay-id"] == "r-1"
    assert "x-replay-id" not in encode(MESSAGE).headers


def test_a_message_without_trace_and_correlation_has_neither() -> None:
    wire = encode(changed(stack_trace=None, correlation_id=None))
    assert wire.headers["x-stack-trace"] == ""
    assert "correlation_id" not in wire.properties
    assert decode(wire).message.stack_trace is None


# --- replay ------------------------------------------------------------------------------


def test_a_replay_is_the_original_with_its_own_headers() -> None:
    original = WireMessage(
        body=b"\xff any bytes",
        routing_key="spotify.enrichment.failed",
        headers={"x-retry-count": 3, "x-death": [{}], "CC": ["a"], "mine": 1},
        properties={"expiration": "1000", "content_type": "x/y", "delivery_mode": 1},
    )
    replay = replay_of(
        original,
        routing_key="spotify.enrichment.retry",
        message_id="m-1",
        replay_id="r-1",
        number=2,
        max_retries=3,
        replayed_at=NOW,
    )
    assert replay.body == original.body
    assert replay.routing_key == "spotify.enrichment.retry"
    assert replay.headers == {
        "x-retry-count": 3,
        "mine": 1,
        "x-replayed-at": "2025-10-10T13:00:00Z",
        "x-replay-id": "r-1",
        "x-replay-count": 2,
        "x-max-retries": 3,
        "x-original-routing-key": "spotify.enrichment.failed",
    }
    assert replay.properties == {"content_type": "x/y", "message_id": "m-1", "delivery_mode": 2}


def test_without_a_limit_a_replay_names_none() -> None:
    replay = replay_of(
        encode(MESSAGE),
        routing_key="k",
        message_id="m",
        replay_id="r",
        number=1,
        max_retries=None,
        replayed_at=NOW,
    )
    assert "x-max-retries" not in replay.headers


# --- decode ------------------------------------------------------------------------------


def wire_of(document: Any, **more: Any) -> WireMessage:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return WireMessage(body=body, routing_key="spotify.enrichment.failed", **more)


def test_fields_that_lack_are_filled_from_headers_and_properties() -> None:
    decoded = decode(
        wire_of(
            {"error_type": None, "payload": {"a": 1}},
            headers={
                "x-retry-count": "4",
                "x-error-type": "LastFM",
                "x-error-message": b"no",
                "x-stack-trace": "trace",
                "x-source-service": "svc",
                "x-metadata": '{"spider": "x"}',
                "x-failed-at": "2025-10-10T12:00:00.5Z",
            },
            properties={"message_id": "m-1", "correlation_id": "c-1"},
        )
    )
    message = decoded.message
    assert decoded.form is Form.CURRENT
    assert (message.message_id, message.correlation_id) == ("m-1", "c-1")
    assert (message.retry_count, message.error_type, message.error_message) == (4, "lastfm", "no")
    assert (message.stack_trace, message.source_service) == ("trace", "svc")
    assert message.metadata == {"spider": "x"}
    assert message.failed_at == dt.datetime(2025, 10, 10, 12, 0, 0, 500000, tzinfo=dt.UTC)
    assert message.timestamp == dt.datetime(2025, 10, 10, 12, tzinfo=dt.UTC)


def test_a_message_without_id_and_time_gets_both() -> None:
    decoded = decode(wire_of({"error_type": "x", "payload": 1}), received_at=NOW)
    assert not decoded.had_id
    assert uuid.UUID(decoded.message.message_id).version == 7
    assert decoded.message.failed_at == NOW
    assert decoded.message.payload == {"value": 1}


def test_the_older_form_is_read() -> None:
    decoded = decode(
        wire_of(
            {
                "item": {"artist": "Deadmau5"},
                "error_context": {
                    "error_message": "no",
                    "stack_trace": "trace",
                    "timestamp": "2025-10-10T12:00:00",
                },
                "metadata": {"spider": "x"},
            },
            headers={"x-retry-count": 3, "x-error-type": "spotify", "x-metadata": {"a": b"b"}},
            properties={"message_id": "m-1"},
        )
    )
    assert (decoded.form, decoded.had_id) == (Form.LEGACY, True)
    assert decoded.message.payload == {"artist": "Deadmau5"}
    assert decoded.message.metadata == {"spider": "x"}
    assert decoded.message.error_message == "no"
    assert decoded.message.retry_count == 3
    assert decoded.message.timestamp == dt.datetime(2025, 10, 10, 12, tzinfo=dt.UTC)


def test_what_rabbitmq_dead_lettered_is_kept_with_its_account() -> None:
    death = {"reason": "rejected", "queue": "work", "count": 2, "exchange": "e"}
    decoded = decode(wire_of({"any": "thing"}, headers={"x-death": [death]}), received_at=NOW)
    message = decoded.message
    assert decoded.form is Form.DEAD_LETTERED
    assert message.payload == {"any": "thing"}
    assert message.error_message == (
        "RabbitMQ dead-lettered it from queue 'work': rejected (2 times)"
    )
    assert (message.error_type, message.source_service) == ("spotify", "work")
    assert message.retry_count == 2
    assert message.metadata["deaths"][0]["queue"] == "work"


TOO_LONG_KEY = b'{"error_type": "x", "payload": {}, "routing_key": "%s"}' % (b"k" * 256)


@pytest.mark.parametrize(
    ("body", "payload", "problem"),
    [
        (b"\xff\xfe", {"base64": "//4="}, "the body is not UTF-8 (byte 0)"),
        (b"", {"text": ""}, "the body is not JSON (Expecting value at character 0)"),
        (b"{oops", {"text": "{oops"}, "the body is not JSON"),
        (b"[1, 2]", {"value": [1, 2]}, "JSON but not a dead letter in any known form"),
        (b"[" * 100_000, {"text": "[" * 100_000}, "cannot be read as JSON (RecursionError)"),
        (TOO_LONG_KEY, json.loads(TOO_LONG_KEY), "not as specified (routing_key: "),
    ],
)
def test_anything_else_is_malformed_and_its_bytes_are_kept(
    body: bytes, payload: dict[str, Any], problem: str
) -> None:
    decoded = decode(wire_of(body), received_at=NOW)
    assert decoded.form is Form.MALFORMED
    assert decoded.message.category == "malformed"
    assert problem in (decoded.problem or "")
    assert problem in decoded.message.error_message
    assert decoded.message.payload == payload


def test_the_property_wins_over_the_id_in_the_body() -> None:
    body = {**json.loads(encode(MESSAGE).body), "message_id": "in-body"}
    assert decode(wire_of(body, properties={"message_id": "p"})).message.message_id == "p"
    assert decode(wire_of(body)).message.message_id == "in-body"


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("retry_count", -1, 0),
        ("retry_count", 2**40, 0),
        ("retry_count", "7", 7),
        ("retry_count", True, 0),
        ("http_status", 99, None),
        ("http_status", "429", None),
        ("retry_after_s", -1, None),
        ("retry_after_s", "600", 600.0),
        ("retry_after_s", "soon", None),
        ("retry_after_s", float("nan"), None),
        ("retry_after_s", 1e300, 2.0**31),
        ("retry_after_s", 10**400, 2.0**31),
        ("retry_after_s", True, None),
        ("stack_trace", 5, None),
        ("metadata", [1], {"value": [1]}),
        ("error_message", "a\x00b", "a\ufffdb"),
        ("error_type", "Audio Analysis!", "audio_analysis"),
    ],
)
def test_a_field_that_is_odd_is_mended(field: str, value: Any, expected: Any) -> None:
    document = {**json.loads(encode(MESSAGE).body), field: value}
    decoded = decode(wire_of(document))
    assert decoded.form is Form.CURRENT
    assert getattr(decoded.message, field) == expected


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from([*DLQMessage.model_fields, "item", "error_context", "message", "x"])
HEADER_NAMES = st.sampled_from([*encode(MESSAGE).headers, "x-death", "x-first-death-queue", "x"])
BODIES = st.binary(max_size=60) | st.dictionaries(NAMES, ANYTHING, max_size=8).map(
    lambda document: json.dumps(document, default=repr).encode()
)


@given(
    BODIES,
    st.text(max_size=300),
    st.dictionaries(HEADER_NAMES, ANYTHING, max_size=6),
    st.dictionaries(st.sampled_from(["message_id", "correlation_id", "timestamp"]), ANYTHING),
)
def test_decoding_never_raises_and_what_it_gives_can_be_sent(
    body: bytes, routing_key: str, headers: dict[str, Any], properties: dict[str, Any]
) -> None:
    wire = WireMessage(body=body, routing_key=routing_key, headers=headers, properties=properties)
    message = decode(wire, received_at=NOW).message
    again = decode(encode(message))
    assert again.form is Form.CURRENT
    assert again.message.message_id == message.message_id
    assert again.message.payload == message.payload


@given(BODIES, st.dictionaries(HEADER_NAMES, ANYTHING, max_size=6))
def test_what_is_read_does_not_hang_on_whether_its_values_were_walked(
    body: bytes, headers: dict[str, Any]
) -> None:
    wire = WireMessage(body, "k", headers=headers, properties={"message_id": "m-1"})
    with mock.patch("dlq.payload._is_representable", return_value=False):
        walked = decode(wire, received_at=NOW)
    assert repr(decode(wire, received_at=NOW)) == repr(walked)


# --- names -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Spotify", "spotify"),
        ("audio.analysis", "audio_analysis"),
        ("  a b#*c ", "a_b_c"),
        ("", "general"),
        ("日本", "general"),
        ("x" * 200, "x" * 64),
    ],
)
def test_an_error_type_is_one_word_of_a_routing_key(text: str, word: str) -> None:
    assert error_type_word(text) == word
    assert routing_key_for(text) == f"{word}.enrichment.failed"


@given(st.text(), st.integers(0, 40))
def test_shortened_text_fits_in_its_bytes(text: str, max_bytes: int) -> None:
    short = shorten_utf8(text, max_bytes)
    assert len(short.encode()) <= max_bytes
    assert text.startswith(short)


def test_message_ids_are_unique_and_in_the_order_of_time() -> None:
    ids = [new_message_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert ids == sorted(ids)


def test_a_message_cannot_be_changed_and_its_times_are_utc() -> None:
    with pytest.raises(pydantic.ValidationError):
        MESSAGE.retry_count = 1  # type: ignore[misc]
    naive = DLQMessage.model_validate(
        {**MESSAGE.model_dump(), "timestamp": "2025-10-10T14:30:45+02:00", "failed_at": None}
    )
    assert naive.timestamp == MESSAGE.timestamp
    assert json.loads(naive.model_dump_json())["timestamp"] == "2025-10-10T12:30:45Z"


def test_an_older_message_with_its_error_in_headers_alone_is_understood() -> None:
    body = {"item": {"artist": "A"}, "metadata": {"spider": "mixesdb"}}
    headers = {"x-error-type": "lastfm", "x-error-message": "Invalid API key", "x-retry-count": 3}
    decoded = decode(wire_of(body, headers=headers))
    assert decoded.form is Form.LEGACY
    message = decoded.message
    assert (message.error_type, message.error_message) == ("lastfm", "Invalid API key")
    assert (message.payload, message.metadata) == ({"artist": "A"}, {"spider": "mixesdb"})


def test_a_message_of_our_form_without_error_type_takes_it_from_the_headers() -> None:
    body = {"payload": {"a": 1}, "error_message": "boom"}
    decoded = decode(wire_of(body, headers={"x-error-type": "spotify"}))
    assert decoded.form is Form.CURRENT
    assert (decoded.message.error_type, decoded.message.payload) == ("spotify", {"a": 1})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"\xff\x01\x02", b"\xfe\x01\x02"),  # a producer that sends raw bytes
        ("i" * 255 + "a", "i" * 255 + "b"),
        ("n\0", "n\ufffd"),
    ],
)
def test_ids_that_differ_stay_different(one: Any, other: Any) -> None:
    ids = [
        decode(wire_of({}, properties={"message_id": m})).message.message_id for m in (one, other)
    ]
    assert ids[0] != ids[1]
    assert all(len(i.encode()) <= 255 for i in ids)


@pytest.mark.parametrize(
    "context",
    [
        {
            "exception_message": "boom",
            "type": "ReadTimeout",
            "tb": ["a\n", "b"],
            "status_code": 503,
        },
        {
            "error": {"message": "boom", "type": "ReadTimeout"},
            "traceback": "a\nb",
            "http_status": 503,
        },
    ],
)
def test_older_names_for_the_same_facts_are_read(context: dict[str, Any]) -> None:
    message = decode(wire_of({"item": {}, "error_context": {**context, "retries": 2}})).message
    assert (message.error_message, message.error_class) == ("boom", "ReadTimeout")
    assert (message.stack_trace, message.http_status, message.retry_count) == ("a\nb", 503, 2)
    assert message.metadata == {}


def test_what_an_older_producer_says_beside_stays_visible() -> None:
    context = {"error_message": "boom", "endpoint": "/v1/search", "error_type": "ReadTimeout"}
    message = decode(wire_of({"item": {}, "error_context": context})).message
    assert message.metadata == {"error_context": {"endpoint": "/v1/search"}}
    assert message.error_type == "spotify"  # the routing key names the provider
    told = decode(wire_of({"item": {}, "error_context": "just words"})).message
    assert told.error_message == "just words"


@pytest.mark.parametrize(
    "when",
    [1760099445, 1760099445000, "1760099445", "Fri, 10 Oct 2025 12:30:45 +0000"],
)
def test_times_are_read_in_the_forms_that_producers_use(when: Any) -> None:
    message = decode(wire_of({"item": {}, "error_context": {"timestamp": when}})).message
    assert message.timestamp == dt.datetime(2025, 10, 10, 12, 30, 45, tzinfo=dt.UTC)


def test_a_zipped_body_is_read_and_a_bomb_is_not() -> None:
    body = gzip.compress(json.dumps({"item": {"a": 1}, "error_context": {"error": "x"}}).encode())
    zipped = {"content_encoding": "gzip"}
    assert decode(wire_of(body, properties=zipped)).message.payload == {"a": 1}
    bomb = gzip.compress(b"[" + b" " * (65 * 1024 * 1024) + b"]")
    assert decode(wire_of(bomb, properties=zipped)).form is Form.MALFORMED


def test_a_replay_on_its_way_back_keeps_its_provider() -> None:
    headers = {"x-replay-id": "r", "x-original-routing-key": "lastfm.enrichment.failed"}
    wire = WireMessage(b'{"track": 1}', "expired.enrichment.failed", headers=headers)
    message = decode(wire).message
    assert (message.error_type, message.routing_key) == ("lastfm", "lastfm.enrichment.failed")
