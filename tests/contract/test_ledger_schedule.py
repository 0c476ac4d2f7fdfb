"""The ledger's contract, on SQLite and PostgreSQL: what is replayed by itself."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterator

import pytest

from dlq.ledger.books import Due, Planned
from dlq.manager.scheduler import Scheduler
from dlq.pace import Limit, Limits
from dlq.policy import Decision, Kind, Policies, load_policies, read_policies
from dlq.states import Outcome, State
from tests.support.jobs import Stage, ids_of, stages

QUIET = """
version: 1
rules:
  - name: by night
    match: {category: [network, rate_limit]}
    retry: backoff
    base: 1s
    cap: 1s
    budget: 5
    quiet: ["13:00-18:00"]
"""


@pytest.fixture
def open_stage(ledger_url: str) -> Iterator[Callable[..., Stage]]:
    with stages(ledger_url) as make:
        yield make


@pytest.fixture
def stage(open_stage: Callable[..., Stage]) -> Stage:
    return open_stage(concurrency=100)


def _undecided(stage: Stage) -> list[str]:
    return [due.message_id for due in stage.ledger.schedule.undecided(100)]


def _replay(due: Due, at: dt.datetime) -> Planned:
    return Planned(due, Decision(Kind.REPLAY, "a rule", at, "a rule: try 1 of 6"))


def _decide(stage: Stage, kind: Kind, why: str = "because") -> None:
    planned = [
        Planned(due, Decision(kind, "a rule", None, why))
        for due in stage.ledger.schedule.undecided(100)
    ]
    stage.ledger.schedule.plan(planned, now=stage.now)


def _schedule(stage: Stage, in_s: float = 0) -> list[Due]:
    undecided = stage.ledger.schedule.undecided(1000)
    at = stage.now + dt.timedelta(seconds=in_s)
    stage.ledger.schedule.plan([_replay(due, at) for due in undecided], now=stage.now)
    return undecided


def _claim(stage: Stage, provider: str = "spotify") -> list[str]:
    due = stage.ledger.schedule.due(stage.now, limit=100).get(provider, [])
    claim = stage.ledger.schedule.claim(provider, [(one, "a rule") for one in due], now=stage.now)
    stage.ledger.confirm_replays([replay.replay_id for replay, _ in claim.begun])
    return ids_of(claim.begun)


# --- whose decisions count ---------------------------------------------------------------


def test_new_policies_ask_again_and_the_same_do_not(stage: Stage) -> None:
    ids = stage.store(3)
    adopt = stage.ledger.schedule.adopt
    assert adopt("digest 1")
    assert _undecided(stage) == ids
    _schedule(stage, 60)
    assert _undecided(stage) == []
    assert not adopt("digest 1")
    assert _undecided(stage) == []
    assert adopt("digest 2")
    assert _undecided(stage) == ids
    assert {stage.ledger.get(i).state for i in ids} == {State.SCHEDULED}


def test_adopting_nobody_takes_all_off_the_schedule(stage: Stage) -> None:
    (message_id,) = stage.store()
    stage.ledger.schedule.adopt("digest")
    _schedule(stage)
    stage.ledger.schedule.adopt(None)
    letter = stage.ledger.get(message_id)
    assert (letter.state, letter.plan, letter.next_replay_at) == (State.PENDING, None, None)
    assert stage.ledger.schedule.due(stage.now, limit=9) == {}
    last = stage.ledger.history(message_id)[-1]
    assert (last.actor, last.to_state) == ("policy", State.PENDING)
    assert "off" in last.reason
    assert stage.ledger.schedule.adopt("digest"), "on again: all is asked for"
    assert _undecided(stage) == [message_id]


def test_adopting_reaches_more_than_one_batch(stage: Stage) -> None:
    stage.store(2100)
    stage.ledger.schedule.adopt("1")
    for _ in range(3):
        _schedule(stage)
    assert _undecided(stage) == []
    stage.ledger.schedule.adopt("2")
    assert len(stage.ledger.schedule.undecided(5000)) == 2100
    stage.ledger.schedule.adopt(None)
    assert stage.ledger.stats().by_state[State.PENDING] == 2100


# --- decisions ---------------------------------------------------------------------------


def test_what_is_decided_is_due_at_its_time_and_then_begun(stage: Stage) -> None:
    (message_id,) = stage.store()
    (due,) = _schedule(stage, in_s=30)
    assert due.message_id == message_id
    letter = stage.ledger.get(message_id)
    assert letter.state is State.SCHEDULED
    assert letter.next_replay_at == stage.now + dt.timedelta(seconds=30)
    assert (letter.plan, letter.plan_reason) == ("replay", "a rule: try 1 of 6")
    last = stage.ledger.history(message_id)[-1]
    assert (last.actor, last.from_state, last.to_state) == (
        "policy",
        State.PENDING,
        State.SCHEDULED,
    )
    assert _claim(stage) == []
    stage.wait(30)
    assert _claim(stage) == [message_id]
    assert _claim(stage) == []
    (replay,) = stage.ledger.replays(message_id)
    assert (replay.rule, replay.actor, replay.job_id) == ("a rule", "policy", None)
    assert "'a rule'" in stage.ledger.history(message_id)[-1].reason


def test_what_is_due_is_told_by_provider_the_longest_due_first(stage: Stage) -> None:
    first = stage.store(2)
    stage.store(1, error_type="lastfm")
    _schedule(stage, 10)
    second = stage.store(2)
    _schedule(stage, 5)
    stage.wait(10)
    due = stage.ledger.schedule.due(stage.now, limit=3)
    assert list(due) == ["lastfm", "spotify"]
    assert [one.message_id for one in due["spotify"]] == [*second, first[0]]


@pytest.mark.parametrize("kind", [Kind.WAIT, Kind.NEVER])
def test_what_is_not_replayed_by_itself_stays_and_is_not_asked_again(
    stage: Stage, kind: Kind
) -> None:
    (message_id,) = stage.store()
    _decide(stage, kind)
    letter = stage.ledger.get(message_id)
    assert (letter.state, letter.plan, letter.plan_reason) == (State.PENDING, kind, "because")
    assert _undecided(stage) == []
    assert len(stage.ledger.history(message_id)) == 1, "nothing has moved"


def test_a_spent_budget_parks(stage: Stage) -> None:
    (message_id,) = stage.store()
    _decide(stage, Kind.PARK, "6 of 6 tries failed")
    assert stage.ledger.get(message_id).state is State.PARKED
    assert "6 of 6" in stage.ledger.history(message_id)[-1].reason
    assert _undecided(stage) == []


def test_what_a_policy_sends_is_parked_by_its_budget_alone(
    open_stage: Callable[..., Stage],
) -> None:
    stage = open_stage(replay_budget=1)
    (message_id,) = stage.store()
    _schedule(stage)
    claim = stage.ledger.schedule.claim(
        "spotify",
        [(due, "a rule") for due in stage.ledger.schedule.due(stage.now, limit=5)["spotify"]],
        now=stage.now,
    )
    stage.fail(claim.begun)
    assert stage.ledger.get(message_id).state is State.PENDING
    begun = stage.ledger.begin_replay(message_id, actor="ann", max_retries=None)
    stage.fail([begun])
    assert stage.ledger.get(message_id).state is State.PARKED


def test_what_changed_since_it_was_asked_for_is_left_out(stage: Stage) -> None:
    failed, gone, resolved, mended = stage.store(4)
    undecided = stage.ledger.schedule.undecided(10)
    begun = stage.ledger.begin_replay(failed, actor="bob", max_retries=None)
    stage.fail([begun], "network")
    stage.ledger.delete(gone, actor="bob")
    stage.close([stage.ledger.begin_replay(resolved, actor="bob", max_retries=None)])
    stage.ledger.schedule.plan([_replay(due, stage.now) for due in undecided], now=stage.now)
    assert stage.ledger.get(failed).state is State.PENDING
    assert stage.ledger.get(resolved).state is State.RESOLVED
    assert stage.ledger.get(mended).state is State.SCHEDULED
    assert _undecided(stage) == [failed]


def test_what_is_no_longer_due_is_not_begun(stage: Stage) -> None:
    ids = stage.store(3)
    _schedule(stage)
    due = [(one, "a rule") for one in stage.ledger.schedule.due(stage.now, limit=9)["spotify"]]
    stage.ledger.begin_replay(ids[0], actor="bob", max_retries=None)
    stage.ledger.schedule.plan(
        [_replay(due[1][0], stage.now + dt.timedelta(hours=1))], now=stage.now
    )
    claim = stage.ledger.schedule.claim("spotify", due, now=stage.now)
    assert ids_of(claim.begun) == ids[2:]


def test_a_new_failure_is_asked_about_anew(stage: Stage) -> None:
    (message_id,) = stage.store()
    _schedule(stage)
    _claim(stage)
    assert _undecided(stage) == []
    (replay,) = stage.ledger.replays(message_id)
    begun = [(replay, stage.ledger.get(message_id))]
    stage.wait(5)
    stage.fail(begun, "network", retry_after_s=7)
    (due,) = stage.ledger.schedule.undecided(10)
    facts = due.facts
    assert (facts.category, facts.failed_count, facts.retry_after_s) == ("network", 1, 7.0)
    assert (facts.last_outcome, facts.last_replay_at) == (Outcome.FAILED, stage.now)
    assert facts.failed_at == stage.now
    assert stage.ledger.get(message_id).next_replay_at is None


def test_what_the_broker_refused_is_scheduled_still_and_asked_about(stage: Stage) -> None:
    (message_id,) = stage.store()
    _schedule(stage)
    due = stage.ledger.schedule.due(stage.now, limit=9)["spotify"]
    claim = stage.ledger.schedule.claim("spotify", [(due[0], "r")], now=stage.now)
    stage.ledger.abandon_replay(claim.begun[0][0].replay_id, "full")
    assert stage.ledger.get(message_id).state is State.SCHEDULED
    assert _undecided(stage) == [message_id]


@pytest.mark.parametrize("outcome", [Outcome.RETURNED, Outcome.PRESUMED])
def test_what_nobody_reported_on_is_asked_about(stage: Stage, outcome: Outcome) -> None:
    (message_id,) = stage.store()
    _schedule(stage)
    _claim(stage)
    stage.wait(60)
    stage.ledger.close_overdue(stage.now, 10, outcome)
    (due,) = stage.ledger.schedule.undecided(10)
    assert (due.facts.last_outcome, due.facts.failed_count) == (outcome, 0)
    decision = load_policies().decide(due.facts, now=stage.now, random=random.Random(1))
    assert decision.kind is (Kind.WAIT if outcome is Outcome.PRESUMED else Kind.REPLAY)
    if decision.at is not None:
        assert decision.at > stage.now
    assert stage.ledger.get(message_id).state is State.PENDING


# --- credentials -------------------------------------------------------------------------


def test_what_waits_for_credentials_is_asked_about_once_they_are_mended(stage: Stage) -> None:
    ids = stage.store(2, category="auth")
    stage.store(error_type="lastfm", category="auth")
    _decide(stage, Kind.WAIT)
    (lastfm, spotify) = stage.ledger.providers.all(stage.now)
    assert (lastfm.waiting_count, spotify.waiting_count) == (1, 2)
    stage.wait(60)
    stage.ledger.providers.mend("spotify", actor="ann", now=stage.now)
    assert _undecided(stage) == ids
    assert stage.ledger.schedule.undecided(1)[0].facts.mended_at == stage.now
    stage.wait(1)
    _decide(stage, Kind.WAIT)
    assert _undecided(stage) == [], "asked once for each mending"


def test_a_success_of_one_lets_the_others_flow(stage: Stage) -> None:
    ids = stage.store(3, category="auth")
    _decide(stage, Kind.WAIT)
    stage.wait(60)
    stage.close([stage.ledger.begin_replay(ids[0], actor="ann", max_retries=None)])
    assert _undecided(stage) == ids[1:]


# --- pace --------------------------------------------------------------------------------


def test_the_schedule_keeps_to_the_pace_of_its_provider(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(limits=Limits(others=Limit(1.0, 2)))
    ids = stage.store(5)
    _schedule(stage)
    assert _claim(stage) == ids[:2]
    assert _claim(stage) == []
    due = [(d, "r") for d in stage.ledger.schedule.due(stage.now, limit=9)["spotify"]]
    blocked = stage.ledger.schedule.claim("spotify", due, now=stage.now)
    assert blocked.wait_s == 1.0
    assert "pace of spotify" in (blocked.waiting_for or "")
    stage.wait(1)
    assert _claim(stage) == ids[2:3]


def test_the_schedule_has_so_many_on_their_way_for_so_long(
    open_stage: Callable[..., Stage],
) -> None:
    stage = open_stage(concurrency=2, slot_s=30)
    ids = stage.store(5)
    _schedule(stage)
    assert _claim(stage) == ids[:2]
    assert _claim(stage) == []
    (replay,) = stage.ledger.replays(ids[0])
    stage.close([(replay, stage.ledger.get(ids[0]))])
    assert _claim(stage) == ids[2:3]
    stage.wait(31)
    assert _claim(stage) == ids[3:]


def test_an_open_circuit_stops_the_schedule_but_for_a_probe(stage: Stage) -> None:
    ids = stage.store(10)
    _schedule(stage)
    for message_id in ids[:5]:
        stage.fail([stage.ledger.begin_replay(message_id, actor="b", max_retries=None)], "network")
    assert _claim(stage) == []
    stage.wait(60)
    assert _claim(stage) == ids[5:6]
    assert _claim(stage) == []


def test_an_empty_claim_begins_nothing(stage: Stage) -> None:
    claim = stage.ledger.schedule.claim("spotify", [], now=stage.now)
    assert (claim.begun, claim.wait_s) == ([], None)


# --- the scheduler on a ledger -----------------------------------------------------------


def _scheduler(stage: Stage, policies: Policies | None, *, worker: bool = True) -> Scheduler:
    return Scheduler(
        stage.ledger, policies, worker_is_there=lambda: worker, jitter=random.Random(7)
    )


def _begun(scheduler: Scheduler, stage: Stage) -> list[str]:
    return [i for claim in scheduler.claims(stage.now) for i in ids_of(claim.begun)]


def test_the_default_policies_send_each_at_its_time(stage: Stage) -> None:
    (limited,) = stage.store(category="rate_limit", failed_at=stage.now, retry_after_s=600)
    stage.store(category="invalid_data")
    (auth,) = stage.store(category="auth", failed_at=stage.now)
    (network,) = stage.store(category="network", failed_at=stage.now)
    scheduler = _scheduler(stage, load_policies())
    sent: dict[str, float] = {}
    start = stage.now
    for _ in range(1000):
        for message_id in _begun(scheduler, stage):
            sent[message_id] = (stage.now - start).total_seconds()
        stage.wait(1)
    assert {*sent} == {limited, network}
    assert sent[network] <= 61
    assert 600 <= sent[limited] <= 661
    stage.ledger.providers.mend("spotify", actor="ann", now=stage.now)
    stage.wait(1)
    assert _begun(scheduler, stage) == [auth]


def test_without_a_worker_what_is_due_waits(stage: Stage) -> None:
    (message_id,) = stage.store(category="network")
    assert _begun(_scheduler(stage, load_policies(), worker=False), stage) == []
    stage.wait(3600)
    assert stage.ledger.get(message_id).state is State.SCHEDULED
    assert _begun(_scheduler(stage, load_policies()), stage) == [message_id]


def test_without_policies_nothing_is_scheduled(stage: Stage) -> None:
    (message_id,) = stage.store(category="network")
    assert _begun(_scheduler(stage, None), stage) == []
    assert stage.ledger.get(message_id).plan is None


def test_quiet_hours_hold_what_has_come_due_meanwhile(stage: Stage) -> None:
    (message_id,) = stage.store(category="network", failed_at=stage.now)
    policies = read_policies(QUIET)
    assert _begun(_scheduler(stage, policies, worker=False), stage) == []
    stage.wait(90 * 60)  # 13:30
    scheduler = _scheduler(stage, policies)
    assert _begun(scheduler, stage) == []
    letter = stage.ledger.get(message_id)
    assert letter.next_replay_at == dt.datetime(2026, 3, 1, 18, tzinfo=dt.UTC)
    assert "quiet" in stage.ledger.history(message_id)[-1].reason
    stage.wait(4.5 * 3600)
    assert _begun(scheduler, stage) == [message_id]
    assert stage.ledger.replays(message_id)[0].rule == "by night"


def test_the_schedule_flows_at_the_pace_not_once_a_second(
    open_stage: Callable[..., Stage],
) -> None:
    stage = open_stage(limits=Limits(others=Limit(10.0, 1)), concurrency=100)
    stage.store(40, category="network", failed_at=stage.now - dt.timedelta(hours=1))
    scheduler = _scheduler(stage, load_policies())
    sent = 0
    for _ in range(200):
        sent += len(_begun(scheduler, stage))
        stage.wait(0.01)
    assert 15 <= sent <= 21


def test_tries_that_fail_end_parked(stage: Stage) -> None:
    (message_id,) = stage.store(category="network")
    scheduler = _scheduler(stage, load_policies())
    tries = 0
    for _ in range(200):
        for claim in scheduler.claims(stage.now):
            tries += len(claim.begun)
            stage.fail(claim.begun, "network")
            stage.ledger.providers.mend("spotify", actor="ann", now=stage.now)
        stage.wait(1800)
    assert tries == 6
    assert stage.ledger.get(message_id).state is State.PARKED
    assert scheduler.claims(stage.now) == []


# --- the past ----------------------------------------------------------------------------


def test_the_past_tells_first_failures_and_what_became_of_replays(stage: Stage) -> None:
    first_at = stage.now - dt.timedelta(minutes=5)
    (message_id,) = stage.store(category="network", retry_after_s=3)
    stage.store()
    begun = stage.ledger.begin_replay(message_id, actor="bob", max_retries=None)
    started_at = stage.now
    stage.wait(60)
    stage.fail([begun], "auth", retry_after_s=99)
    past = list(stage.ledger.schedule.past(stage.now - dt.timedelta(hours=1)))
    assert len(past) == 2
    story = next(p for p in past if p.message_id == message_id)
    assert (story.failed_at, story.retry_after_s, story.category) == (first_at, 3.0, "network")
    (replay,) = story.replays
    assert (replay.started_at, replay.closed_at) == (started_at, stage.now)
    assert replay.outcome is Outcome.FAILED
    assert list(stage.ledger.schedule.past(stage.now)) == []
