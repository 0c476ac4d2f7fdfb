"""Field tables and delivery tags: the arithmetic below the connections, without a broker."""

from __future__ import annotations

import datetime as dt
import struct
from concurrent.futures import Future
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pika import data as pika_data

from dlq.errors import PublishRejected
from dlq.message import WireMessage
from dlq.transport.fields import decode_table, encode_table
from dlq.transport.properties import (
    MAX_HEADER_BYTES,
    UNREADABLE_HEADERS,
    decode_properties,
    encode_properties,
    properties_of,
)
from dlq.transport.tags import ConfirmWindow, Pending, take_settlements
from tests.integration.transport_tools import wire

quick = settings(max_examples=60, deadline=None)
names = st.text(max_size=40)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-999, max_value=999)
    | st.datetimes(
        min_value=dt.datetime(1970, 1, 1),  # noqa: DTZ001 (hypothesis adds the zone)
        timezones=st.just(dt.UTC),
    ).map(lambda instant: instant.replace(microsecond=0))
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=20,
)
floats = st.floats(allow_nan=False, allow_infinity=False)


@quick
@given(st.dictionaries(names, values | floats, max_size=8))
def test_a_table_comes_back_as_it_went(table: dict[str, Any]) -> None:
    encoded = encode_table(table)
    assert decode_table(encoded, 0) == (table, len(encoded))


@quick
@given(st.dictionaries(names, values, max_size=8))
def test_pika_reads_our_tables_and_we_read_its(table: dict[str, Any]) -> None:
    """Floats apart, which pika cannot write and truncates when it reads."""
    ours = encode_table(table)
    assert pika_data.decode_table(ours, 0)[0] == table
    pieces: list[bytes] = []
    pika_data.encode_table(pieces, table)
    assert decode_table(b"".join(pieces), 0)[0] == table


@quick
@given(st.binary(max_size=200))
def test_no_bytes_of_headers_can_raise(content: bytes) -> None:
    data = struct.pack(">HI", 1 << 13, len(content)) + content
    headers, properties = properties_of(decode_properties(data))
    assert isinstance(headers, dict)
    assert properties == {}


def test_headers_that_cannot_be_read_are_kept_as_bytes_and_what_follows_is_read() -> None:
    table = struct.pack(">I", 4) + b"\x01a?z"
    message_id = b"\x02id"
    data = struct.pack(">H", 1 << 13 | 1 << 7) + table + message_id
    headers, properties = properties_of(decode_properties(data))
    assert headers == {UNREADABLE_HEADERS: table}
    assert properties == {"message_id": "id"}


def test_a_message_is_persistent_and_in_nobodys_name() -> None:
    message = wire(delivery_mode=1, user_id="somebody", priority=3, timestamp=1_700_000_000)
    (encoded,) = encode_properties(message).encode()
    headers, properties = properties_of(decode_properties(encoded))
    assert headers == {}
    assert properties == {
        "message_id": message.properties["message_id"],
        "delivery_mode": 2,
        "priority": 3,
        "timestamp": 1_700_000_000,
    }


def test_the_bound_of_headers_is_in_bytes() -> None:
    fits = wire(headers={"x": "é" * (MAX_HEADER_BYTES // 2 - 100)})
    assert len(encode_properties(fits)) <= MAX_HEADER_BYTES
    with pytest.raises(PublishRejected, match="at most 102400 bytes"):
        encode_properties(wire(headers={"x": "é" * (MAX_HEADER_BYTES // 2)}))


@pytest.mark.parametrize("value", [float("inf"), Decimal("NaN"), Decimal("1E+30"), {1: 2}, 2**64])
def test_what_has_no_form_in_amqp_is_refused(value: Any) -> None:
    with pytest.raises(PublishRejected):
        encode_properties(wire(headers={"x": value}))


def pending(message: WireMessage | None = None) -> Pending:
    message = message or wire()
    return Pending(message, encode_properties(message), Future())


def test_confirms_are_matched_by_tag_single_and_multiple() -> None:
    window = ConfirmWindow(5)
    sent = [pending() for _ in range(5)]
    for entry in sent:
        window.sent(entry)
    rooms = [window.has_room]
    assert window.settle(2, multiple=False) == [sent[1]]
    rooms.append(window.has_room)
    assert rooms == [False, True]
    assert window.settle(2, multiple=False) == []
    assert window.settle(3, multiple=True) == [sent[0], sent[2]]
    assert window.settle(0, multiple=True) == [sent[3], sent[4]]
    later = pending()
    window.sent(later)
    assert window.settle(6, multiple=False) == [later]


def test_a_return_marks_the_oldest_message_like_it() -> None:
    window = ConfirmWindow(5)
    twice = wire()
    other, first, second = pending(), pending(twice), pending(twice)
    for entry in (other, first, second):
        window.sent(entry)
    message_id = twice.properties["message_id"]
    for expected in (first, second):
        assert window.mark_returned(message_id, twice.routing_key, twice.body, "no route")
        assert expected.returned == "no route"
    assert not window.mark_returned(message_id, twice.routing_key, twice.body, "no route")
    assert other.returned is None


@quick
@given(st.lists(st.booleans(), max_size=30), st.sets(st.integers(0, 40)))
def test_settlements_settle_exactly_what_was_asked(open_tags: list[bool], wanted: set[int]) -> None:
    """Against the broker's reading: `multiple` takes all up to the tag that are unsettled."""
    unsettled = {tag: None for tag, is_open in enumerate(open_tags, 1) if is_open}
    broker = set(unsettled)
    expected_left = broker - wanted
    for tag, multiple in take_settlements(unsettled, wanted):
        settled = {t for t in broker if t <= tag} if multiple else {tag}
        assert tag in broker
        broker -= settled
    assert broker == expected_left == set(unsettled)
