from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlq.errors import InvalidInput
from dlq.message import WireMessage
from dlq.outcome import OutcomeReport, decode_outcome, encode_outcome
from dlq.states import Outcome

REPORT = OutcomeReport(
    message_id="550e8400-e29b-41d4-a716-446655440000",
    replay_id="r-1",
    outcome=Outcome.SUCCEEDED,
    worker="host:1",
    at=dt.datetime(2025, 10, 10, 12, tzinfo=dt.UTC),
    detail="done",
)


def test_a_report_survives_the_wire() -> None:
    wire = encode_outcome(REPORT, "spotify")
    assert decode_outcome(wire) == REPORT


def test_a_report_is_persistent_and_routed_to_the_outcomes_queue() -> None:
    wire = encode_outcome(REPORT, "spotify")
    assert wire.routing_key == "spotify.enrichment.outcome"
    assert wire.headers == {"x-replay-id": "r-1"}
    assert wire.properties["delivery_mode"] == 2
    assert wire.properties["correlation_id"] == "r-1"
    assert wire.properties["message_id"] != REPORT.message_id


def _body(**changes: Any) -> bytes:
    return json.dumps({**json.loads(REPORT.model_dump_json()), **changes}).encode()


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "body"),
        (b"\xff", "body"),
        (b"[]", "body"),
        (_body(outcome="perhaps"), "outcome"),
        (_body(replay_id=""), "replay_id"),
        (_body(message_id="x" * 256), "message_id"),
        (_body(detail="x" * 2001), "detail"),
    ],
)
def test_what_is_no_report_is_refused_with_the_field_named(body: bytes, named: str) -> None:
    with pytest.raises(InvalidInput, match=f"Not an outcome report: {named}"):
        decode_outcome(WireMessage(body=body, routing_key="x"))


def test_a_refusal_does_not_quote_the_input() -> None:
    with pytest.raises(InvalidInput) as refused:
        decode_outcome(WireMessage(body=_body(outcome="hunter2"), routing_key="x"))
    assert "hunter2" not in str(refused.value)


@given(st.binary(max_size=200))
def test_any_other_bytes_are_refused_and_not_more(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        decode_outcome(WireMessage(body=body, routing_key="x"))
