"""Editing a payload: patches and documents, their bounds, and the message that carries it."""

from __future__ import annotations

import copy
import gzip
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlq.decode import decode
from dlq.edit import difference, edited_payload, is_object, with_payload
from dlq.edit.patch import MAX_DEPTH, MAX_OPERATIONS, MAX_PATCH_BYTES, MAX_VALUES
from dlq.errors import InvalidInput
from dlq.message import DLQMessage, Form, WireMessage, encode
from dlq.payload import MAX_DEPTH as SHOWN_DEPTH

TRACK = {"track_id": "abc", "artist": {"name": "Deadmau5"}, "tags": ["a", "b"]}
DEATH = {"x-death": [{"reason": "rejected", "queue": "imports", "count": 1}]}

text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
payloads = st.dictionaries(text, values, max_size=5)


def a_message(payload: dict[str, Any]) -> DLQMessage:
    return DLQMessage.model_validate(
        {
            "message_id": "m-1",
            "routing_key": "spotify.enrichment.failed",
            "timestamp": "2025-10-10T12:30:45Z",
            "retry_count": 3,
            "error_type": "spotify",
            "error_message": "429 Too Many Requests",
            "source_service": "pipeline",
            "payload": payload,
        }
    )


def wire_of(document: Any, **headers: Any) -> WireMessage:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return WireMessage(body, "spotify.enrichment.failed", headers, {"message_id": "m-1"})


ARRIVED = {
    "current": encode(a_message(TRACK)),
    "current, payload no object": wire_of({"payload": [1, 2], "error_message": "x"}),
    "legacy": wire_of({"item": TRACK, "error_context": {"error": "x"}}),
    "legacy, item no object": wire_of({"item": "abc", "error_context": {"error": "x"}}),
    "dead-lettered": wire_of(TRACK, **DEATH),
    "dead-lettered list": wire_of([1, 2], **DEATH),
    "dead-lettered text": wire_of(b"hello", **DEATH),
    "malformed JSON": wire_of(b'{"track_id": "abc'),
    "malformed bytes": wire_of(b"\xff\xfe\x00"),
    "malformed list": wire_of([1, 2]),
    "malformed object": wire_of(TRACK),
}


# --- the payload -------------------------------------------------------------------------


def test_a_patch_is_applied_in_order_and_leaves_the_payload_as_it_was() -> None:
    before = copy.deepcopy(TRACK)
    patch = [
        {"op": "test", "path": "/track_id", "value": "abc"},
        {"op": "replace", "path": "/track_id", "value": "xyz"},
        {"op": "add", "path": "/artist/id", "value": 7},
        {"op": "remove", "path": "/tags/0"},
    ]
    assert edited_payload(TRACK, patch=patch) == {
        "track_id": "xyz",
        "artist": {"name": "Deadmau5", "id": 7},
        "tags": ["b"],
    }
    assert before == TRACK


def test_a_document_takes_the_place_of_the_payload() -> None:
    assert edited_payload(TRACK, document={"track_id": "xyz"}) == {"track_id": "xyz"}


def test_a_patch_and_a_document_at_once_or_neither_are_refused() -> None:
    with pytest.raises(InvalidInput, match="exactly one"):
        edited_payload(TRACK)
    with pytest.raises(InvalidInput, match="exactly one"):
        edited_payload(TRACK, patch=[], document={})


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "/nowhere", "value": 1},
        {"op": "remove", "path": "/artist/id"},
        {"op": "add", "path": "/nowhere/deeper", "value": 1},
        {"op": "add", "path": "/tags/9", "value": 1},
        {"op": "add", "path": "/tags/" + "9" * 5000, "value": 1},
        {"op": "add", "path": "/tags/01", "value": 1},
        {"op": "replace", "path": "/tags/-", "value": 1},
        {"op": "add", "path": "/track_id/x", "value": 1},
        {"op": "add", "path": "no slash", "value": 1},
        {"op": "add", "path": "/~2", "value": 1},
        {"op": "add", "path": 5, "value": 1},
        {"op": "add", "path": None, "value": 1},
        {"op": "add", "path": {"a": 1}, "value": 1},
        {"op": "add", "path": "/x"},
        {"op": "add", "value": 1},
        {"op": "move", "path": "/x"},
        {"op": "move", "from": "/artist", "path": "/artist/inside"},
        {"op": "move", "from": 5, "path": "/x"},
        {"op": "copy", "path": "/x"},
        {"op": "copy", "from": "/nowhere", "path": "/x"},
        {"op": "copy", "from": ["/x"], "path": "/x"},
        {"op": "test", "path": "/track_id", "value": "other"},
        {"op": "test", "path": "/nowhere", "value": None},
        {"op": "remove", "path": ""},
        {"op": "append", "path": "/track_id", "value": "x"},
        {"op": ["add"], "path": "/x", "value": 1},
        {"path": "/x"},
        {},
        [],
        "add",
        None,
        7,
    ],
)
def test_an_operation_that_cannot_be_applied_is_named_by_number_and_path(operation: Any) -> None:
    good = {"op": "add", "path": "/fine", "value": 1}
    with pytest.raises(InvalidInput) as refused:
        edited_payload(TRACK, patch=[good, operation])
    told = str(refused.value)
    assert told.startswith("Operation 1 of the patch (")
    assert "Nothing was changed." in told
    assert len(told) < 800
    if isinstance(operation, dict) and isinstance(operation.get("path"), str):
        assert json.dumps(operation["path"])[:100] in told


@pytest.mark.parametrize("value", [[1], "text", 5, None, True])
def test_a_payload_stays_an_object(value: Any) -> None:
    with pytest.raises(InvalidInput, match="A payload is a JSON object"):
        edited_payload(TRACK, patch=[{"op": "replace", "path": "", "value": value}])


@pytest.mark.parametrize(
    "value", [float("nan"), float("-inf"), 2**64, -(2**63) - 1, "a\x00b", "\ud800"]
)
def test_a_value_that_a_dead_letter_cannot_carry_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput, match="cannot carry"):
        edited_payload(TRACK, document={"x": {"y": [value]}})


# --- hostile patches ---------------------------------------------------------------------


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def test_more_operations_than_allowed_are_refused() -> None:
    operation = {"op": "add", "path": "/x", "value": 1}
    assert edited_payload(TRACK, patch=[operation] * MAX_OPERATIONS)["x"] == 1
    with pytest.raises(InvalidInput, match="at most 1000 operations, got 1001"):
        edited_payload(TRACK, patch=[operation] * (MAX_OPERATIONS + 1))


def test_a_patch_larger_than_allowed_is_refused() -> None:
    large = [{"op": "add", "path": "/x", "value": "x" * MAX_PATCH_BYTES}]
    with pytest.raises(InvalidInput, match="a patch of at most 1048576 bytes"):
        edited_payload(TRACK, patch=large)


@pytest.mark.parametrize("levels", [MAX_DEPTH, 500, 100_000])
def test_nesting_is_bounded_in_patches_and_documents(levels: int) -> None:
    with pytest.raises(InvalidInput, match="nested deeper"):
        edited_payload(TRACK, document={"x": nested(levels)})
    with pytest.raises(InvalidInput, match="nested deeper"):
        edited_payload(TRACK, patch=[{"op": "add", "path": "/x", "value": nested(levels)}])


def test_what_was_shown_shortened_for_its_depth_cannot_be_edited() -> None:
    shown = decode(encode(a_message(nested(SHOWN_DEPTH + 5)))).message.payload
    with pytest.raises(InvalidInput, match="the payload is nested deeper"):
        edited_payload(shown, patch=[{"op": "add", "path": "/x", "value": 1}])


def test_moves_cannot_nest_without_bound() -> None:
    patch: list[dict[str, Any]] = []
    for number in range(450):
        patch.append({"op": "add", "path": f"/{number + 1}", "value": {}})
        patch.append({"op": "move", "from": f"/{number}", "path": f"/{number + 1}/{number}"})
    with pytest.raises(InvalidInput, match="nested deeper"):
        edited_payload({"0": {}}, patch=patch)
    with pytest.raises(InvalidInput):  # what follows them would copy recursively
        edited_payload({"0": {}}, patch=[*patch, {"op": "copy", "from": "/450", "path": "/c"}])


def test_copies_cannot_double_a_payload_without_bound() -> None:
    double = [{"op": "copy", "from": "/a", "path": "/a/-"}] * 60
    texts = [{"op": "copy", "from": "/t", "path": f"/{number}"} for number in range(900)]
    begun_at = time.monotonic()
    with pytest.raises(InvalidInput, match=r"Operation \d+ of .* the patch copies too much"):
        edited_payload({"a": [1, 2, 3]}, patch=double)
    with pytest.raises(InvalidInput, match="the patch copies too much"):
        edited_payload({"t": "x" * 100_000}, patch=texts)
    assert time.monotonic() - begun_at < 5


def test_a_document_of_too_many_values_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at most 200,000 values"):
        edited_payload(TRACK, document={"x": [0] * MAX_VALUES})


# --- the difference ----------------------------------------------------------------------


@given(payloads, payloads)
def test_a_difference_makes_the_one_of_the_other(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    changes = difference(before, after)
    assert json.dumps(edited_payload(before, patch=changes), sort_keys=True) == json.dumps(
        after, sort_keys=True
    )
    assert difference(before, after) == changes


def test_a_difference_tells_apart_what_python_calls_equal() -> None:
    assert difference({"a": 1}, {"a": True}) == [{"op": "replace", "path": "/a", "value": True}]
    assert difference(TRACK, copy.deepcopy(TRACK)) == []


def test_a_large_difference_is_told_by_top_level_key_and_soon() -> None:
    before: dict[str, Any] = {"n": 1, "gone": 0, "l": [{"i": i} for i in range(30_000)]}
    after = {"n": True, "l": [{"i": -i} for i in range(30_000)], "a/b": 1}
    begun_at = time.monotonic()
    changes = difference(before, after)
    assert time.monotonic() - begun_at < 5
    assert [(c["op"], c["path"]) for c in changes] == [
        ("remove", "/gone"),
        ("replace", "/n"),
        ("replace", "/l"),
        ("add", "/a~1b"),
    ]


# --- the message -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ARRIVED)
@settings(max_examples=40)
@given(payload=payloads)
def test_a_reader_finds_the_edited_payload_in_the_form_it_arrived_in(
    name: str, payload: dict[str, Any]
) -> None:
    wire = ARRIVED[name]
    arrived = decode(wire)
    try:
        edited = with_payload(wire, arrived.form, payload)
    except InvalidInput:
        assert arrived.form in (Form.DEAD_LETTERED, Form.MALFORMED)
        assert {"payload", "item"} & payload.keys()
        return
    found = decode(edited)
    assert found.form is arrived.form
    assert found.message.payload == payload
    assert found.message.model_copy(update={"payload": {}, "error_message": ""}) == (
        arrived.message.model_copy(
            update={
                "payload": {},
                "error_message": "",
                "timestamp": found.message.timestamp,
                "failed_at": found.message.failed_at,
            }
        )
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            (
                b'\xef\xbb\xbf {"error_type" : "s", "n":1.10, "payload" : {"payload": [1]} ,\n '
                b'"big": 123456789012345678901234567890, "x": "\\ud800\\u00e9"}\n'
            ),
            (
                b'\xef\xbb\xbf {"error_type" : "s", "n":1.10, "payload" : {"a": "\xc3\xa9"} ,\n '
                b'"big": 123456789012345678901234567890, "x": "\\ud800\\u00e9"}\n'
            ),
        ),
        (
            b'{"payload": 1, "error_message": "x", "payload": 2, "a": {"payload": 3}}',
            (
                b'{"payload": 1, "error_message": "x", "payload": {"a": "\xc3\xa9"}, '
                b'"a": {"payload": 3}}'
            ),
        ),
    ],
)
def test_every_byte_beside_the_payload_stays_as_the_producer_wrote_it(
    before: bytes, after: bytes
) -> None:
    wire = wire_of(before, trace="t-1")
    edited = with_payload(wire, Form.CURRENT, {"a": "é"})
    assert edited.body == after
    assert (edited.headers, edited.properties) == (wire.headers, wire.properties)
    assert edited.routing_key == wire.routing_key


@pytest.mark.parametrize(
    ("name", "key"), [("current, payload no object", "payload"), ("legacy, item no object", "item")]
)
def test_a_payload_that_was_no_object_goes_back_as_what_it_was(name: str, key: str) -> None:
    wire = ARRIVED[name]
    edited = with_payload(wire, decode(wire).form, {"value": ["mended"]})
    assert json.loads(edited.body)[key] == ["mended"]


def test_a_zipped_body_is_sent_plain_and_says_so() -> None:
    plain = encode(a_message(TRACK))
    zipped = WireMessage(
        gzip.compress(plain.body),
        plain.routing_key,
        plain.headers,
        {**plain.properties, "content_encoding": "gzip"},
    )
    edited = with_payload(zipped, Form.CURRENT, {"track_id": "xyz"})
    assert json.loads(edited.body)["payload"] == {"track_id": "xyz"}
    assert edited.properties == plain.properties
    assert decode(edited).message.payload == {"track_id": "xyz"}


@pytest.mark.parametrize("encoding", ["deflate", "br", "utf-16", b"gzip"])
def test_an_encoding_that_is_no_longer_true_is_not_claimed(encoding: Any) -> None:
    wire = WireMessage(b"\x1f\x8b", "k", {}, {"content_encoding": encoding})
    edited = with_payload(wire, Form.MALFORMED, TRACK)
    assert edited.properties == {"content_encoding": "utf-8"}
    assert json.loads(edited.body) == TRACK


def test_a_document_that_would_be_read_as_another_dead_letter_is_refused() -> None:
    whole = {"payload": {"a": 1}, "error_type": "spotify", "error_message": "x"}
    with pytest.raises(InvalidInput, match="the payload alone"):
        with_payload(ARRIVED["malformed JSON"], Form.MALFORMED, whole)


@pytest.mark.parametrize("name", ARRIVED)
def test_only_a_body_that_is_an_object_can_be_patched(name: str) -> None:
    no_object = {
        "dead-lettered list",
        "dead-lettered text",
        "malformed JSON",
        "malformed bytes",
        "malformed list",
    }
    assert is_object(ARRIVED[name]) == (name not in no_object)
