"""The ledger's contract, on SQLite and PostgreSQL: jobs."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlq.errors import IllegalTransition, InvalidInput, NotFound
from dlq.job import DEFAULT_CANARY, Choice, ItemStatus, Job, JobOptions, JobState, NewJob
from dlq.ledger.base import Ledger
from dlq.ledger.replays import MAX_REFUSALS
from dlq.pace import Limit, Limits
from dlq.states import Outcome, State
from tests.support.jobs import Stage, ids_of, stages
from tests.support.ledger import stored


@pytest.fixture
def open_stage(ledger_url: str) -> Iterator[Callable[..., Stage]]:
    with stages(ledger_url) as make:
        yield make


@pytest.fixture
def stage(open_stage: Callable[..., Stage]) -> Stage:
    return open_stage(concurrency=1000)


def _counts(stage: Stage, job: Job) -> dict[str, int]:
    """By status, without zeros."""
    found = stage.look(job)
    assert sum(found.counts.values()) == found.total
    return {status.value: count for status, count in found.counts.items() if count}


def _status(stage: Stage, job: Job) -> list[str]:
    return [item.status.value for item in stage.ledger.jobs.items(job.job_id)]


def _canary(stage: Stage, job: Job) -> list[str]:
    items = stage.ledger.jobs.items(job.job_id, limit=10_000)
    return [item.message_id for item in items if item.canary]


def _playlist(key: str | None) -> dict[str, Any]:
    return {"payload": {"playlist_id": key, "track_id": key}}


# --- choosing ----------------------------------------------------------------------------


def test_a_job_by_filter_holds_what_is_there_when_it_is_made(stage: Stage) -> None:
    spotify = stage.store(3)
    stage.store(2, error_type="lastfm")
    job = stage.job("error_type:spotify")
    assert (job.total, job.state, job.actor) == (3, JobState.RUNNING, "ann")
    assert (job.created_at, job.start_at, job.started_at) == (stage.now, stage.now, None)
    stage.store(2)
    assert stage.sent(job) == spotify
    assert _counts(stage, job) == {"sent": 3}


def test_a_job_by_ids_tells_which_are_unknown(stage: Stage) -> None:
    known = stage.store(2)
    deleted = stage.store()
    stage.ledger.delete(deleted[0], actor="ann")
    chosen = ["nobody", known[1], known[0], known[1], *deleted]
    job = stage.job(chosen)
    assert (job.total, job.unknown_ids) == (2, ("nobody", *deleted))
    assert job.choice == Choice(message_ids=tuple(chosen))
    assert stage.sent(job) == known, "in order of arrival"


def test_ten_thousand_ids_make_one_job(stage: Stage) -> None:
    ids = stage.store(10)
    job = stage.job([*(f"unknown-{n}" for n in range(9_990)), *ids])
    assert (job.total, len(job.unknown_ids)) == (10, 100)


def test_an_id_with_what_no_database_can_hold_is_found(stage: Stage) -> None:
    (message_id,) = stage.store(message_id="odd\x00id")
    job = stage.job([message_id, "other\x00\ud800"])
    assert job.total == 1
    assert len(job.unknown_ids) == 1


@pytest.mark.parametrize("where", ["state:replaying", "state:resolved", "state:all", "state:"])
def test_a_filter_of_states_that_cannot_be_replayed_is_refused(stage: Stage, where: str) -> None:
    stage.store()
    with pytest.raises(InvalidInput):
        stage.job(where)
    with pytest.raises(InvalidInput):
        stage.ledger.jobs.preview(Choice(where=where), limit=None, now=stage.now)
    assert stage.ledger.jobs.page() == []


def test_a_limit_takes_the_oldest(stage: Stage) -> None:
    ids = stage.store(5)
    assert stage.sent(stage.job(limit=2)) == ids[:2]
    assert stage.job(limit=10**9).total == 3, "what is on its way is not in the DLQ"
    assert stage.job(ids[::-1], limit=3).total == 3


def test_an_empty_job_ends_and_says_so(stage: Stage) -> None:
    job = stage.job("error_type:nobody")
    assert job.total == 0
    assert stage.step(job).begun == []
    ended = stage.look(job)
    assert (ended.state, ended.finished_at) == (JobState.FINISHED, stage.now)
    assert ended.stop_reason is not None


def test_a_preview_agrees_with_the_job_and_changes_nothing(stage: Stage) -> None:
    stage.store(3, fingerprint="f1", title="one", category="network")
    stage.store(2, error_type="lastfm", fingerprint="f2", title="two", category="auth")
    ids = [*stage.store(2, error_type="lastfm"), "nobody"]
    before = stage.ledger.stats()
    for choice in (Choice(where="state:dlq"), Choice(message_ids=tuple(ids))):
        for limit in (None, 1, 4, 100):
            preview = stage.ledger.jobs.preview(choice, limit=limit, now=stage.now)
            assert stage.ledger.stats() == before
            job = stage.job(
                choice.where or list(choice.message_ids), **({"limit": limit} if limit else {})
            )
            items = stage.ledger.jobs.items(job.job_id)
            assert preview.total == job.total == len(items)
            assert preview.message_ids == tuple(item.message_id for item in items)
            assert preview.unknown_ids == job.unknown_ids
            assert sum(preview.by_error_type.values()) == preview.total
            assert sum(n for *_, n in preview.causes) == preview.total
            assert preview.by_state == {"pending": job.total}
    whole = stage.ledger.jobs.preview(Choice(where="state:dlq"), limit=None, now=stage.now)
    assert whole.by_error_type == {"lastfm": 4, "spotify": 3}
    assert whole.causes[0] == ("f1", "one", "network", 3)


def test_a_preview_by_ids_tells_their_states(stage: Stage) -> None:
    ids = stage.store(2)
    stage.ledger.begin_replay(ids[0], actor="bob", max_retries=None)
    preview = stage.ledger.jobs.preview(Choice(message_ids=tuple(ids)), limit=None, now=stage.now)
    assert preview.by_state == {"pending": 1, "replaying": 1}


def test_a_preview_of_ten_thousand_ids(stage: Stage) -> None:
    ids = stage.store(3)
    choice = Choice(message_ids=(*ids, *(f"unknown-{n}" for n in range(9_997))))
    preview = stage.ledger.jobs.preview(choice, limit=None, now=stage.now)
    assert (preview.total, len(preview.unknown_ids)) == (3, 100)


def test_a_job_that_starts_later_waits_and_says_so(stage: Stage) -> None:
    stage.store()
    job = stage.job()
    assert stage.ledger.jobs.runnable(stage.now) == [job.job_id]
    later = stage.now + dt.timedelta(hours=2)
    new = NewJob(Choice(where="state:dlq"), JobOptions(), "ann", later, repeat_of=job.job_id)
    delayed = stage.ledger.jobs.create(new, now=stage.now)
    assert delayed.repeat_of == job.job_id
    assert "14:00:00" in (delayed.waiting_for or "")
    assert stage.ledger.jobs.runnable(stage.now) == [job.job_id]
    stage.wait(7200)
    assert stage.ledger.jobs.runnable(stage.now) == [job.job_id, delayed.job_id]


# --- the canary --------------------------------------------------------------------------


def test_the_canary_takes_one_of_each_cause_first(stage: Stage) -> None:
    many = stage.store(5, fingerprint="f1")
    few = stage.store(2, fingerprint="f2")
    (single,) = stage.store(fingerprint="f3")
    assert _canary(stage, stage.job(canary=3)) == [many[0], few[0], single]
    assert _canary(stage, stage.job(canary=5)) == [*many[:2], *few, single]
    assert len(_canary(stage, stage.job(canary=100))) == 8
    assert _canary(stage, stage.job(canary=0)) == []


def test_with_an_order_the_canary_is_the_first_ones(stage: Stage) -> None:
    many = stage.store(3, fingerprint="f1")
    stage.store(2, fingerprint="f2")
    assert _canary(stage, stage.job(canary=2, ordered_by="payload.track_id")) == many[:2]


def test_a_canary_that_comes_right_lets_the_rest_go(stage: Stage) -> None:
    ids = stage.store(120)
    job = stage.job()
    first = stage.step(job).begun
    assert ids_of(first) == ids[:DEFAULT_CANARY]
    waiting = stage.step(job)
    assert waiting.begun == []
    assert "canary" in (stage.look(job).waiting_for or "")
    stage.close(first[:8])
    stage.fail(first[8:9])
    assert stage.step(job).begun == [], "one is still on its way"
    stage.fail(first[9:])
    assert len(stage.sent(job)) == 110
    canary = stage.look(job).canary
    assert canary is not None
    assert (canary.size, canary.passed) == (10, True)
    assert canary.counts[ItemStatus.SUCCEEDED] == 8


def test_a_canary_that_fails_ends_the_job_and_says_why(stage: Stage) -> None:
    stage.store(120)
    job = stage.job()
    first = stage.step(job).begun
    stage.close(first[:7])
    stage.fail(first[7:], error_message="403 Forbidden: plan expired")
    assert stage.step(job).begun == []
    ended = stage.look(job)
    assert (ended.state, ended.finished_at) == (JobState.STOPPED, stage.now)
    for word in ("7 of 10 succeeded", "80% must", "3 failed", "3 times: 403 Forbidden"):
        assert word in (ended.stop_reason or "")
    assert _counts(stage, job) == {"succeeded": 7, "failed": 3, "cancelled": 110}
    assert ended.new_errors == {"403 Forbidden: plan expired": 3}
    assert stage.step(job).begun == []


def _watch(stage: Stage, job: Job, seconds: int) -> None:
    """Steps go on, as a manager takes them, and find nothing to send."""
    for _ in range(0, seconds, 5):
        assert stage.step(job).begun == []
        stage.wait(5)


def test_a_canary_without_outcomes_times_out(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(canary_wait_s=60)
    stage.store(5)
    job = stage.job(canary=3)
    first = stage.step(job).begun
    _watch(stage, job, 55)
    stage.close(first[:1])
    _watch(stage, job, 5)
    assert stage.look(job).state is JobState.RUNNING
    _watch(stage, job, 10)
    ended = stage.look(job)
    assert ended.state is JobState.STOPPED
    assert "does a worker consume" in (ended.stop_reason or "")
    assert _counts(stage, job) == {"succeeded": 1, "sent": 2, "cancelled": 2}
    stage.close(first[1:])
    assert _counts(stage, job) == {"succeeded": 3, "cancelled": 2}, "late outcomes still count"


def test_a_canary_is_given_its_time_again_after_nobody_looked(
    open_stage: Callable[..., Stage],
) -> None:
    stage = open_stage(canary_wait_s=60)
    stage.store(5)
    job = stage.job(canary=3)
    first = stage.step(job).begun
    _watch(stage, job, 40)
    stage.wait(1000)  # the managers were down
    _watch(stage, job, 40)
    stage.ledger.jobs.pause(job.job_id)
    stage.wait(5)
    stage.ledger.jobs.resume(job.job_id)
    _watch(stage, job, 40)
    assert stage.look(job).state is JobState.RUNNING
    stage.close(first)
    assert len(stage.sent(job)) == 2


def test_what_is_skipped_of_a_canary_does_not_count_against_it(stage: Stage) -> None:
    ids = stage.store(4)
    job = stage.job(canary=2)
    stage.ledger.delete(ids[0], actor="bob")
    first = stage.step(job).begun
    assert ids_of(first) == ids[1:2]
    stage.close(first)
    assert stage.sent(job) == ids[2:]


def test_a_canary_behind_others_of_its_entity_does_not_wait_for_them(stage: Stage) -> None:
    same = stage.store_each([{"fingerprint": "f1", **_playlist("p")}] * 3)
    (other,) = stage.store(fingerprint="f2", **_playlist("p"))
    (free,) = stage.store(fingerprint="f3", **_playlist("q"))
    job = stage.job(canary=3, skip_superseded="payload.track_id")
    assert _canary(stage, job) == [same[0], other, free]
    sent = []
    while (claim := stage.step(job)).begun:
        sent += ids_of(claim.begun)
        stage.fail(claim.begun[:0])
        for begun in claim.begun:
            stage.close([begun])
    assert sent == [same[0], free]
    assert stage.look(job).state is JobState.FINISHED
    assert _counts(stage, job) == {"succeeded": 2, "skipped": 3}


def test_a_failed_canary_of_an_entity_lets_the_next_canary_of_it_go(stage: Stage) -> None:
    stage.store_each([{"fingerprint": "f1", **_playlist("p")}] * 2)
    (other,) = stage.store(fingerprint="f2", **_playlist("p"))
    job = stage.job(canary=2, canary_share=0.5, skip_superseded="payload.track_id")
    stage.fail(stage.step(job).begun)
    assert stage.sent(job) == [other]


# --- pace --------------------------------------------------------------------------------


def _paced(rate_per_s: float, burst: int = 1, **others: Any) -> Limits:
    return Limits(others=Limit(rate_per_s, burst), **others)


def _run(stage: Stage, jobs: list[Job], seconds: float, by_hand: Any = ()) -> list[float]:
    """Advance jobs each 0.1 s, all succeed at once. Returns: when each was sent, in seconds."""
    start, sent = stage.now, []
    for _ in range(int(seconds * 10)):
        for job in jobs:
            claim = stage.step(job)
            stage.close(claim.begun)
            sent += [(stage.now - start).total_seconds()] * len(claim.begun)
        for message_id in by_hand[:1]:
            begun = stage.ledger.begin_replay(message_id, actor="bob", max_retries=None)
            stage.close([begun])
            sent.append((stage.now - start).total_seconds())
        by_hand = by_hand[1:]
        stage.wait(0.1)
    return sent


def test_a_job_keeps_the_pace_of_its_provider(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(limits=_paced(2.0, burst=3))
    stage.store(40)
    sent = _run(stage, [stage.job(canary=0)], 10)
    assert sent[:3] == [0, 0, 0]
    assert sent[3] == pytest.approx(0.5)
    for at in sent:
        assert sum(s <= at for s in sent) <= 2.0 * at + 3 + 1e-6
    assert len(sent) >= 2 * 9 + 3


def test_headroom_is_left_unused(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(limits=_paced(2.0, headroom=0.5))
    stage.store(20)
    assert len(_run(stage, [stage.job(canary=0)], 5)) == 5


def test_two_jobs_and_replays_by_hand_share_one_bucket(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(limits=_paced(2.0))
    by_hand, first, second = stage.store(4), stage.store(20), stage.store(20)
    jobs = [stage.job(first, canary=0), stage.job(second, canary=0)]
    sent = _run(stage, jobs, 10, by_hand)
    assert 18 <= len(sent) <= 21 + 1
    assert sum(s < 2 for s in sent) <= 5, "what went by hand is waited for"


def test_providers_do_not_wait_for_each_other(open_stage: Callable[..., Stage]) -> None:
    limits = Limits({"musicbrainz": Limit(1.0)}, Limit(1000.0, 100))
    stage = open_stage(limits=limits, concurrency=100)
    slow = stage.store(10, error_type="musicbrainz")
    fast = stage.store(10)
    sent = stage.sent(stage.job(canary=0))
    assert sorted(sent) == sorted([slow[0], *fast])


def test_a_job_keeps_its_own_rate(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage()
    stage.store(20)
    job = stage.job(rate="2/s", canary=0)
    claim = stage.step(job)
    assert len(claim.begun) == 1
    stage.close(claim.begun)
    blocked = stage.step(job)
    assert blocked.wait_s == pytest.approx(0.5)
    assert "2/s" in (stage.look(job).waiting_for or "")
    assert len(_run(stage, [job], 5)) == pytest.approx(9, abs=1)


def test_a_very_slow_rate_is_waited_for(stage: Stage) -> None:
    stage.store(2)
    job = stage.job(rate="1/24h")
    assert len(stage.sent(job)) == 1
    assert stage.step(job).wait_s == 86_400


def test_no_more_than_so_many_are_on_their_way(open_stage: Callable[..., Stage]) -> None:
    stage = open_stage(concurrency=3, slot_s=30)
    stage.store(10)
    job = stage.job(canary=0)
    first = stage.step(job).begun
    assert len(first) == 3
    blocked = stage.step(job)
    assert blocked.wait_s
    assert "3 that are on their way" in (stage.look(job).waiting_for or "")
    stage.close(first[:1])
    assert len(stage.sent(job)) == 1, "an outcome frees a place"
    stage.wait(31)
    assert len(stage.sent(job)) == 3, "one that never reports holds it for so long only"
    assert len(stage.sent(stage.job(canary=0, concurrency=2))) == 2


def test_a_held_job_sends_nothing_until_then(stage: Stage) -> None:
    stage.store()
    job = stage.job()
    stage.ledger.jobs.hold(job.job_id, stage.now + dt.timedelta(seconds=2), "the queue is full")
    claim = stage.step(job)
    assert (claim.begun, claim.wait_s) == ([], 2.0)
    assert stage.look(job).waiting_for == "the queue is full"
    stage.wait(2)
    assert len(stage.sent(job)) == 1
    assert stage.look(job).waiting_for is None


def test_a_provider_that_asked_for_a_pause_is_not_asked(stage: Stage) -> None:
    stage.store()
    stage.ledger.providers.slow_down("spotify", at=stage.now, retry_after_s=30, now=stage.now)
    job = stage.job()
    claim = stage.step(job)
    assert (claim.begun, claim.wait_s) == ([], 30.0)
    assert "spotify" in (stage.look(job).waiting_for or "")
    stage.wait(30)
    assert len(stage.sent(job)) == 1


# --- circuits ----------------------------------------------------------------------------


def test_a_circuit_opens_probes_doubles_and_closes(stage: Stage) -> None:
    stage.store(20)
    (other,) = stage.store(error_type="lastfm")
    job = stage.job(canary=0, concurrency=5)
    first = stage.step(job).begun
    assert other in ids_of(first) or len(first) == 5
    failing = [one for one in first if one[0].message_id != other]
    while len(failing) < 5:
        stage.fail(failing, "server_error", error_message="503")
        more = [o for o in stage.step(job).begun if o[0].message_id != other]
        if not more:
            break
        failing = more
    stage.fail([f for f in failing if _is_open(stage, f[0].message_id)], "server_error")
    _drain(stage, job, other)
    provider = stage.ledger.providers.get("spotify", stage.now)
    assert provider.circuit.state == "open"
    for cooldown_s in (60, 120, 240):
        claim = stage.step(job)
        assert claim.begun == []
        assert "circuit is open" in (stage.look(job).waiting_for or "")
        provider = stage.ledger.providers.get("spotify", stage.now)
        assert provider.circuit.probe_at == stage.now + dt.timedelta(seconds=cooldown_s)
        stage.wait(cooldown_s)
        probe = stage.step(job).begun
        assert len(probe) == 1, "a single probe"
        assert stage.step(job).begun == []
        stage.fail(probe, "timeout", error_message="timed out")
    stage.wait(480)
    stage.close(stage.step(job).begun)
    closed = stage.ledger.providers.get("spotify", stage.now)
    assert (closed.circuit.state, closed.last_error) == ("closed", None)
    assert len(stage.sent(job)) == 5


def _is_open(stage: Stage, message_id: str) -> bool:
    return stage.ledger.get(message_id).state is State.REPLAYING


def _drain(stage: Stage, job: Job, other: str) -> None:
    """Send what still may go: `other` succeeds, the rest meets a server error."""
    while begun := stage.step(job).begun:
        stage.close([b for b in begun if b[0].message_id == other])
        stage.fail([b for b in begun if b[0].message_id != other], "server_error")


def test_a_probe_whose_outcome_is_lost_is_followed_by_another(stage: Stage) -> None:
    stage.store(10)
    job = stage.job(canary=0, concurrency=5)
    stage.fail(stage.step(job).begun, "network")
    stage.wait(60)
    assert len(stage.sent(job)) == 1
    stage.wait(59)
    assert stage.sent(job) == []
    stage.wait(1)
    assert len(stage.sent(job)) == 1


def test_an_answer_that_is_no_fault_of_the_provider_closes_a_half_open_circuit(
    stage: Stage,
) -> None:
    stage.store(10)
    job = stage.job(canary=0, concurrency=5)
    stage.fail(stage.step(job).begun, "network")
    stage.wait(60)
    stage.fail(stage.step(job).begun, "not_found")
    assert stage.ledger.providers.get("spotify", stage.now).circuit.state == "closed"


def test_an_answer_between_begins_the_row_of_failures_anew(stage: Stage) -> None:
    stage.store(20)
    job = stage.job(canary=0, concurrency=1)
    for category in ("network", "timeout", "network", "auth", "not_found", "network"):
        stage.fail(stage.step(job).begun, category)
    circuit = stage.ledger.providers.get("spotify", stage.now).circuit
    assert (circuit.state, circuit.failures) == ("closed", 1)


# --- order and what is superseded --------------------------------------------------------


def test_of_one_key_each_waits_for_the_outcome_of_the_one_before(stage: Stage) -> None:
    p = stage.store_each([_playlist("p")] * 3)
    q = stage.store_each([_playlist("q")] * 2)
    free = stage.store_each([_playlist(None)] * 2)
    job = stage.job(ordered_by="payload.playlist_id")
    assert job.state is JobState.PREPARING
    first = stage.step(job).begun
    assert ids_of(first) == [p[0], q[0], *free]
    assert stage.step(job).begun == []
    assert stage.look(job).state is JobState.RUNNING
    stage.close([b for b in first if b[0].message_id == p[0]])
    second = stage.step(job).begun
    assert ids_of(second) == [p[1]]
    stage.fail(second)
    assert stage.sent(job) == [p[2]], "an outcome of any kind will do"
    stage.close([b for b in first if b[0].message_id != p[0]])
    assert stage.sent(job) == [q[1]]


def test_order_goes_on_past_what_was_deleted(stage: Stage) -> None:
    ids = stage.store_each([_playlist("p")] * 3)
    job = stage.job(ordered_by="payload.playlist_id")
    stage.ledger.delete(ids[0], actor="bob")
    assert stage.sent(job) == [ids[1]]


def test_order_holds_across_an_abandoned_hand_over(stage: Stage) -> None:
    ids = stage.store_each([_playlist("p")] * 2)
    job = stage.job(ordered_by="payload.playlist_id")
    while (claim := stage.ledger.jobs.advance(job.job_id, now=stage.now)).wait_s == 0:
        if claim.begun:
            break
    ((replay, _),) = claim.begun
    stage.ledger.abandon_replay(replay.replay_id, "full")
    assert stage.sent(job) == [ids[0]]


def test_order_of_one_key_holds_across_providers(stage: Stage) -> None:
    ids = stage.store_each(
        [_playlist("p") | {"error_type": name} for name in ("spotify", "lastfm", "spotify")]
    )
    job = stage.job(ordered_by="payload.playlist_id")
    sent = []
    while (claim := stage.step(job)).begun:
        sent += ids_of(claim.begun)
        assert len(claim.begun) == 1
        stage.close(claim.begun)
    assert sent == ids


def _by_hand(stage: Stage, message_id: str) -> None:
    stage.close([stage.ledger.begin_replay(message_id, actor="bob", max_retries=None)])


def test_what_failed_before_a_newer_success_is_skipped_and_said_so(stage: Stage) -> None:
    old = stage.store_each([_playlist("p"), _playlist("q")])
    (newer,) = stage.store(**_playlist("p"))
    job = stage.job(old, skip_superseded="payload.track_id")
    _by_hand(stage, newer)
    assert stage.sent(job) == [old[1]]
    assert _status(stage, job) == ["skipped", "sent"]
    found = stage.look(job)
    (reason,) = found.skipped_because
    assert "superseded" in reason
    assert "payload.track_id" in reason
    (item, _) = stage.ledger.jobs.items(job.job_id)
    assert (item.done_at, item.reason) == (stage.now, reason)
    assert stage.ledger.get(old[0]).state is State.PENDING


def test_a_success_before_the_failure_supersedes_nothing(stage: Stage) -> None:
    (earlier,) = stage.store(**_playlist("p"))
    _by_hand(stage, earlier)
    stage.wait(60)
    failed = stage.store(failed_at=stage.now, **_playlist("p"))
    stage.wait(60)
    assert stage.sent(stage.job(failed, skip_superseded="payload.track_id")) == failed


def test_a_success_of_another_job_supersedes(stage: Stage) -> None:
    ids = stage.store_each([_playlist("p")] * 2)
    job = stage.job(ids[:1], skip_superseded="payload.track_id")
    other = stage.job(ids[1:])
    stage.close(stage.step(other).begun)
    stage.step(job)
    assert _status(stage, job) == ["skipped"]
    assert stage.look(job).state is JobState.FINISHED


def test_within_a_job_one_of_an_entity_goes_and_the_others_are_skipped_when_it_succeeds(
    stage: Stage,
) -> None:
    ids = stage.store_each([_playlist("p")] * 3)
    job = stage.job(skip_superseded="payload.track_id")
    first = stage.step(job).begun
    assert ids_of(first) == ids[:1]
    assert stage.step(job).begun == []
    stage.fail(first)
    second = stage.step(job).begun
    assert ids_of(second) == ids[1:2]
    stage.close(second)
    assert stage.step(job).begun == []
    assert _status(stage, job) == ["failed", "succeeded", "skipped"]


def test_a_thousand_successes_elsewhere_do_not_hold_a_job_up(stage: Stage) -> None:
    others = stage.store(1100, payload={"track_id": "x"})
    job_of_others = stage.job(others, canary=0)
    while begun := stage.step(job_of_others).begun:
        stage.close(begun)
    stage.wait(5)
    ids = stage.store_each(
        [_playlist("p")],
    )
    assert stage.sent(stage.job(ids, skip_superseded="payload.track_id")) == ids


# --- what happens meanwhile --------------------------------------------------------------


def test_what_was_dealt_with_elsewhere_is_skipped_with_a_reason(stage: Stage) -> None:
    ids = stage.store(5)
    job = stage.job(canary=0)
    _by_hand(stage, ids[0])
    stage.ledger.delete(ids[1], actor="bob")
    stage.ledger.begin_replay(ids[2], actor="bob", max_retries=None)
    assert stage.sent(job) == ids[3:]
    assert stage.look(job).skipped_because == {
        "it is resolved already": 1,
        "it is deleted already": 1,
        "it is replaying already": 1,
    }


def test_a_job_whose_items_are_all_gone_ends(stage: Stage) -> None:
    ids = stage.store(30)
    job = stage.job(concurrency=2, canary=0)
    for message_id in ids:
        stage.ledger.delete(message_id, actor="bob")
    stage.step(job)
    assert stage.look(job).state is JobState.FINISHED
    assert _counts(stage, job) == {"skipped": 30}


def test_a_job_ends_when_all_has_come_back(stage: Stage) -> None:
    stage.store(2)
    job = stage.job()
    begun = stage.step(job).begun
    stage.close(begun[:1])
    claim = stage.step(job)
    assert claim.wait_s
    assert stage.look(job).state is JobState.RUNNING
    stage.close(begun[1:], Outcome.RETURNED)
    assert stage.step(job).wait_s is None
    ended = stage.look(job)
    assert (ended.state, ended.stop_reason) == (JobState.FINISHED, None)
    assert _counts(stage, job) == {"succeeded": 1, "returned": 1}
    assert stage.ledger.jobs.runnable(stage.now) == []


def _abandoned(stage: Stage, job: Job) -> None:
    for replay, _ in stage.ledger.jobs.advance(job.job_id, now=stage.now).begun:
        stage.ledger.abandon_replay(replay.replay_id, "the queue is full")


def test_an_item_that_the_broker_refused_waits_again(stage: Stage) -> None:
    ids = stage.store(2)
    job = stage.job()
    _abandoned(stage, job)
    assert _counts(stage, job) == {"waiting": 2}
    item = stage.ledger.jobs.items(job.job_id)[0]
    assert (item.replay_id, item.sent_at, item.reason) == (None, None, "the queue is full")
    assert stage.sent(job) == ids
    assert stage.ledger.jobs.items(job.job_id)[0].reason is None


def test_an_item_refused_too_often_is_given_up(stage: Stage) -> None:
    stage.store()
    job = stage.job()
    for _ in range(MAX_REFUSALS):
        assert _counts(stage, job) == {"waiting": 1}
        _abandoned(stage, job)
    assert _counts(stage, job) == {"refused": 1}
    assert stage.look(job).skipped_because == {"the queue is full": 1}
    stage.step(job)
    assert stage.look(job).state is JobState.FINISHED


def test_an_item_that_a_full_queue_refuses_is_offered_again_and_again(stage: Stage) -> None:
    stage.store()
    job = stage.job()
    for _ in range(MAX_REFUSALS + 2):
        ((replay, _),) = stage.ledger.jobs.advance(job.job_id, now=stage.now).begun
        stage.ledger.abandon_replay(replay.replay_id, "the queue is full", for_now=True)
        assert _counts(stage, job) == {"waiting": 1}


def test_what_is_abandoned_after_the_job_was_cancelled_is_cancelled(stage: Stage) -> None:
    stage.store()
    job = stage.job()
    ((replay, _),) = stage.ledger.jobs.advance(job.job_id, now=stage.now).begun
    stage.ledger.jobs.cancel(job.job_id, actor="ann", now=stage.now)
    assert _counts(stage, job) == {"sent": 1}
    stage.ledger.abandon_replay(replay.replay_id, "full")
    assert _counts(stage, job) == {"cancelled": 1}


def test_a_replay_of_a_job_is_sent_as_the_job_says(stage: Stage) -> None:
    (message_id,) = stage.store()
    job = stage.job(max_retries=7, routing_key="special.retry")
    stage.step(job)
    (replay,) = stage.ledger.replays(message_id)
    assert (replay.job_id, replay.actor) == (job.job_id, "ann")
    assert (replay.max_retries, replay.routing_key) == (7, "special.retry")
    assert stage.ledger.history(message_id)[-1].actor == "ann"
    (item,) = stage.ledger.jobs.items(job.job_id)
    assert (item.replay_id, item.sent_at) == (replay.replay_id, stage.now)


def test_a_scheduled_or_parked_one_goes_back_to_its_state_when_abandoned(ledger: Ledger) -> None:
    message_id = stored(ledger)
    replay, _ = ledger.begin_replay(message_id, actor="bob", max_retries=None)
    ledger.abandon_replay(replay.replay_id, "full")
    assert ledger.get(message_id).state is State.PENDING


# --- steering ----------------------------------------------------------------------------


def test_a_paused_job_sends_nothing_and_goes_on_when_resumed(stage: Stage) -> None:
    ids = stage.store(2)
    job = stage.job(canary=0, concurrency=1)
    begun = stage.step(job).begun
    assert stage.ledger.jobs.pause(job.job_id).state is JobState.PAUSED
    stage.close(begun)
    assert stage.step(job).begun == []
    assert stage.ledger.jobs.runnable(stage.now) == []
    assert _counts(stage, job) == {"waiting": 1, "succeeded": 1}
    assert stage.ledger.jobs.resume(job.job_id).state is JobState.RUNNING
    assert stage.sent(job) == ids[1:]


def test_a_job_paused_while_it_prepares_prepares_on_when_resumed(stage: Stage) -> None:
    ids = stage.store_each([_playlist("p")] * 2)
    job = stage.job(ordered_by="payload.playlist_id")
    stage.ledger.jobs.pause(job.job_id)
    assert stage.ledger.jobs.resume(job.job_id).state is JobState.PREPARING
    assert stage.sent(job) == ids[:1]


def test_a_cancelled_job_gives_up_what_waits(stage: Stage) -> None:
    stage.store(3)
    job = stage.job(canary=0, concurrency=1)
    begun = stage.step(job).begun
    cancelled = stage.ledger.jobs.cancel(job.job_id, actor="bob", now=stage.now)
    assert (cancelled.state, cancelled.stop_reason) == (JobState.CANCELLED, "cancelled by bob")
    assert cancelled.finished_at == stage.now
    assert _counts(stage, job) == {"sent": 1, "cancelled": 2}
    stage.close(begun)
    assert _counts(stage, job) == {"succeeded": 1, "cancelled": 2}


def test_what_is_over_cannot_be_steered(stage: Stage) -> None:
    job = stage.job("error_type:nobody")
    jobs = stage.ledger.jobs
    with pytest.raises(IllegalTransition, match="only a paused job"):
        jobs.resume(job.job_id)
    stage.step(job)
    steer: list[Callable[[str], Any]] = [
        jobs.pause,
        jobs.resume,
        lambda job_id: jobs.cancel(job_id, actor="ann", now=stage.now),
    ]
    for act in steer:
        with pytest.raises(IllegalTransition, match="repeat"):
            act(job.job_id)
        with pytest.raises(NotFound, match="no job"):
            act("nobody")
    assert stage.look(job).state is JobState.FINISHED


def test_unknown_jobs_are_not_found(stage: Stage) -> None:
    with pytest.raises(NotFound):
        stage.ledger.jobs.get("nobody")
    with pytest.raises(NotFound):
        stage.ledger.jobs.items("nobody")
    assert stage.ledger.jobs.advance("nobody", now=stage.now).begun == []


# --- looking -----------------------------------------------------------------------------


def test_jobs_are_listed_newest_first_and_by_state(stage: Stage) -> None:
    made = [stage.job("error_type:nobody") for _ in range(3)]
    stage.ledger.jobs.pause(made[1].job_id)
    jobs = stage.ledger.jobs
    assert [j.job_id for j in jobs.page()] == [j.job_id for j in made[::-1]]
    assert [j.job_id for j in jobs.page(limit=1, offset=1)] == [made[1].job_id]
    assert [j.job_id for j in jobs.page(states=[JobState.PAUSED])] == [made[1].job_id]
    counts = jobs.counts()
    assert (counts[JobState.RUNNING], counts[JobState.PAUSED]) == (2, 1)
    assert {*counts} == {*JobState}


def test_items_are_listed_by_status_with_their_new_error(stage: Stage) -> None:
    ids = stage.store(3)
    job = stage.job()
    begun = stage.step(job).begun
    stage.close(begun[:1])
    stage.fail(begun[1:2], error_message="404")
    jobs = stage.ledger.jobs
    (failed,) = jobs.items(job.job_id, status="failed")
    assert (failed.message_id, failed.error, failed.done_at) == (ids[1], "404", stage.now)
    assert [i.message_id for i in jobs.items(job.job_id, limit=1, offset=2)] == ids[2:]
    assert jobs.items(job.job_id, status="unheard of") == []


def test_rate_and_time_left_are_of_late(stage: Stage) -> None:
    stage.store(40)
    job = stage.job(canary=0, concurrency=10)
    assert stage.look(job).rate_per_s == 0
    for _ in range(2):
        begun = stage.step(job).begun
        stage.wait(5)
        stage.close(begun)
    found = stage.look(job)
    assert found.rate_per_s == pytest.approx(2.0)
    assert found.eta_s() == pytest.approx(10.0)
    stage.wait(60)
    assert stage.look(job).rate_per_s == 0
    assert stage.look(job).eta_s() is None


# --- whole jobs --------------------------------------------------------------------------

OVER = {JobState.FINISHED, JobState.STOPPED}
OPTIONS: list[dict[str, Any]] = [
    {"canary": 0},
    {"canary": 10, "canary_share": 0.1},
    {"ordered_by": "payload.playlist_id", "canary": 0},
    {"ordered_by": "payload.playlist_id", "canary": 4, "canary_share": 0.01},
    {"skip_superseded": "payload.track_id", "canary": 6, "canary_share": 0.01},
    {"skip_superseded": "payload.track_id", "ordered_by": "payload.playlist_id", "canary": 0},
    {"rate": "20/s", "concurrency": 3},
]


def _finish(stage: Stage, job: Job, rng: random.Random, *, bad: float) -> list[str]:
    """Let the job run to its end, with outcomes as chance has them. Returns: what was sent.

    A step that sends nothing either names when to ask again, or waits for an outcome.
    """
    sent: list[str] = []
    open_ones: list[Any] = []
    refused = 0
    for _ in range(20_000):
        if stage.look(job).state in OVER and not open_ones:
            return sent
        claim = stage.ledger.jobs.advance(job.job_id, now=stage.now)
        for begun in claim.begun:
            if rng.random() < 0.03 and refused < 2:
                refused += 1
                stage.ledger.abandon_replay(begun[0].replay_id, "full")
            else:
                sent.append(begun[0].message_id)
                open_ones.append(begun)
        if claim.begun or claim.wait_s == 0:
            continue
        state = stage.look(job).state
        assert claim.wait_s is not None or open_ones or state is not JobState.RUNNING
        rng.shuffle(open_ones)
        count = rng.randint(0, len(open_ones))
        closing, open_ones = open_ones[:count], open_ones[count:]
        _answer(stage, closing, rng, bad)
        # With nothing on its way only a circuit holds it up, for minutes at a time.
        stage.wait(max(claim.wait_s or 0.0, 0.5 if open_ones else 10.0))
    raise AssertionError(f"it does not end: {stage.look(job)}")


def _answer(stage: Stage, closing: list[Any], rng: random.Random, bad: float) -> None:
    good = [one for one in closing if rng.random() >= bad]
    rest = [one for one in closing if one not in good]
    stage.close(good)
    for one in rest:
        kind = rng.choice(["returned", "network", "rate_limit", "not_found", "auth"])
        if kind == "returned":
            stage.close([one], Outcome.RETURNED)
        else:
            stage.fail([one], kind, retry_after_s=rng.choice([None, 3.0]))


def _ended(stage: Stage, job: Job, sent: list[str]) -> Job:
    ended = stage.look(job)
    assert ended.state in (JobState.FINISHED, JobState.STOPPED)
    assert len(sent) == len(set(sent)), "sent twice"
    assert sum(ended.counts.values()) == ended.total
    assert ended.counts[ItemStatus.WAITING] == ended.counts[ItemStatus.SENT] == 0
    told = sum(ended.counts[s] for s in ItemStatus if s in ("succeeded", "failed", "returned"))
    assert told == len(sent)
    return ended


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 2**32),
    options=st.sampled_from(OPTIONS),
    bad=st.sampled_from([0.0, 0.3, 0.9]),
    count=st.integers(1, 40),
)
def test_any_job_ends_and_sends_each_at_most_once(
    open_stage: Callable[..., Stage], seed: int, options: dict[str, Any], bad: float, count: int
) -> None:
    stage = open_stage(concurrency=8, canary_wait_s=30)
    rng = random.Random(seed)
    ids = stage.store_each(
        [
            _playlist(rng.choice([f"{seed}-p", f"{seed}-q", f"{seed}-r", None]))
            | {
                "error_type": rng.choice(["spotify", "lastfm"]),
                "fingerprint": rng.choice(["f1", "f2", "f3"]),
            }
            for _ in range(count)
        ]
    )
    job = stage.job(ids, **options)
    _ended(stage, job, _finish(stage, job, rng, bad=bad))


@pytest.mark.parametrize("options", [OPTIONS[1], OPTIONS[4]], ids=["canary", "superseded"])
def test_a_job_of_two_thousand_ends(
    open_stage: Callable[..., Stage], options: dict[str, Any]
) -> None:
    stage = open_stage(concurrency=200, slot_s=600)
    rng = random.Random(11)
    stage.store_each([_playlist(f"p{n % 700}") for n in range(2000)])
    job = stage.job(**options)
    assert job.total == 2000
    ended = _ended(stage, job, _finish(stage, job, rng, bad=0.1))
    assert ended.state is JobState.FINISHED
