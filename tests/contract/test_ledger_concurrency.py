"""The ledger's contract, on SQLite and PostgreSQL: many callers at once."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dlq.errors import IllegalTransition
from dlq.job import Choice, ItemStatus, JobOptions, JobState, NewJob
from dlq.ledger import ReplayRules, open_ledger
from dlq.ledger.base import DeadLetter, Disposition, Ledger, Replay
from dlq.ledger.books import Planned
from dlq.outcome import OutcomeReport
from dlq.pace import Limit, Limits
from dlq.policy import Decision, Kind
from dlq.query import Filter, where
from dlq.states import Outcome, State
from tests.support.ledger import (
    A_MOMENT,
    RETRY_KEY,
    an_arrival,
    brought_back,
    failed_again,
    now,
    replaying,
    stored,
)

CALLERS = 8


@pytest.fixture
def ledgers(ledger_url: str) -> Iterator[tuple[Ledger, Ledger]]:
    """Two managers on one database."""
    opened = open_ledger(ledger_url), open_ledger(ledger_url)
    yield opened
    for one in opened:
        one.close()


def _at_once(work: Callable[[int], Any], callers: int = CALLERS) -> list[Any]:
    """Run `work(n)` in as many threads, started together. Returns: results, or errors."""
    barrier = threading.Barrier(callers)

    def run(number: int) -> Any:
        barrier.wait(10)
        try:
            return work(number)
        except Exception as error:
            return error

    with ThreadPoolExecutor(callers) as pool:
        return list(pool.map(run, range(callers)))


def test_of_many_replays_at_once_exactly_one_begins(ledgers: tuple[Ledger, Ledger]) -> None:
    message_id = stored(ledgers[0])

    def begin(number: int) -> Any:
        return ledgers[number % 2].begin_replay(
            message_id, actor=str(number), routing_key=RETRY_KEY, max_retries=None
        )

    results = _at_once(begin)
    refused = [r for r in results if isinstance(r, IllegalTransition)]
    assert len(refused) == CALLERS - 1, results
    (replay,) = ledgers[1].replays(message_id)
    assert ledgers[1].get(message_id).replay_count == 1
    assert [e.replay_id for e in ledgers[0].history(message_id)] == [None, replay.replay_id]


def test_no_replay_is_leased_twice_at_a_time(ledgers: tuple[Ledger, Ledger]) -> None:
    results = ledgers[0].ingest([an_arrival() for _ in range(40)])
    for result in results:
        replaying(ledgers[0], result.message_id)
    taken = _at_once(lambda n: ledgers[n % 2].lease(f"w{n}", limit=5, ttl_s=60))
    replays = [lease.replay.replay_id for leases in taken for lease in leases]
    assert len(replays) == len(set(replays)) == 40
    assert all(len(leases) == 5 for leases in taken)


def test_overlapping_batches_at_once_store_each_message_once(
    ledgers: tuple[Ledger, Ledger],
) -> None:
    ids = [f"m-{n}" for n in range(60)]

    def ingest(number: int) -> list[Disposition]:
        order = ids if number % 2 else ids[::-1]  # opposite orders: on PostgreSQL they deadlock
        results = ledgers[number % 2].ingest([an_arrival(i) for i in order])
        return [result.disposition for result in results]

    found = _at_once(ingest, callers=4)
    assert [d for one in found for d in one].count(Disposition.STORED) == 60
    assert ledgers[0].count(Filter()) == 60


def test_a_duplicate_cannot_slip_in_beside_a_delete(ledgers: tuple[Ledger, Ledger]) -> None:
    for _ in range(5):
        message_id = stored(ledgers[0])

        def race(number: int, message_id: str = message_id) -> Any:
            if number == 0:
                return ledgers[0].delete(message_id, actor="operator")
            return ledgers[1].ingest([an_arrival(message_id)])[0].disposition

        assert _at_once(race, callers=3) == [None, "duplicate", "duplicate"]
    assert ledgers[0].count(where(states=tuple(State))) == 0


def test_of_many_outcomes_at_once_exactly_one_counts(ledgers: tuple[Ledger, Ledger]) -> None:
    message_id = stored(ledgers[0])
    replay_id = replaying(ledgers[0], message_id)

    def close(number: int) -> bool:
        if number % 2:
            return brought_back(ledgers[1], now() + A_MOMENT, 10) == 1
        (result,) = ledgers[0].ingest([failed_again(message_id, replay_id)])
        return result.disposition is Disposition.FAILED_AGAIN

    assert _at_once(close).count(True) == 1
    assert len(ledgers[0].history(message_id)) == 3
    (replay,) = ledgers[0].replays(message_id)
    assert replay.outcome in (Outcome.FAILED, Outcome.RETURNED)


def test_abandon_and_confirm_at_once_do_not_both_win(ledgers: tuple[Ledger, Ledger]) -> None:
    for _ in range(5):
        message_id = stored(ledgers[0])
        replay_id = replaying(ledgers[0], message_id, confirmed=False)

        def race(number: int, replay_id: str = replay_id) -> None:
            if number:
                ledgers[1].confirm_replay(replay_id)
            else:
                ledgers[0].abandon_replay(replay_id, "refused")

        assert _at_once(race, callers=2) == [None, None]
        confirmed = [r for r in ledgers[0].replays(message_id) if r.confirmed_at is not None]
        state = ledgers[0].get(message_id).state
        assert (state, len(confirmed)) in ((State.REPLAYING, 1), (State.PENDING, 0))


def test_readers_read_while_one_writes(ledgers: tuple[Ledger, Ledger]) -> None:
    written = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            for _ in range(20):
                ledgers[0].ingest([an_arrival() for _ in range(20)])
            written.set()
            return 0
        reads = 0
        while not written.is_set() or reads == 0:
            counts = ledgers[number % 2].stats()
            assert counts.in_dlq % 20 == 0, "a batch is seen whole or not at all"
            assert counts.in_dlq == counts.by_state[State.PENDING]
            reads += 1
        return reads

    results = _at_once(work, callers=4)
    assert results[0] == 0
    assert all(isinstance(reads, int) and reads > 0 for reads in results[1:]), results


# --- jobs --------------------------------------------------------------------------------

FAST = ReplayRules(replay_budget=100, concurrency=20, limits=Limits(others=Limit(10_000.0, 10_000)))


@pytest.fixture
def fast_ledgers(ledger_url: str) -> Iterator[tuple[Ledger, Ledger]]:
    opened = open_ledger(ledger_url, rules=FAST), open_ledger(ledger_url, rules=FAST)
    yield opened
    for one in opened:
        one.close()


def _job(ledger: Ledger, where_text: str = "state:dlq", **options: Any) -> str:
    new = NewJob(Choice(where=where_text), JobOptions(canary=0, **options), "ann")
    return ledger.jobs.create(new, now=now()).job_id


def test_many_who_advance_one_job_begin_each_dead_letter_once(
    fast_ledgers: tuple[Ledger, Ledger],
) -> None:
    first, _ = fast_ledgers
    first.ingest([an_arrival(error_type=f"p{n % 3}") for n in range(200)])
    job_id = _job(first)
    begun: list[str] = []
    until = time.monotonic() + 60

    def advance(number: int) -> None:
        ledger = fast_ledgers[number % 2]
        while first.jobs.get(job_id).state is JobState.RUNNING and time.monotonic() < until:
            claim = ledger.jobs.advance(job_id, now=now())
            begun.extend(replay.message_id for replay, _ in claim.begun)
            ledger.confirm_replays([replay.replay_id for replay, _ in claim.begun])
            ledger.record_outcomes([_succeeded(replay) for replay, _ in claim.begun])

    assert _at_once(advance, callers=4) == [None] * 4
    assert len(begun) == len(set(begun)) == 200
    job = first.jobs.get(job_id)
    assert job.state is JobState.FINISHED
    assert job.counts[ItemStatus.SUCCEEDED] == 200


def test_two_jobs_of_the_same_dead_letters_send_each_once(
    fast_ledgers: tuple[Ledger, Ledger],
) -> None:
    first, second = fast_ledgers
    first.ingest([an_arrival() for _ in range(40)])
    jobs = [_job(first, concurrency=40), _job(second, concurrency=40)]
    claims = _at_once(lambda n: fast_ledgers[n % 2].jobs.advance(jobs[n % 2], now=now()), 4)
    ids = [replay.message_id for claim in claims for replay, _ in claim.begun]
    assert len(ids) == len(set(ids)) > 0, claims


def test_two_schedules_share_the_places_of_a_provider(
    fast_ledgers: tuple[Ledger, Ledger],
) -> None:
    first, _ = fast_ledgers
    first.ingest([an_arrival() for _ in range(60)])
    decision = Decision(Kind.REPLAY, "r", now() - A_MOMENT, "now")
    planned = [Planned(due, decision) for due in first.schedule.undecided(100)]
    first.schedule.plan(planned, now=now())
    due = [(one, "r") for one in first.schedule.due(now(), limit=100)["spotify"]]
    claims = _at_once(lambda n: fast_ledgers[n % 2].schedule.claim("spotify", due, now=now()))
    ids = [replay.message_id for claim in claims for replay, _ in claim.begun]
    assert len(ids) == len(set(ids)) == FAST.concurrency, claims


def _succeeded(replay: Replay, outcome: Outcome = Outcome.SUCCEEDED) -> OutcomeReport:
    return OutcomeReport(
        message_id=replay.message_id, replay_id=replay.replay_id, outcome=outcome, worker="w"
    )


def test_jobs_failures_and_outcomes_at_once_do_not_block_each_other(
    fast_ledgers: tuple[Ledger, Ledger], caplog: pytest.LogCaptureFixture
) -> None:
    """Batches that touch several providers in opposite orders, while jobs pass their gates."""
    caplog.set_level("INFO", logger="dlq.ledger.database")
    first, second = fast_ledgers
    types = ("lastfm", "musicbrainz", "spotify")
    first.ingest([an_arrival(error_type=types[n % 3], category="auth") for n in range(150)])
    jobs = [_job(first, f"error_type:{name}", concurrency=50) for name in types]
    jobs += [_job(second, concurrency=50)]
    handed: queue.SimpleQueue[list[tuple[Replay, DeadLetter]]] = queue.SimpleQueue()
    until = time.monotonic() + 6

    def work(number: int) -> int:
        ledger, done = fast_ledgers[number % 2], 0
        rng = random.Random(number)
        while time.monotonic() < until:
            if number < 3:
                for job_id in rng.sample(jobs, len(jobs)):
                    claim = ledger.jobs.advance(job_id, now=now())
                    handed.put(claim.begun)
                    done += len(claim.begun)
                    time.sleep(0.005)  # as the runner: on SQLite one writes at a time
                continue
            begun = [one for _ in range(4) for one in _taken(handed)]
            rng.shuffle(begun)
            half = len(begun) // 2
            ledger.record_outcomes([_succeeded(replay) for replay, _ in begun[:half]])
            ledger.ingest(
                [
                    failed_again(
                        replay.message_id,
                        replay.replay_id,
                        error_type=letter.message.error_type,
                        category=rng.choice(["timeout", "rate_limit", "not_found", "auth"]),
                    )
                    for replay, letter in begun[half:]
                ]
            )
            ledger.providers.mend(rng.choice(types), actor="ann", now=now())
            done += len(begun)
        return done

    results = _at_once(work, callers=6)
    assert all(isinstance(done, int) for done in results), results
    assert sum(results[:3]) > 0
    for job_id in jobs:
        job = first.jobs.get(job_id)
        assert sum(job.counts.values()) == job.total
    assert "Two writers met" not in caplog.text


def _taken(handed: queue.SimpleQueue[Any]) -> list[Any]:
    try:
        return list(handed.get(timeout=0.05))
    except queue.Empty:
        return []
