"""The ledger's contract, on SQLite and PostgreSQL: replays and leases."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid

import pytest

from dlq.errors import IllegalTransition, NotFound
from dlq.ledger.base import Disposition, Ledger
from dlq.message import WireMessage, replay_of
from dlq.outcome import OutcomeReport
from dlq.query import Filter, where
from dlq.states import Outcome, State
from tests.support.ledger import (
    A_MOMENT,
    RETRY_KEY,
    an_arrival,
    brought_back,
    failed_again,
    from_wire,
    now,
    recorded,
    replaying,
    stored,
)


@pytest.fixture
def pending(ledger: Ledger) -> str:
    return stored(ledger)


def _report(
    message_id: str, replay_id: str, outcome: Outcome = Outcome.SUCCEEDED, detail: str = ""
) -> OutcomeReport:
    return OutcomeReport(
        message_id=message_id, replay_id=replay_id, outcome=outcome, worker="w", detail=detail
    )


def _moves(ledger: Ledger, message_id: str) -> list[State | None]:
    return [entry.to_state for entry in ledger.history(message_id)]


# --- begin, confirm, abandon -------------------------------------------------------------


def test_a_replay_begins_before_anything_is_sent(ledger: Ledger, pending: str) -> None:
    replay, dead_letter = ledger.begin_replay(
        pending, actor="ann", routing_key=RETRY_KEY, max_retries=2
    )
    assert (replay.message_id, replay.number, replay.actor) == (pending, 1, "ann")
    assert (replay.routing_key, replay.max_retries) == (RETRY_KEY, 2)
    assert (replay.confirmed_at, replay.outcome, replay.worker) == (None, None, None)
    assert uuid.UUID(replay.replay_id).version == 4
    assert (dead_letter.state, dead_letter.replay_count) == (State.REPLAYING, 1)
    assert ledger.get(pending) == dead_letter
    assert ledger.replays(pending) == [replay]
    last = ledger.history(pending)[-1]
    assert (last.actor, last.replay_id) == ("ann", replay.replay_id)
    assert (last.from_state, last.to_state) == (State.PENDING, State.REPLAYING)


def test_a_second_replay_is_refused_while_one_is_open(ledger: Ledger, pending: str) -> None:
    replaying(ledger, pending)
    with pytest.raises(IllegalTransition, match="replaying"):
        replaying(ledger, pending)
    assert len(ledger.replays(pending)) == 1
    assert len(ledger.history(pending)) == 2


def test_confirming_is_idempotent_and_ignores_what_is_closed(ledger: Ledger, pending: str) -> None:
    replay_id = replaying(ledger, pending, confirmed=False)
    ledger.confirm_replay(replay_id)
    confirmed_at = ledger.replays(pending)[0].confirmed_at
    assert confirmed_at is not None
    ledger.confirm_replay(replay_id)
    ledger.confirm_replay("no such replay")
    assert ledger.replays(pending)[0].confirmed_at == confirmed_at


def test_an_abandoned_replay_does_not_count(ledger: Ledger, pending: str) -> None:
    replay_id = replaying(ledger, pending, confirmed=False)
    ledger.abandon_replay(replay_id, "the retry queue is full")
    assert (ledger.get(pending).state, ledger.get(pending).replay_count) == (State.PENDING, 0)
    assert ledger.replays(pending) == []
    last = ledger.history(pending)[-1]
    assert "the retry queue is full" in last.reason
    assert (last.from_state, last.to_state) == (State.REPLAYING, State.PENDING)
    assert replaying(ledger, pending) != replay_id
    assert ledger.replays(pending)[0].number == 1


def test_abandoning_returns_a_parked_one_to_parked(ledger: Ledger, pending: str) -> None:
    for _ in range(3):
        ledger.ingest([failed_again(pending, replaying(ledger, pending))])
    assert ledger.get(pending).state is State.PARKED
    ledger.abandon_replay(replaying(ledger, pending, confirmed=False), "refused")
    assert ledger.get(pending).state is State.PARKED


def test_a_confirmed_or_closed_replay_cannot_be_abandoned(ledger: Ledger, pending: str) -> None:
    confirmed = replaying(ledger, pending)
    ledger.abandon_replay(confirmed, "too late")
    assert ledger.get(pending).state is State.REPLAYING
    assert recorded(ledger, _report(pending, confirmed))
    ledger.abandon_replay(confirmed, "too late")
    ledger.abandon_replay("no such replay", "too late")
    assert ledger.get(pending).state is State.RESOLVED
    assert len(ledger.replays(pending)) == 1


def test_unconfirmed_replays_are_found_again(ledger: Ledger) -> None:
    lost, confirmed = stored(ledger), stored(ledger)
    replay_id = replaying(ledger, lost, confirmed=False)
    replaying(ledger, confirmed)
    ((replay, dead_letter),) = ledger.unconfirmed_replays(now() + A_MOMENT, 10)
    assert (replay.replay_id, dead_letter.message.message_id) == (replay_id, lost)
    assert ledger.unconfirmed_replays(now() - A_MOMENT, 10) == []
    assert ledger.unconfirmed_replays(now() + A_MOMENT, 0) == []


# --- outcomes ----------------------------------------------------------------------------


def test_success_resolves(ledger: Ledger, pending: str) -> None:
    replay_id = replaying(ledger, pending)
    assert recorded(ledger, _report(pending, replay_id, detail="enriched"))
    assert ledger.get(pending).state is State.RESOLVED
    (replay,) = ledger.replays(pending)
    assert (replay.outcome, replay.worker, replay.error) == (Outcome.SUCCEEDED, "w", None)
    assert replay.outcome_at is not None
    assert ledger.count(Filter()) == 0
    last = ledger.history(pending)[-1]
    assert (last.actor, last.to_state, last.replay_id) == ("w", State.RESOLVED, replay_id)
    assert "enriched" in last.reason


@pytest.mark.parametrize("outcome", list(Outcome))
def test_an_outcome_counts_once(ledger: Ledger, pending: str, outcome: Outcome) -> None:
    replay_id = replaying(ledger, pending)
    assert recorded(ledger, _report(pending, replay_id, outcome))
    assert not recorded(ledger, _report(pending, replay_id, outcome))
    assert len(ledger.history(pending)) == 3


def test_a_late_or_forged_outcome_changes_nothing(ledger: Ledger, pending: str) -> None:
    other = stored(ledger)
    late = replaying(ledger, pending)
    brought_back(ledger, now() + A_MOMENT, 10)
    current, of_other = replaying(ledger, pending), replaying(ledger, other)
    for message_id, replay_id in (
        (pending, late),
        (pending, of_other),
        (pending, "guessed"),
        ("nobody", current),
    ):
        assert not recorded(ledger, _report(message_id, replay_id))
    assert ledger.get(pending).state is State.REPLAYING
    assert ledger.get(other).state is State.REPLAYING


def test_without_a_word_of_success_it_stays_in_the_dlq(ledger: Ledger, pending: str) -> None:
    for outcome in (Outcome.PRESUMED, Outcome.RETURNED):
        assert recorded(ledger, _report(pending, replaying(ledger, pending), outcome))
        assert ledger.get(pending).state is State.PENDING


def test_a_replay_that_fails_again_brings_the_new_error(ledger: Ledger) -> None:
    original = an_arrival("m-1")
    ledger.ingest([original])
    replay_id = replaying(ledger, "m-1")
    report = failed_again(
        "m-1",
        replay_id,
        error_message="401 Unauthorized",
        error_type="lastfm",
        retry_count=5,
        category="auth",
        fingerprint="c" * 16,
        title="Unauthorized",
        worker="retry-worker",
    )
    (result,) = ledger.ingest([report])
    assert (result.message_id, result.disposition) == ("m-1", Disposition.FAILED_AGAIN)
    kept = ledger.get("m-1")
    assert kept.message == report.message
    assert kept.wire == original.wire, "a replay sends the original"
    assert (kept.state, kept.replay_count) == (State.PENDING, 1)
    assert (kept.category, kept.fingerprint, kept.title) == ("auth", "c" * 16, "Unauthorized")
    assert ledger.count(where(error_type="lastfm", category="auth")) == 1
    (replay,) = ledger.replays("m-1")
    assert (replay.outcome, replay.error) == (Outcome.FAILED, "401 Unauthorized")
    assert replay.worker == "retry-worker"
    assert _moves(ledger, "m-1") == [State.PENDING, State.REPLAYING, State.PENDING]
    assert ledger.history("m-1")[-1].actor == "ingest"


def test_the_same_failure_report_twice_counts_once(ledger: Ledger, pending: str) -> None:
    report = failed_again(pending, replaying(ledger, pending))
    results = [*ledger.ingest([report, report]), *ledger.ingest([report])]
    assert [r.disposition for r in results] == ["failed_again", "duplicate", "duplicate"]
    assert len(ledger.history(pending)) == 3


def test_a_failure_report_for_another_replay_is_a_duplicate(ledger: Ledger, pending: str) -> None:
    replaying(ledger, pending)
    for replay_id in (None, "guessed"):
        (result,) = ledger.ingest([failed_again(pending, replay_id)])
        assert result.disposition is Disposition.DUPLICATE
    assert ledger.get(pending).state is State.REPLAYING


def test_it_is_parked_when_the_replay_budget_is_spent(ledger: Ledger, pending: str) -> None:
    states = []
    for _ in range(4):
        ledger.ingest([failed_again(pending, replaying(ledger, pending))])
        states.append(ledger.get(pending).state)
    assert states == [State.PENDING, State.PENDING, State.PARKED, State.PARKED]
    assert "budget" in ledger.history(pending)[-1].reason
    assert ledger.get(pending).replay_count == 4


def test_a_failed_report_by_outcome_charges_the_budget_too(ledger: Ledger, pending: str) -> None:
    for _ in range(3):
        replay_id = replaying(ledger, pending)
        assert recorded(ledger, _report(pending, replay_id, Outcome.FAILED, "no luck"))
    assert ledger.get(pending).state is State.PARKED
    assert ledger.replays(pending)[-1].error == "no luck"


def test_returning_does_not_charge_the_budget(ledger: Ledger) -> None:
    original = an_arrival("m-1")
    ledger.ingest([original])
    for _ in range(4):
        replay, dead_letter = ledger.begin_replay(
            "m-1", actor="o", routing_key=RETRY_KEY, max_retries=None
        )
        wire = replay_of(
            dead_letter.wire,
            routing_key=RETRY_KEY,
            message_id="m-1",
            replay_id=replay.replay_id,
            number=replay.number,
            max_retries=None,
            replayed_at=now(),
        )
        back = dataclasses.replace(from_wire(wire), returned=True, replay_id=replay.replay_id)
        (result,) = ledger.ingest([back])
        assert result.disposition is Disposition.RETURNED
    kept = ledger.get("m-1")
    assert (kept.state, kept.replay_count, kept.wire) == (State.PENDING, 4, original.wire)
    assert kept.message == original.message
    assert {r.outcome for r in ledger.replays("m-1")} == {Outcome.RETURNED}


def test_a_returned_one_without_its_replay_id_closes_the_open_replay(
    ledger: Ledger, pending: str
) -> None:
    back = dataclasses.replace(an_arrival(pending), returned=True)
    assert ledger.ingest([back])[0].disposition is Disposition.DUPLICATE
    replaying(ledger, pending)
    late = dataclasses.replace(back, replay_id="an older one")
    assert ledger.ingest([late])[0].disposition is Disposition.DUPLICATE
    assert ledger.ingest([back])[0].disposition is Disposition.RETURNED
    assert ledger.get(pending).state is State.PENDING


def test_answers_to_a_ledger_that_was_lost_are_stored(ledger: Ledger) -> None:
    results = ledger.ingest(
        [
            failed_again("m-1", "a replay of before"),
            dataclasses.replace(an_arrival("m-2"), returned=True, replay_id="another"),
        ]
    )
    assert [r.disposition for r in results] == ["stored", "stored"]
    assert ledger.get("m-1").state is State.PENDING


def test_a_message_without_id_is_replayed_under_the_id_it_was_given(ledger: Ledger) -> None:
    wire = WireMessage(b"not json", "lastfm.enrichment.failed", {}, {})
    (first,) = ledger.ingest([from_wire(wire)])
    replay_id = replaying(ledger, first.message_id)
    (again,) = ledger.ingest([failed_again(first.message_id, replay_id)])
    assert again.disposition is Disposition.FAILED_AGAIN
    assert ledger.get(first.message_id).wire == wire
    assert ledger.get(first.message_id).message.message_id == first.message_id


def test_what_is_overdue_is_brought_back(ledger: Ledger) -> None:
    ids = [stored(ledger) for _ in range(3)]
    for message_id in ids:
        replaying(ledger, message_id)
    assert brought_back(ledger, now() - A_MOMENT, 10) == 0
    assert brought_back(ledger, now() + A_MOMENT, 2) == 2
    assert [ledger.get(message_id).state for message_id in ids] == [
        State.PENDING,
        State.PENDING,
        State.REPLAYING,
    ]
    assert ledger.replays(ids[0])[0].outcome is Outcome.RETURNED
    assert brought_back(ledger, now() + A_MOMENT, 10) == 1


# --- leases ------------------------------------------------------------------------------


def test_leases_hand_out_confirmed_open_replays_oldest_first(ledger: Ledger) -> None:
    ids = [stored(ledger) for _ in range(4)]
    replaying(ledger, ids[2], confirmed=False)
    replays = [replaying(ledger, message_id) for message_id in (ids[1], ids[0])]
    leases = ledger.lease("w", limit=10, ttl_s=60)
    assert [lease.replay.replay_id for lease in leases] == replays
    assert [lease.dead_letter.message.message_id for lease in leases] == [ids[1], ids[0]]
    assert {lease.worker for lease in leases} == {"w"}
    assert len({lease.lease_id for lease in leases}) == 2
    assert leases[0].dead_letter == ledger.get(ids[1])
    assert dt.timedelta(seconds=50) < leases[0].expires_at - now() <= dt.timedelta(seconds=60)
    assert ledger.lease("other", limit=10, ttl_s=60) == []


def test_leases_are_bounded_and_chosen_by_error_type(ledger: Ledger) -> None:
    for error_type in ("spotify", "lastfm", "spotify"):
        replaying(ledger, stored(ledger, error_type=error_type))
    (only,) = ledger.lease("w", limit=5, ttl_s=60, error_types=["lastfm", "musicbrainz"])
    assert only.dead_letter.message.error_type == "lastfm"
    assert len(ledger.lease("w", limit=1, ttl_s=60)) == 1
    assert ledger.lease("w", limit=5, ttl_s=60, error_types=["general"]) == []


def test_an_expired_lease_is_free_again_and_lost_to_its_holder(
    ledger: Ledger, pending: str
) -> None:
    replay_id = replaying(ledger, pending)
    (expired,) = ledger.lease("slow", limit=1, ttl_s=-1)
    with pytest.raises(NotFound, match="lease"):
        ledger.leased(expired.lease_id)
    (current,) = ledger.lease("other", limit=1, ttl_s=60)
    assert current.replay.replay_id == replay_id
    assert current.lease_id != expired.lease_id
    for lose in (ledger.leased, ledger.release_lease, lambda lost: ledger.extend_lease(lost, 60)):
        with pytest.raises(NotFound, match="lease"):
            lose(expired.lease_id)
    assert ledger.leased(current.lease_id) == current


def test_an_expired_lease_that_nobody_took_can_be_extended(ledger: Ledger, pending: str) -> None:
    replaying(ledger, pending)
    (expired,) = ledger.lease("slow", limit=1, ttl_s=-1)
    extended = ledger.extend_lease(expired.lease_id, 60)
    assert extended.lease_id == expired.lease_id
    assert extended.expires_at > now()
    assert ledger.leased(expired.lease_id) == extended
    assert ledger.lease("other", limit=1, ttl_s=60) == []


def test_a_released_lease_is_free_again(ledger: Ledger, pending: str) -> None:
    replaying(ledger, pending)
    (lease,) = ledger.lease("w", limit=1, ttl_s=60)
    ledger.release_lease(lease.lease_id)
    with pytest.raises(NotFound):
        ledger.release_lease(lease.lease_id)
    assert len(ledger.lease("other", limit=1, ttl_s=60)) == 1


def test_an_outcome_ends_the_lease(ledger: Ledger, pending: str) -> None:
    replay_id = replaying(ledger, pending)
    (lease,) = ledger.lease("w", limit=1, ttl_s=60)
    assert recorded(ledger, _report(pending, replay_id))
    with pytest.raises(NotFound):
        ledger.leased(lease.lease_id)
    assert ledger.lease("other", limit=1, ttl_s=60) == []


def test_what_is_held_by_a_live_lease_is_not_overdue(ledger: Ledger, pending: str) -> None:
    replaying(ledger, pending)
    (lease,) = ledger.lease("w", limit=1, ttl_s=60)
    assert brought_back(ledger, now() + A_MOMENT, 10) == 0
    ledger.extend_lease(lease.lease_id, -1)
    assert brought_back(ledger, now() + A_MOMENT, 10) == 1
    assert ledger.get(pending).state is State.PENDING
