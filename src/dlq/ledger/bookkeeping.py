"""Jobs, schedule and providers on an SQL database: one method, one transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence

from sqlalchemy import update

from dlq.job import Choice, Job, JobItem, JobState, NewJob, Preview
from dlq.ledger import advance, choosing, jobs, past, providers, queries, schedule
from dlq.ledger.books import Claim, Due, Planned, Provider
from dlq.ledger.database import Database
from dlq.ledger.iteration import iterate
from dlq.ledger.rules import ReplayRules
from dlq.ledger.schema import jobs as job_rows
from dlq.policy import Past
from dlq.query import Filter

NOBODY = "none"
FOUND_AT_ONCE = 1000
PAST_AT_ONCE = 500


class SqlJobs:
    """`dlq.ledger.books.Jobs`; its docstrings are there."""

    def __init__(self, database: Database, rules: ReplayRules) -> None:
        self._database = database
        self._rules = rules

    def create(self, new: NewJob, *, now: dt.datetime) -> Job:
        where = choosing.replayable(new.choice)
        found = self._found(where, now) if where is not None and where.text_terms else None
        return self._database.write(
            lambda c: jobs.get(c, choosing.create(c, new, now=now, found=found), now)
        )

    def preview(self, choice: Choice, *, limit: int | None, now: dt.datetime) -> Preview:
        where = choosing.replayable(choice)
        if where is not None and where.text_terms:
            return choosing.preview_of(iterate(self._database, where), limit=limit)
        return self._database.read(lambda c: choosing.preview(c, choice, limit=limit, now=now))

    def _found(self, where: Filter, now: dt.datetime) -> list[int]:
        """The rows that a filter with texts means: read and compared before anything is locked."""
        up_to = self._database.read(queries.newest_id)
        found: list[int] = []
        reached = 0
        while reached < up_to:
            reached, ids = self._chosen(where, reached, up_to, now)
            found += ids
        return found

    def _chosen(
        self, where: Filter, reached: int, up_to: int, now: dt.datetime
    ) -> tuple[int, list[int]]:
        return self._database.read(
            lambda c: queries.chosen_ids(
                c, where, after_id=reached, up_to=up_to, limit=FOUND_AT_ONCE, now=now
            )
        )

    def get(self, job_id: str) -> Job:
        return self._database.read(lambda c: jobs.get(c, job_id, _now()))

    def page(
        self, *, states: Sequence[JobState] = (), limit: int = 100, offset: int = 0
    ) -> list[Job]:
        return self._database.read(
            lambda c: jobs.page(c, states=states, limit=limit, offset=offset, now=_now())
        )

    def items(
        self, job_id: str, *, status: str | None = None, limit: int = 100, offset: int = 0
    ) -> list[JobItem]:
        return self._database.read(
            lambda c: jobs.items(c, job_id, status=status, limit=limit, offset=offset)
        )

    def counts(self) -> dict[JobState, int]:
        return self._database.read(jobs.counts)

    def pause(self, job_id: str) -> Job:
        return self._database.write(lambda c: jobs.pause(c, job_id, _now()))

    def resume(self, job_id: str) -> Job:
        return self._database.write(lambda c: jobs.resume(c, job_id, _now()))

    def cancel(self, job_id: str, *, actor: str, now: dt.datetime) -> Job:
        return self._database.write(lambda c: jobs.cancel(c, job_id, actor=actor, now=now))

    def runnable(self, now: dt.datetime) -> list[str]:
        return self._database.read(lambda c: jobs.runnable(c, now))

    def advance(self, job_id: str, *, now: dt.datetime) -> Claim:
        return self._database.write(
            lambda c: advance.advance(c, job_id, rules=self._rules, now=now)
        )

    def hold(self, job_id: str, until: dt.datetime, why: str) -> None:
        held = update(job_rows).where(job_rows.c.job_id == job_id)
        self._database.write(lambda c: c.execute(held.values(hold_until=until, waiting_for=why)))


class SqlSchedule:
    """`dlq.ledger.books.Schedule`; its docstrings are there."""

    def __init__(self, database: Database, rules: ReplayRules) -> None:
        self._database = database
        self._rules = rules

    def adopt(self, digest: str | None) -> bool:
        changed = self._database.write(lambda c: schedule.adopted(c, digest or NOBODY, _now()))
        if digest is None:
            while self._database.write(lambda c: schedule.unschedule(c, _now(), PAST_AT_ONCE)):
                pass
        elif changed:
            reached: int | None = 0
            while reached is not None:
                reached = self._forget(reached)
        return changed

    def _forget(self, row_id: int) -> int | None:
        return self._database.write(lambda c: schedule.forget(c, row_id))

    def undecided(self, limit: int) -> list[Due]:
        return self._database.read(lambda c: schedule.undecided(c, limit))

    def plan(self, planned: Sequence[Planned], *, now: dt.datetime) -> None:
        if planned:
            self._database.write(lambda c: schedule.plan(c, planned, now))

    def due(self, now: dt.datetime, *, limit: int) -> dict[str, list[Due]]:
        return self._database.read(lambda c: schedule.due(c, now, limit=limit))

    def claim(self, provider: str, due: Sequence[tuple[Due, str]], *, now: dt.datetime) -> Claim:
        return self._database.write(
            lambda c: schedule.claim(c, provider, due, rules=self._rules, now=now)
        )

    def past(self, since: dt.datetime) -> Iterator[Past]:
        reached: int | None = 0
        while reached is not None:
            reached, found = self._past_after(since, reached)
            yield from found

    def _past_after(self, since: dt.datetime, row_id: int) -> tuple[int | None, list[Past]]:
        return self._database.read(lambda c: past.past(c, since, row_id=row_id, limit=PAST_AT_ONCE))


class SqlProviders:
    """`dlq.ledger.books.Providers`; its docstrings are there."""

    def __init__(self, database: Database, rules: ReplayRules) -> None:
        self._database = database
        self._rules = rules

    def all(self, now: dt.datetime) -> list[Provider]:
        return self._database.read(lambda c: providers.listed(c, now))

    def get(self, name: str, now: dt.datetime) -> Provider:
        return self._database.read(lambda c: providers.get(c, name, now))

    def slow_down(
        self, name: str, *, at: dt.datetime, retry_after_s: float | None, now: dt.datetime
    ) -> None:
        self._database.write(
            lambda c: providers.slow_down(c, name, at=at, retry_after_s=retry_after_s, now=now)
        )

    def mend(self, name: str, *, actor: str, now: dt.datetime) -> Provider:
        return self._database.write(lambda c: providers.mend(c, name, actor=actor, now=now))


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
