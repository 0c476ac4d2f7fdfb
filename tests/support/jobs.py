"""Jobs and schedules for tests: a ledger whose clock the test holds."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import time_machine

from dlq.job import Choice, Job, JobOptions, NewJob
from dlq.ledger import ReplayRules, open_ledger
from dlq.ledger.base import Arrival, DeadLetter, Ledger, Replay
from dlq.ledger.books import Claim
from dlq.outcome import OutcomeReport
from dlq.pace import Limit, Limits
from dlq.states import Outcome
from tests.support.ledger import an_arrival, failed_again

T0 = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
UNLIMITED = Limits(others=Limit(10_000.0, 10_000))

Begun = tuple[Replay, DeadLetter]


class Stage:
    """A ledger, and the time of day, which passes only when told to."""

    def __init__(self, ledger: Ledger, clock: time_machine.Traveller) -> None:
        self.ledger = ledger
        self._clock = clock

    @property
    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC)

    def wait(self, seconds: float) -> None:
        self._clock.shift(seconds)

    # --- dead letters ---

    def store(self, count: int = 1, **fields: Any) -> list[str]:
        """So many dead letters alike. Returns: their ids, in order of arrival."""
        return self.store_each([fields] * count)

    def store_each(self, each: Sequence[dict[str, Any]]) -> list[str]:
        defaults = {"failed_at": self.now - dt.timedelta(minutes=5)}
        return [
            r.message_id for r in self.ledger.ingest([an_arrival(**defaults | f) for f in each])
        ]

    # --- jobs ---

    def job(self, chosen: str | Sequence[str] = "state:dlq", **options: Any) -> Job:
        choice = (
            Choice(where=chosen) if isinstance(chosen, str) else Choice(message_ids=tuple(chosen))
        )
        new = NewJob(choice, JobOptions(**options), "ann")
        return self.ledger.jobs.create(new, now=self.now)

    def step(self, job: Job) -> Claim:
        """Advance until something is begun, or there is nothing to do just now."""
        for _ in range(200):
            claim = self.ledger.jobs.advance(job.job_id, now=self.now)
            self.ledger.confirm_replays([replay.replay_id for replay, _ in claim.begun])
            if claim.begun or claim.wait_s != 0:
                return claim
        raise AssertionError("200 steps that sent nothing, each asking for another at once")

    def sent(self, job: Job) -> list[str]:
        """The ids that one step sends."""
        return ids_of(self.step(job).begun)

    def look(self, job: Job) -> Job:
        return self.ledger.jobs.get(job.job_id)

    # --- outcomes ---

    def close(self, begun: Sequence[Begun], outcome: Outcome = Outcome.SUCCEEDED) -> None:
        reports = [
            OutcomeReport(
                message_id=replay.message_id,
                replay_id=replay.replay_id,
                outcome=outcome,
                worker="w",
            )
            for replay, _ in begun
        ]
        assert all(self.ledger.record_outcomes(reports))

    def fail(self, begun: Sequence[Begun], category: str = "not_found", **fields: Any) -> None:
        """Their worker reports that they failed again."""
        self.ledger.ingest([self._failed(one, category, fields) for one in begun])

    def _failed(self, begun: Begun, category: str, fields: dict[str, Any]) -> Arrival:
        replay, letter = begun
        story: dict[str, Any] = {
            "error_type": letter.message.error_type,
            "payload": letter.message.payload,
            "failed_at": self.now,
            "category": category,
        }
        return failed_again(replay.message_id, replay.replay_id, **story | fields)


def ids_of(begun: Sequence[Begun]) -> list[str]:
    return [replay.message_id for replay, _ in begun]


@contextlib.contextmanager
def stages(ledger_url: str) -> Iterator[Callable[..., Stage]]:
    """Makes stages on one database, by rules that are unlimited where not given."""
    with time_machine.travel(T0, tick=False) as clock, contextlib.ExitStack() as opened:

        def make(**rules: Any) -> Stage:
            ledger = open_ledger(ledger_url, rules=ReplayRules(**{"limits": UNLIMITED} | rules))
            opened.callback(ledger.close)
            return Stage(ledger, clock)

        yield make
