from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlq.deaths import is_dead_lettered, parse_deaths, without_deaths

ENTRY = {
    "count": 2,
    "exchange": "enrichment",
    "queue": "enrichment.work",
    "reason": "rejected",
    "routing-keys": ["spotify.enrichment"],
    "time": dt.datetime(2025, 10, 10, 12, 30),  # noqa: DTZ001 - as pika hands it over
}


def test_an_entry_is_read_as_the_broker_writes_it() -> None:
    (death,) = parse_deaths({"x-death": [ENTRY]})
    assert death.reason == "rejected"
    assert death.queue == "enrichment.work"
    assert death.count == 2
    assert death.exchange == "enrichment"
    assert death.routing_keys == ("spotify.enrichment",)
    assert death.died_at == dt.datetime(2025, 10, 10, 12, 30, tzinfo=dt.UTC)


def test_the_sentence_says_where_why_and_how_often() -> None:
    once, twice = parse_deaths({"x-death": [{**ENTRY, "count": 1, "reason": "expired"}, ENTRY]})
    assert once.sentence() == (
        "RabbitMQ dead-lettered it from queue 'enrichment.work': expired (once)"
    )
    assert twice.sentence().endswith("rejected (2 times)")


def test_the_order_is_that_of_the_broker() -> None:
    deaths = parse_deaths({"x-death": [{**ENTRY, "queue": "newest"}, {**ENTRY, "queue": "first"}]})
    assert [death.queue for death in deaths] == ["newest", "first"]


def test_without_x_death_the_first_death_headers_serve() -> None:
    headers = {
        "x-first-death-exchange": "e",
        "x-first-death-queue": "q",
        "x-first-death-reason": "maxlen",
    }
    (death,) = parse_deaths(headers)
    assert (death.exchange, death.queue, death.reason, death.count) == ("e", "q", "maxlen", 1)
    assert is_dead_lettered(headers)


@pytest.mark.parametrize("headers", [{}, {"x-deaths": 1}, {"x-retry-count": 3}])
def test_other_messages_were_not_dead_lettered(headers: dict[str, Any]) -> None:
    assert not is_dead_lettered(headers)
    assert parse_deaths(headers) == []


def test_what_cannot_be_read_takes_its_default() -> None:
    odd = {"count": -1, "queue": b"bytes", "reason": None, "routing-keys": "no list", "time": 7}
    (death,) = parse_deaths({"x-death": [odd, "no entry", 3]})
    assert (death.count, death.queue, death.reason) == (1, "bytes", "unknown")
    assert (death.routing_keys, death.died_at) == ((), None)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["count", "exchange", "queue", "reason", "routing-keys", "time", "x"])
DEATHS = st.lists(st.dictionaries(NAMES, ANYTHING, max_size=6), max_size=3) | ANYTHING


@given(DEATHS, ANYTHING)
def test_whatever_the_headers_hold_nothing_raises(deaths: Any, first_queue: Any) -> None:
    for death in parse_deaths({"x-death": deaths, "x-first-death-queue": first_queue}):
        assert death.sentence()


def test_a_replay_carries_neither_deaths_nor_side_routes() -> None:
    headers = {
        "x-death": [ENTRY],
        "x-first-death-queue": "q",
        "X-Last-Death-Reason": "expired",
        "x-delivery-count": 4,
        "x-acquired-count": 4,
        "CC": ["elsewhere"],
        "BCC": ["elsewhere"],
        "x-retry-count": 3,
        "cc-like": "kept",
    }
    assert without_deaths(headers) == {"x-retry-count": 3, "cc-like": "kept"}
    assert "x-death" in headers, "the original was changed"
