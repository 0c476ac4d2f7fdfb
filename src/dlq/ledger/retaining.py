"""Retention on an SQL database: looks in reads, lets go in small writes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Sequence

from sqlalchemy import Connection

from dlq.keeping import Keep, Loss, RetentionRules
from dlq.ledger import ageing, purging, queries, retention, tally
from dlq.ledger.database import Database
from dlq.ledger.retention import DlqWalk, Due, SettledWalk
from dlq.ledger.retention_book import AgeOutlook, Step, Survey
from dlq.ledger.schema import DELETED
from dlq.query import Filter
from dlq.states import State

LetGo = Callable[[Connection, list[Due]], int]


class SqlRetention:
    """`dlq.ledger.retention_book.Retention`; its docstrings are there."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def sweep(self, rules: RetentionRules, *, now: dt.datetime) -> Iterator[Step]:
        oldest = self._database.read(lambda c: ageing.oldest_by_cause(c, rules.dlq))
        yield from self._walk(
            DlqWalk(oldest, now), Loss.DLQ, lambda c, due: retention.expire(c, due, now=now)
        )
        yield from self._walk(
            SettledWalk(State.RESOLVED, rules.resolved, now),
            Loss.RESOLVED,
            lambda c, due: retention.expire_resolved(c, due, now=now),
        )
        if rules.history.others is not None:
            yield from self._forget_records(now - rules.history.others)
        yield from self._walk(
            SettledWalk(DELETED, rules.history, now), Loss.HISTORY, retention.forget
        )

    def _walk(self, walk: DlqWalk | SettledWalk, loss: Loss, let_go: LetGo) -> Iterator[Step]:
        while not walk.is_over:
            due = self._database.read(walk.look)
            yield Step(loss, self._let_go(let_go, due) if due else 0)

    def _let_go(self, let_go: LetGo, due: list[Due]) -> int:
        return self._database.write(lambda c: let_go(c, due))

    def _forget_records(self, before: dt.datetime) -> Iterator[Step]:
        for some in (retention.forget_job, retention.forget_audit):
            while self._forget_some(some, before):
                yield Step(Loss.HISTORY, 0)

    def _forget_some(
        self, some: Callable[[Connection, dt.datetime], bool], before: dt.datetime
    ) -> bool:
        return self._database.write(lambda c: some(c, before))

    def outlook(self, keep: Keep, *, now: dt.datetime, within: dt.timedelta) -> AgeOutlook:
        return self._database.read(lambda c: ageing.outlook(c, keep, now=now, within=within))

    def survey(self, where: Filter, *, now: dt.datetime) -> Survey:
        purging.check_states(where)
        up_to = self._database.read(queries.newest_id)
        surveying = purging.Surveying(where, now, up_to)
        while not surveying.is_over:
            self._database.read(surveying.look)
        return self._database.read(lambda c: purging.told(c, surveying))

    def purge(
        self, row_ids: Sequence[int], states: Collection[State], *, actor: str, now: dt.datetime
    ) -> int:
        return self._database.write(
            lambda c: purging.purge(c, row_ids, states, actor=actor, now=now)
        )

    def forget_hours(self, before: dt.datetime) -> None:
        self._database.write(lambda c: tally.forget_hours(c, before))
