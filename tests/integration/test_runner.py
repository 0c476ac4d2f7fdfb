"""The runner and its scheduler on a real ledger, embedded: jobs and policies run by themselves."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from dlq.errors import PublishNacked
from dlq.job import Choice, ItemStatus, Job, JobOptions, JobState, NewJob
from dlq.ledger import ReplayRules, open_ledger
from dlq.ledger.base import Ledger
from dlq.manager.handover import HandOver
from dlq.manager.metrics import Metrics
from dlq.manager.runner import FULL_FOR, Runner
from dlq.manager.scheduler import Scheduler
from dlq.message import WireMessage
from dlq.outcome import OutcomeReport
from dlq.pace import Limit, Limits
from dlq.policy import load_policies
from dlq.settings import Settings
from dlq.states import Outcome, State
from dlq.transport.base import Publisher
from tests.support.jobs import UNLIMITED
from tests.support.ledger import an_arrival, failed_again, now, stored
from tests.support.waiting import until

AN_HOUR = dt.timedelta(hours=1)


@pytest.fixture
def ledger(sqlite_ledger_url: str) -> Iterator[Ledger]:
    opened = open_ledger(sqlite_ledger_url, rules=ReplayRules(limits=UNLIMITED, concurrency=5))
    yield opened
    opened.close()


def _runner(
    ledger: Ledger,
    *,
    publisher: Publisher | None = None,
    policies: bool = False,
    worker: bool = True,
) -> Runner:
    handover = HandOver(
        ledger,
        publisher,
        Settings(),
        stopping=threading.Event(),
        on_returned=lambda: None,
    )
    scheduler = Scheduler(
        ledger, load_policies() if policies else None, worker_is_there=lambda: worker
    )
    return Runner(ledger, handover, scheduler, Metrics())


def _job(ledger: Ledger, where: str = "state:dlq", **options: Any) -> Job:
    return ledger.jobs.create(NewJob(Choice(where=where), JobOptions(**options), "ann"), now=now())


def _work(ledger: Ledger, *, fails: bool = False) -> int:
    """A worker takes what there is and says what became of it. Returns: how many."""
    leases = ledger.lease("w", limit=50, ttl_s=60)
    if fails:
        ledger.ingest(
            [
                failed_again(
                    lease.replay.message_id, lease.replay.replay_id, category="server_error"
                )
                for lease in leases
            ]
        )
    else:
        ledger.record_outcomes(
            [
                OutcomeReport(
                    message_id=lease.replay.message_id,
                    replay_id=lease.replay.replay_id,
                    outcome=Outcome.SUCCEEDED,
                    worker="w",
                )
                for lease in leases
            ]
        )
    return len(leases)


class _Refusing:
    """A broker whose retry queue is full."""

    destination = "a full queue"

    def __init__(self, *, is_up: bool = True) -> None:
        self.count = 0
        self.is_up = is_up

    def publish(self, wire: WireMessage) -> Future[None]:
        self.count += 1
        refused: Future[None] = Future()
        refused.set_exception(PublishNacked("the retry queue is full"))
        return refused

    def close(self, timeout_s: float) -> None:
        """There is nothing to let go of."""


# --- jobs --------------------------------------------------------------------------------


def test_a_job_runs_to_its_end_beside_a_worker(ledger: Ledger) -> None:
    ledger.ingest([an_arrival() for _ in range(40)])
    job = _job(ledger)
    runner = _runner(ledger)
    runner.start()
    try:
        worked = 0

        def is_over() -> bool:
            nonlocal worked
            worked += _work(ledger)
            runner.nudge()
            return ledger.jobs.get(job.job_id).state is not JobState.RUNNING

        until(is_over, 30, "the job did not end")
    finally:
        runner.stop(time.monotonic() + 5)
    ended = ledger.jobs.get(job.job_id)
    assert (ended.state, worked) == (JobState.FINISHED, 40)
    assert ended.counts[ItemStatus.SUCCEEDED] == 40


def test_a_restart_goes_on_where_the_job_was(ledger: Ledger) -> None:
    ledger.ingest([an_arrival() for _ in range(12)])
    job = _job(ledger, concurrency=5)
    assert _runner(ledger).step(now()) == 0.0
    assert _work(ledger) == 5
    another = _runner(ledger)
    while ledger.jobs.get(job.job_id).state is JobState.RUNNING:
        another.step(now())
        _work(ledger)
    assert ledger.jobs.get(job.job_id).counts[ItemStatus.SUCCEEDED] == 12


def test_the_runner_asks_again_when_the_pace_allows(sqlite_ledger_url: str) -> None:
    ledger = open_ledger(
        sqlite_ledger_url, rules=ReplayRules(limits=Limits(others=Limit(1.0)), concurrency=5)
    )
    ledger.ingest([an_arrival() for _ in range(3)])
    _job(ledger)
    runner, start = _runner(ledger), now()
    assert runner.step(start) == 0.0
    assert runner.step(start) == pytest.approx(1.0)
    assert runner.step(start + dt.timedelta(seconds=1)) == 0.0
    ledger.close()


def test_with_nothing_to_do_it_idles(ledger: Ledger) -> None:
    assert 0 < _runner(ledger).step(now()) <= 1.0


def test_a_job_that_cannot_go_on_does_not_hold_up_the_others(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stored(ledger)
    broken, sound = _job(ledger), _job(ledger)
    advance = ledger.jobs.advance

    def sometimes(job_id: str, *, now: dt.datetime) -> Any:
        if job_id == broken.job_id:
            raise ValueError("a fault of ours")
        return advance(job_id, now=now)

    monkeypatch.setattr(ledger.jobs, "advance", sometimes)
    _runner(ledger).step(now())
    assert ledger.jobs.get(sound.job_id).counts[ItemStatus.SENT] == 1
    assert broken.job_id in caplog.text


def test_a_full_queue_holds_the_job_and_keeps_its_items(ledger: Ledger) -> None:
    ids = [stored(ledger) for _ in range(3)]
    job = _job(ledger)
    broker = _Refusing()
    runner = _runner(ledger, publisher=broker)
    runner.step(now())
    found = ledger.jobs.get(job.job_id)
    assert found.counts[ItemStatus.WAITING] == 3
    assert "full" in (found.waiting_for or "")
    assert {ledger.get(message_id).state for message_id in ids} == {State.PENDING}
    wait_s = runner.step(now())
    assert 0 < wait_s <= FULL_FOR.total_seconds()
    assert broker.count == 3, "not tried again before the hold ends"


def test_nothing_is_begun_while_the_broker_is_away(ledger: Ledger) -> None:
    stored(ledger)
    job = _job(ledger)
    assert _runner(ledger, publisher=_Refusing(is_up=False)).step(now()) > 0
    assert ledger.jobs.get(job.job_id).counts[ItemStatus.WAITING] == 1


def test_stopping_ends_its_thread_in_time(ledger: Ledger) -> None:
    runner = _runner(ledger)
    runner.start()
    started = time.monotonic()
    runner.stop(started + 5)
    assert time.monotonic() - started < 3
    assert not [t for t in threading.enumerate() if t.name == "dlq-runner"]


# --- the schedule ------------------------------------------------------------------------


def test_what_the_policies_allow_is_sent_and_what_fails_waits_longer(ledger: Ledger) -> None:
    message_id = stored(ledger, category="server_error", failed_at=now() - AN_HOUR)
    stored(ledger, category="bug")
    runner = _runner(ledger, policies=True)
    runner.step(now())
    assert ledger.get(message_id).state is State.REPLAYING
    assert _work(ledger, fails=True) == 1
    later = now() + dt.timedelta(seconds=2)
    runner.step(later)
    letter = ledger.get(message_id)
    assert letter.state is State.SCHEDULED
    assert letter.next_replay_at is not None
    assert ledger.replays(message_id)[0].rule == "passing troubles"


def test_nothing_is_sent_by_itself_while_nobody_takes_it(ledger: Ledger) -> None:
    message_id = stored(ledger, category="server_error", failed_at=now() - AN_HOUR)
    _runner(ledger, policies=True, worker=False).step(now())
    assert ledger.get(message_id).state is State.SCHEDULED
    assert ledger.replays(message_id) == []


def test_a_job_may_take_what_is_scheduled(ledger: Ledger) -> None:
    message_id = stored(ledger, category="server_error", failed_at=now())
    runner = _runner(ledger, policies=True)
    runner.step(now())
    job = _job(ledger)
    runner.step(now())
    (replay,) = ledger.replays(message_id)
    assert (replay.job_id, replay.rule) in ((job.job_id, None), (None, "passing troubles"))
    assert len(ledger.replays(message_id)) == 1
