"""Routing key, headers and properties survive being written as text, whatever they hold."""

from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlq.ledger.envelope import digest_of, read_wire, write_envelope
from dlq.message import WireMessage

lone_surrogates = st.characters(categories=["Cs"], max_codepoint=0xDBFF)
texts = st.text() | st.text(lone_surrogates) | st.just("a\x00b")
keys = texts | st.sampled_from(["$bytes", "$datetime", "$decimal", "$float", "$", "$$bytes"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | texts
    | st.binary()
    | st.datetimes().map(lambda instant: instant.replace(fold=0))  # AMQP knows no summer time
    | st.datetimes(timezones=st.just(dt.UTC)).map(lambda instant: instant.replace(fold=0))
    | st.decimals(allow_nan=False)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)
tables = st.dictionaries(keys, values, max_size=5)


@settings(deadline=None)
@given(texts, tables, tables, st.binary())
def test_every_wire_message_comes_back_exactly(
    routing_key: str, headers: dict[str, Any], properties: dict[str, Any], body: bytes
) -> None:
    wire = WireMessage(body, routing_key, headers, properties)
    text = write_envelope(wire)
    assert text.isascii()
    assert "\x00" not in text
    back = read_wire(wire.body, text)
    assert back == wire
    assert repr(back) == repr(wire), "equal, and of the same types"
    assert digest_of(back) == digest_of(wire)


def test_the_text_is_strict_json() -> None:
    text = write_envelope(WireMessage(b"", "k", {"x": math.inf, "y": math.nan}))
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert math.isnan(read_wire(b"", text).headers["y"])


def test_what_no_table_holds_becomes_readable_rather_than_refused() -> None:
    deep: Any = "bottom"
    for _ in range(5000):
        deep = [deep]
    headers = {"deep": deep, "set": {1}, "huge": 10**5000, "object": object(), "nest": {1: 2}}
    back = read_wire(b"", write_envelope(WireMessage(b"", "k", headers))).headers
    assert set(back) == set(headers)
    assert (back["set"], back["nest"]) == ([1], {"1": 2})


def test_a_digest_ignores_what_the_broker_adds_and_nothing_else() -> None:
    plain = WireMessage(b"body", "k", {"x": 1}, {"app_id": "a"})
    added = {"x": 1, "x-delivery-count": 3, "x-acquired-count": 1, "x-death": [{"count": 1}]}
    assert digest_of(WireMessage(b"body", "k", added, {"app_id": "a"})) == digest_of(plain)
    others = [
        WireMessage(b"other", "k", {"x": 1}, {"app_id": "a"}),
        WireMessage(b"body", "l", {"x": 1}, {"app_id": "a"}),
        WireMessage(b"body", "k", {"x": 2}, {"app_id": "a"}),
        WireMessage(b"body", "k", {"x": 1}, {"app_id": "b"}),
        WireMessage(b"body", "k", {"x": b"1"}, {"app_id": "a"}),
    ]
    assert len({digest_of(wire) for wire in [plain, *others]}) == 6


def test_a_decimal_keeps_its_digits() -> None:
    back = read_wire(b"", write_envelope(WireMessage(b"", "k", {"d": Decimal("1.00")})))
    assert str(back.headers["d"]) == "1.00"
