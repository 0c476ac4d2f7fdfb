"""The ledger's contract, on SQLite and PostgreSQL: pace and circuit of providers, and what
outcomes tell of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator

import pytest

from dlq.circuit import CircuitState
from dlq.ledger.books import Provider
from dlq.outcome import OutcomeReport
from dlq.pace import DECREASE_GAP, FRESH_FOR, INCREASE_AFTER, LEAST_SHARE, MAX_HOLD, Limit, Limits
from dlq.states import Outcome, State
from tests.support.jobs import Stage, stages

GAP_S = DECREASE_GAP.total_seconds()


@pytest.fixture
def open_stage(ledger_url: str) -> Iterator[Callable[..., Stage]]:
    with stages(ledger_url) as make:
        yield make


@pytest.fixture
def stage(open_stage: Callable[..., Stage]) -> Stage:
    return open_stage(replay_budget=3)


def _provider(stage: Stage, name: str = "spotify") -> Provider:
    return stage.ledger.providers.get(name, stage.now)


def _refuse(stage: Stage, *, ago_s: float = 0, retry_after_s: float | None = None) -> Provider:
    at = stage.now - dt.timedelta(seconds=ago_s)
    stage.ledger.providers.slow_down("spotify", at=at, retry_after_s=retry_after_s, now=stage.now)
    return _provider(stage)


def test_a_provider_that_nothing_is_known_of(stage: Stage) -> None:
    provider = _provider(stage, "unheard of")
    assert (provider.name, provider.share, provider.hold_until) == ("unheard of", 1.0, None)
    assert provider.circuit.state is CircuitState.CLOSED
    assert stage.ledger.providers.all(stage.now) == []


# --- pace --------------------------------------------------------------------------------


def test_a_burst_of_refusals_halves_the_share_once(stage: Stage) -> None:
    for _ in range(5):
        assert _refuse(stage).share == 0.5
        stage.wait(GAP_S / 6)
    stage.wait(GAP_S)
    assert _refuse(stage).share == 0.25


def test_a_share_recovers_step_by_step_and_is_halved_from_where_it_is(stage: Stage) -> None:
    _refuse(stage)
    step_s = INCREASE_AFTER.total_seconds()
    stage.wait(step_s)
    assert _provider(stage).share == pytest.approx(0.6)
    stage.wait(step_s)
    assert _refuse(stage).share == pytest.approx(0.35)
    stage.wait(step_s * 7)
    assert _provider(stage).share == 1.0


def test_a_share_is_never_less_than_the_least(stage: Stage) -> None:
    for _ in range(8):
        _refuse(stage)
        stage.wait(GAP_S)
    assert _refuse(stage).share == LEAST_SHARE


def test_a_slowed_provider_is_sent_less(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(limits=Limits(others=Limit(2.0)))
    _refuse(stage)
    stage.store(5)
    job = stage.job()
    stage.close(stage.step(job).begun)
    assert stage.step(job).wait_s == pytest.approx(1.0)


def test_stale_refusals_say_nothing_of_now(stage: Stage) -> None:
    assert _refuse(stage, ago_s=FRESH_FOR.total_seconds()).share == 1.0
    assert _refuse(stage, ago_s=3600, retry_after_s=60).hold_until is None
    _refuse(stage)
    stage.wait(30)
    share = _provider(stage).share
    assert _refuse(stage, ago_s=28).share == share, "it was sent before the slowing"


def test_retry_after_holds_counted_from_the_refusal(stage: Stage) -> None:
    provider = _refuse(stage, ago_s=10, retry_after_s=60)
    assert provider.hold_until == stage.now + dt.timedelta(seconds=50)
    assert _refuse(stage, retry_after_s=5).hold_until == provider.hold_until, "the longer wins"
    stage.wait(51)
    assert _provider(stage).hold_until is None


@pytest.mark.parametrize("asked_s", [90_000.0, 1e300, float("inf")])
def test_retry_after_is_believed_up_to_a_bound(stage: Stage, asked_s: float) -> None:
    assert _refuse(stage, retry_after_s=asked_s).hold_until == stage.now + MAX_HOLD


@pytest.mark.parametrize("asked_s", [0.0, -5.0, -1e300, float("nan"), None])
def test_a_retry_after_that_means_nothing_holds_nothing(
    stage: Stage, asked_s: float | None
) -> None:
    assert _refuse(stage, retry_after_s=asked_s).hold_until is None


def test_a_refusal_dated_in_the_future_counts_from_now(stage: Stage) -> None:
    provider = _refuse(stage, ago_s=-3600, retry_after_s=60)
    assert provider.hold_until == stage.now + dt.timedelta(seconds=60)
    assert provider.share == 0.5


def test_a_replay_that_meets_a_rate_limit_slows_its_provider_down(stage: Stage) -> None:
    stage.store(2)
    job = stage.job()
    stage.fail(stage.step(job).begun, "rate_limit", retry_after_s=30)
    provider = _provider(stage)
    assert (provider.share, provider.hold_until) == (0.5, stage.now + dt.timedelta(seconds=30))
    assert provider.circuit.state is CircuitState.CLOSED
    assert provider.circuit.failures == 0


def test_a_name_too_long_for_an_index_is_one_provider(stage: Stage) -> None:
    name = "p" * 300
    stage.ledger.providers.slow_down(name, at=stage.now, retry_after_s=9, now=stage.now)
    assert _provider(stage, name).hold_until is not None
    assert [p.name for p in stage.ledger.providers.all(stage.now)] == ["p" * 255]
    mended = stage.ledger.providers.mend(name, actor="ann", now=stage.now)
    assert (mended.hold_until, mended.mended_by) == (None, "ann")


# --- circuit -----------------------------------------------------------------------------


def test_five_failures_in_a_row_open_the_circuit_with_the_last_error(stage: Stage) -> None:
    stage.store(5)
    begun = stage.step(stage.job()).begun
    stage.fail(begun[:4], "timeout", error_message="timed out")
    assert _provider(stage).circuit.state is CircuitState.CLOSED
    stage.fail(begun[4:], "server_error", error_message="503 " + "x" * 1000)
    provider = _provider(stage)
    assert (provider.circuit.state, provider.circuit.opened_at) == (CircuitState.OPEN, stage.now)
    assert (provider.last_error or "").startswith("503 x")
    assert len(provider.last_error or "") == 500


def test_a_success_closes_the_circuit(stage: Stage) -> None:
    ids = stage.store(6)
    stage.fail(stage.step(stage.job(ids[:5])).begun, "network")
    stage.close([stage.ledger.begin_replay(ids[5], actor="ann", max_retries=None)])
    provider = _provider(stage)
    assert (provider.circuit.state, provider.circuit.failures) == (CircuitState.CLOSED, 0)
    assert provider.last_error is None


def test_what_never_came_back_says_nothing_of_the_provider(stage: Stage) -> None:
    stage.store(5)
    begun = stage.step(stage.job()).begun
    stage.close(begun[:3], Outcome.RETURNED)
    stage.close(begun[3:], Outcome.PRESUMED)
    assert _provider(stage).circuit.failures == 0


def test_mending_clears_all_that_holds_a_provider_up(stage: Stage) -> None:
    stage.store(5)
    stage.fail(stage.step(stage.job()).begun, "network")
    _refuse(stage, retry_after_s=3600)
    mended = stage.ledger.providers.mend("spotify", actor="ann", now=stage.now)
    assert (mended.share, mended.hold_until, mended.last_error) == (1.0, None, None)
    assert (mended.circuit.state, mended.circuit.failures) == (CircuitState.CLOSED, 0)
    assert (mended.mended_at, mended.mended_by) == (stage.now, "ann")
    assert mended == _provider(stage)
    assert len(stage.sent(stage.job())) == 5


def test_a_success_of_a_failure_of_credentials_proves_them_mended(stage: Stage) -> None:
    (auth,) = stage.store(category="auth")
    (other,) = stage.store(category="network")
    stage.close([stage.ledger.begin_replay(other, actor="ann", max_retries=None)])
    assert _provider(stage).mended_at is None
    stage.close([stage.ledger.begin_replay(auth, actor="ann", max_retries=None)])
    provider = _provider(stage)
    assert provider.mended_at == stage.now
    assert "replay" in (provider.mended_by or "")


def test_providers_are_listed_with_what_is_on_its_way(stage: Stage) -> None:
    ids = stage.store(2)
    stage.store(error_type="lastfm")
    stage.ledger.begin_replay(ids[0], actor="ann", max_retries=None)
    listed = stage.ledger.providers.all(stage.now)
    assert [(p.name, p.on_its_way_count) for p in listed] == [("spotify", 1)]
    assert (listed[0].scheduled_count, listed[0].waiting_count) == (0, 0)


# --- outcomes ----------------------------------------------------------------------------


def test_what_is_overdue_is_closed_as_told_and_its_item_with_it(stage: Stage) -> None:
    ids = stage.store(3)
    job = stage.job()
    assert len(stage.step(job).begun) == 3
    stage.wait(60)
    before = stage.now - dt.timedelta(seconds=30)
    assert stage.ledger.close_overdue(before, 2, Outcome.PRESUMED) == ["spotify"] * 2
    counts = stage.look(job).counts
    assert {s: n for s, n in counts.items() if n} == {"presumed": 2, "sent": 1}
    letter = stage.ledger.get(ids[0])
    assert (letter.state, letter.last_outcome) == (State.PENDING, Outcome.PRESUMED)
    assert stage.ledger.outcomes_by_error_type()["spotify"].presumed == 2
    stage.ledger.close_overdue(before, 10, Outcome.PRESUMED)
    stage.step(job)
    assert stage.look(job).state == "finished"


def test_duplicates_and_forgeries_in_one_batch_count_for_nothing(stage: Stage) -> None:
    stage.store(2, error_type="spotify")
    stage.store(2, error_type="lastfm")
    begun = stage.step(stage.job()).begun

    def report(message_id: str, replay_id: str, outcome: Outcome) -> OutcomeReport:
        return OutcomeReport(
            message_id=message_id, replay_id=replay_id, outcome=outcome, worker="w"
        )

    (a, _), (b, _), (c, _), (d, _) = begun
    reports = [
        report(d.message_id, d.replay_id, Outcome.FAILED),
        report(a.message_id, a.replay_id, Outcome.SUCCEEDED),
        report(a.message_id, a.replay_id, Outcome.FAILED),
        report(b.message_id, c.replay_id, Outcome.SUCCEEDED),
        report("nobody", b.replay_id, Outcome.SUCCEEDED),
        report(b.message_id, "forged", Outcome.SUCCEEDED),
        report(c.message_id, c.replay_id, Outcome.RETURNED),
        report(a.message_id, a.replay_id, Outcome.SUCCEEDED),
    ]
    closed = stage.ledger.record_outcomes(reports)
    types = [error_type is not None for error_type in closed]
    assert types == [True, True, False, False, False, False, True, False]
    states = [stage.ledger.get(replay.message_id).state for replay, _ in begun]
    assert states == ["resolved", "replaying", "pending", "pending"]
    outcomes = [stage.ledger.replays(r.message_id)[0].outcome for r, _ in begun]
    assert outcomes == [Outcome.SUCCEEDED, None, Outcome.RETURNED, Outcome.FAILED]
    assert stage.ledger.record_outcomes([]) == []


def test_the_story_keeps_the_error_of_every_attempt(stage: Stage) -> None:
    (message_id,) = stage.store()
    for error in ("429", "503", "401"):
        begun = stage.ledger.begin_replay(message_id, actor="ann", max_retries=None)
        stage.fail([begun], "server_error", error_message=error)
    replays = stage.ledger.replays(message_id)
    assert [(r.number, r.error) for r in replays] == [(1, "429"), (2, "503"), (3, "401")]
    assert [r.category for r in replays] == ["rate_limit", "server_error", "server_error"]
    assert stage.ledger.get(message_id).state is State.PARKED
    again = stage.ledger.begin_replay(message_id, actor="ann", max_retries=None)
    stage.close([again])
    assert stage.ledger.replays(message_id)[-1].error is None
    assert stage.ledger.get(message_id).state is State.RESOLVED
