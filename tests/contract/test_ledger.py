"""The ledger's contract, on SQLite and PostgreSQL: what goes in, and how it reads."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from itertools import pairwise

import pytest

from dlq.errors import IllegalTransition, NotFound
from dlq.ledger import bulk, open_ledger
from dlq.ledger.base import AuditEntry, Disposition, Ledger
from dlq.message import Form, WireMessage, encode
from dlq.payload import clean_text
from dlq.query import Filter, where
from dlq.states import State
from tests.support.ledger import (
    A_MOMENT,
    a_message,
    an_arrival,
    from_wire,
    now,
    replaying,
    stored,
)

# --- ingest ------------------------------------------------------------------------------


def test_a_stored_dead_letter_reads_as_it_arrived(ledger: Ledger) -> None:
    arrival = an_arrival("m-1", category="rate_limit", title="HTTPError: 429")
    (result,) = ledger.ingest([arrival])
    assert (result.message_id, result.disposition) == ("m-1", Disposition.STORED)
    assert result.unsettled_row is None
    kept = ledger.get("m-1")
    assert kept.message == arrival.message
    assert kept.wire == arrival.wire
    assert kept.state is State.PENDING
    assert (kept.form, kept.category, kept.title) == (Form.CURRENT, "rate_limit", "HTTPError: 429")
    assert (kept.replay_count, kept.next_replay_at) == (0, None)
    assert kept.ingested_at == kept.updated_at
    assert now() - kept.ingested_at < dt.timedelta(minutes=1)
    (entry,) = ledger.history("m-1")
    assert (entry.actor, entry.from_state, entry.to_state) == ("ingest", None, State.PENDING)


def test_an_empty_batch_is_no_work(ledger: Ledger) -> None:
    assert ledger.ingest([]) == []
    assert ledger.count(Filter()) == 0


def test_the_same_message_id_is_stored_once(ledger: Ledger) -> None:
    first = ledger.ingest([an_arrival("m-1"), an_arrival("m-2"), an_arrival("m-1")])
    again = ledger.ingest([an_arrival("m-2", error_message="other"), an_arrival("m-3")])
    assert [r.disposition for r in first] == ["stored", "stored", "duplicate"]
    assert [r.disposition for r in again] == ["duplicate", "stored"]
    assert [r.message_id for r in again] == ["m-2", "m-3"]
    assert ledger.count(Filter()) == 3
    assert ledger.get("m-2").message.error_message == "429 Too Many Requests"
    assert len(ledger.history("m-2")) == 1


def test_a_large_batch_keeps_the_order_of_arrival(ledger: Ledger) -> None:
    arrivals = [an_arrival(f"id-{index * 7919 % 5000}") for index in range(5000)]
    assert {r.disposition for r in ledger.ingest(arrivals)} == {Disposition.STORED}
    page = ledger.page(Filter(), limit=1000, offset=2000)
    assert [d.message.message_id for d in page] == [
        a.message.message_id for a in arrivals[2000:3000]
    ]


def test_a_deleted_id_does_not_come_back(ledger: Ledger) -> None:
    stored(ledger, message_id="m-1")
    ledger.delete("m-1", actor="operator")
    (result,) = ledger.ingest([an_arrival("m-1")])
    assert result.disposition is Disposition.DUPLICATE
    with pytest.raises(NotFound, match="m-1"):
        ledger.get("m-1")
    assert ledger.count(where(states=tuple(State))) == 0


WITHOUT_ID = WireMessage(
    body=b'{"any": "thing"}',
    routing_key="lastfm.enrichment.failed",
    headers={"x-error-message": "boom"},
)


def _redelivered(delivery_count: int) -> WireMessage:
    headers = {**WITHOUT_ID.headers, "x-delivery-count": delivery_count, "x-death": []}
    return WireMessage(WITHOUT_ID.body, WITHOUT_ID.routing_key, headers, {})


def test_identical_messages_without_id_are_two(ledger: Ledger) -> None:
    results = ledger.ingest([from_wire(WITHOUT_ID), from_wire(WITHOUT_ID)])
    assert [r.disposition for r in results] == ["stored", "stored"]
    assert len({r.message_id for r in results}) == 2
    assert None not in {r.unsettled_row for r in results}
    for result in results:
        assert ledger.get(result.message_id).message.message_id == result.message_id


def test_a_redelivery_without_id_is_recognised_once_per_stored_one(ledger: Ledger) -> None:
    before = ledger.ingest([from_wire(WITHOUT_ID), from_wire(WITHOUT_ID)])
    again = [from_wire(_redelivered(n), redelivered=True) for n in (1, 2, 3)]
    after = ledger.ingest(again)
    assert [r.disposition for r in after] == ["redelivered", "redelivered", "stored"]
    assert [r.message_id for r in after[:2]] == [r.message_id for r in before]
    assert after[0].unsettled_row is None
    assert ledger.count(Filter()) == 3


def test_after_its_ack_was_taken_an_identical_one_is_another_message(ledger: Ledger) -> None:
    (first,) = ledger.ingest([from_wire(WITHOUT_ID)])
    assert first.unsettled_row is not None
    ledger.settled([first.unsettled_row])
    (second,) = ledger.ingest([from_wire(_redelivered(1), redelivered=True)])
    assert second.disposition is Disposition.STORED
    assert second.message_id != first.message_id


def test_another_body_without_id_is_not_taken_for_a_redelivery(ledger: Ledger) -> None:
    ledger.ingest([from_wire(WITHOUT_ID)])
    other = WireMessage(b'{"any": "other"}', WITHOUT_ID.routing_key, dict(WITHOUT_ID.headers))
    (result,) = ledger.ingest([from_wire(other, redelivered=True)])
    assert result.disposition is Disposition.STORED


# --- exact and hostile content -----------------------------------------------------------


def test_the_wire_comes_back_exactly(ledger: Ledger) -> None:
    wire = WireMessage(
        body=bytes(range(256)),
        routing_key="spotify.enrichment.failed",
        headers={
            "bytes": b"\x00\xff",
            "time": dt.datetime(2026, 1, 2, 3, 4, 5),  # noqa: DTZ001 - as pika reads them
            "decimal": Decimal("1.10"),
            "nested": [{"$bytes": "not bytes", "x": [1, 2.5, None, True, {"deep": b"\x80"}]}],
            "nul": "a\x00b",
            "emoji": "🎧 Ünïcode",
            "infinite": float("inf"),
            "$datetime": "not an instant",
        },
        properties={"message_id": "m-exact", "timestamp": 1_700_000_000, "priority": 3},
    )
    ledger.ingest([from_wire(wire)])
    assert ledger.get("m-exact").wire == wire


HOSTILE = [
    "'; DROP TABLE dead_letters; --",
    '%s %(name)s :bind ? $1 {} "quoted"',
    "nul \x00 inside",
    "lone \ud800 surrogate",
    "🤷" * 200,
    "x" * 200_000,
    "\u202e right to left \u0000\n\r\t",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_kept_and_found(ledger: Ledger, text: str) -> None:
    shown = clean_text(text) if "\ud800" in text else text  # a message holds no lone surrogate
    arrival = an_arrival(
        f"id {shown}"[:200],
        error_message=shown,
        source_service=shown,
        category=text,
        fingerprint=text,
        title=text,
        metadata={shown[:1000]: shown},
    )
    (result,) = ledger.ingest([arrival])
    assert result.disposition is Disposition.STORED
    assert ledger.get(arrival.message.message_id).message == arrival.message
    for chosen in (where(source_service=text[:255]), where(fingerprint=text[:255])):
        assert ledger.count(chosen) == 1
    assert ledger.count(where(source_service=f"{text[:50]} or not")) == 0
    assert ledger.groups.all(now=now()).groups[0].sample_messages == (result.message_id,)
    ledger.audit(AuditEntry(text, text, text, text, detail={text: text}))
    assert ledger.audits(limit=1)[0].detail


def test_a_batch_too_large_for_one_statement_is_stored_whole(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "ARRAYS_MAX_BYTES", 5000)
    arrivals = [an_arrival(f"m-{n}", payload={"x": "y" * 2000}) for n in (1, 2, 1, 3)]
    results = ledger.ingest(arrivals)
    assert [r.disposition for r in results] == ["stored", "stored", "duplicate", "stored"]
    found = ledger.page(Filter(), limit=10)
    assert [d.message.message_id for d in found] == ["m-1", "m-2", "m-3"]


@pytest.mark.parametrize("year", [1, 1969, 9999])
def test_instants_at_the_edges_of_time_are_kept(ledger: Ledger, year: int) -> None:
    failed_at = dt.datetime(year, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC)
    ledger.ingest([an_arrival("m-1", failed_at=failed_at)])
    assert ledger.get("m-1").message.failed_at == failed_at
    assert ledger.stats().oldest_at == failed_at
    assert len(ledger.ages([0.5], now())) == 1


def test_a_message_that_carries_no_instant_failed_when_it_arrived(ledger: Ledger) -> None:
    arrival = from_wire(WireMessage(body=b"\xff", routing_key="", headers={}, properties={}))
    (result,) = ledger.ingest([arrival])
    kept = ledger.get(result.message_id)
    assert kept.message == arrival.message
    assert kept.form is Form.MALFORMED


# --- reading -----------------------------------------------------------------------------


def test_pages_follow_the_order_of_arrival(ledger: Ledger) -> None:
    ids = [stored(ledger) for _ in range(5)]

    def page(**how: int | bool) -> list[str]:
        found = ledger.page(Filter(), **{"limit": 10, **how})  # type: ignore[arg-type]
        return [dead_letter.message.message_id for dead_letter in found]

    assert page() == ids
    assert page(limit=2, offset=1) == ids[1:3]
    assert page(newest_first=True) == ids[::-1]
    assert page(limit=2, offset=4) == ids[4:]
    assert page(offset=99) == []


def test_a_filter_restricts_by_each_field(ledger: Ledger) -> None:
    ledger.ingest(
        [
            an_arrival("a", error_type="spotify", category="auth", fingerprint="f1"),
            an_arrival("b", error_type="lastfm", category="auth", fingerprint="f2"),
            an_arrival("c", error_type="lastfm", category="bug", source_service="other"),
        ]
    )
    replaying(ledger, "b")

    def ids(chosen: Filter) -> list[str]:
        found = [d.message.message_id for d in ledger.page(chosen, limit=10)]
        assert [d.message.message_id for d in ledger.iterate(chosen, batch=1)] == found
        assert ledger.count(chosen) == len(found)
        return found

    assert ids(Filter()) == ["a", "c"]
    assert ids(where(states=tuple(State))) == ["a", "b", "c"]
    assert ids(where(states=(State.REPLAYING,))) == ["b"]
    assert ids(where(states=(State.PENDING, State.REPLAYING), error_type="lastfm")) == ["b", "c"]
    assert ids(where(states=(State.PARKED,))) == []
    assert ids(where(category="auth")) == ["a"]
    assert ids(where(fingerprint="f1", error_type="spotify")) == ["a"]
    assert ids(where(source_service="other")) == ["c"]
    assert ids(where(source_service="other", error_type="spotify")) == []


def test_iterating_ends_although_more_arrives_meanwhile(ledger: Ledger) -> None:
    ids = [stored(ledger) for _ in range(5)]
    seen = []
    for dead_letter in ledger.iterate(Filter(), batch=2):
        seen.append(dead_letter.message.message_id)
        stored(ledger)
    assert seen == ids


def test_stats_count_what_is_in_the_dlq(ledger: Ledger) -> None:
    start = now() - dt.timedelta(hours=1)
    for index, error_type in enumerate(["spotify", "spotify", "lastfm", "lastfm"]):
        stored(
            ledger,
            message_id=f"m-{index}",
            error_type=error_type,
            source_service=f"svc-{index % 2}",
            failed_at=start + index * A_MOMENT,
        )
    replaying(ledger, "m-0")
    ledger.delete("m-3", actor="operator")
    stats = ledger.stats()
    assert stats.by_error_type == {"spotify": 1, "lastfm": 1}
    assert stats.by_service == {"svc-1": 1, "svc-0": 1}
    assert stats.by_state == {
        State.PENDING: 2,
        State.SCHEDULED: 0,
        State.REPLAYING: 1,
        State.RESOLVED: 0,
        State.PARKED: 0,
    }
    assert stats.in_dlq == 2
    assert (stats.oldest_at, stats.newest_at) == (start + A_MOMENT, start + 2 * A_MOMENT)


def test_an_empty_dlq_has_no_ages_groups_or_extremes(ledger: Ledger) -> None:
    assert ledger.ages([0.5], now()) == []
    assert ledger.groups.all(now=now()).groups == []
    assert ledger.groups.by_error_type() == []
    assert ledger.stats().oldest_at is None
    assert list(ledger.iterate(Filter())) == []


def test_ages_are_exact_nearest_rank_quantiles(ledger: Ledger) -> None:
    instant = now()
    ages = [float(age) for age in range(1, 101)]
    ledger.ingest([an_arrival(failed_at=instant - dt.timedelta(seconds=a)) for a in ages])
    found = ledger.ages([0.0, 0.07, 0.5, 0.9, 0.99, 1.0], instant)
    assert found == [1.0, 7.0, 50.0, 90.0, 99.0, 100.0]


def test_a_clock_that_runs_ahead_gives_no_negative_age(ledger: Ledger) -> None:
    stored(ledger, failed_at=now() + dt.timedelta(hours=1))
    assert ledger.ages([0.99], now()) == [0.0]


# --- delete, audit, the rest -------------------------------------------------------------


def test_deleting_keeps_the_history_and_nothing_else(ledger: Ledger) -> None:
    stored(ledger, message_id="m-1")
    ledger.delete("m-1", actor="operator")
    assert ledger.stats().in_dlq == 0
    last = ledger.history("m-1")[-1]
    assert (last.actor, last.from_state, last.to_state) == ("operator", State.PENDING, None)
    with pytest.raises(NotFound):
        ledger.delete("m-1", actor="operator")
    with pytest.raises(NotFound):
        ledger.begin_replay("m-1", actor="o", routing_key="k", max_retries=None)


def test_what_is_on_its_way_cannot_be_deleted(ledger: Ledger) -> None:
    stored(ledger, message_id="m-1")
    replaying(ledger, "m-1")
    with pytest.raises(IllegalTransition, match="replaying"):
        ledger.delete("m-1", actor="operator")
    assert ledger.get("m-1").state is State.REPLAYING


def test_an_unknown_id_is_not_found(ledger: Ledger) -> None:
    for look in (ledger.get, ledger.history):
        with pytest.raises(NotFound, match="nobody"):
            look("nobody")
    with pytest.raises(NotFound, match="nobody"):
        ledger.delete("nobody", actor="operator")
    assert ledger.replays("nobody") == []


def test_the_audit_trail_reads_newest_first(ledger: Ledger) -> None:
    entries = [
        AuditEntry("ann", "replay", f"m-{number}", "ok", detail={"n": number, "at": [1.5, None]})
        for number in range(3)
    ]
    for entry in entries:
        ledger.audit(entry)
    assert ledger.audits() == entries[::-1]
    assert ledger.audits(limit=1) == entries[2:]


def test_a_ping_writes(ledger: Ledger) -> None:
    ledger.ping()
    ledger.ping()


def test_everything_is_there_after_a_restart(ledger_url: str) -> None:
    first = open_ledger(ledger_url)
    stored(first, message_id="m-1")
    replay_id = replaying(first, "m-1")
    before = first.get("m-1")
    first.close()
    second = open_ledger(ledger_url)
    try:
        assert second.get("m-1") == before
        assert second.replays("m-1")[0].replay_id == replay_id
        assert len(second.history("m-1")) == 2
        assert second.ingest([an_arrival("m-1")])[0].disposition is Disposition.DUPLICATE
    finally:
        second.close()


def test_a_row_number_is_never_given_twice(ledger: Ledger) -> None:
    wires = [encode(a_message(f"m-{n}")) for n in range(2)]
    ledger.ingest([from_wire(wires[0])])
    ledger.delete("m-0", actor="operator")
    ledger.ingest([from_wire(wires[1])])
    assert [e.reason for e in ledger.history("m-1")] == ["arrived"]
    times = [entry.at for entry in ledger.history("m-0")]
    assert all(earlier <= later for earlier, later in pairwise(times))
