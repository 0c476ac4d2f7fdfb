"""The ledger on an SQL database: one method, one transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence

from sqlalchemy import Connection

from dlq.errors import LedgerUnavailable
from dlq.ledger import (
    audits,
    dictionary,
    edits,
    ingest,
    leases,
    outcomes,
    providers,
    queries,
    removal,
    replays,
    summaries,
)
from dlq.ledger.base import (
    Arrival,
    AuditEntry,
    DeadLetter,
    Edit,
    Edited,
    HistoryEntry,
    Ingested,
    Lease,
    LedgerStats,
    OutcomeCounts,
    Page,
    Replay,
)
from dlq.ledger.bookkeeping import SqlJobs, SqlProviders, SqlSchedule
from dlq.ledger.database import Database
from dlq.ledger.grouping import SqlGroups
from dlq.ledger.iteration import iterate
from dlq.ledger.moves import history_of, lock
from dlq.ledger.retaining import SqlRetention
from dlq.ledger.rules import ReplayRules
from dlq.ledger.schema import replays as replay_rows
from dlq.outcome import OutcomeReport
from dlq.query import Filter
from dlq.states import Outcome


class SqlLedger:
    """`dlq.ledger.base.Ledger` on SQLite or PostgreSQL; its docstrings are there.

    Args:
        rules: by which replays are begun and closed.
    """

    def __init__(self, database: Database, *, rules: ReplayRules) -> None:
        self._database = database
        self._rules = rules
        self.jobs = SqlJobs(database, rules)
        self.schedule = SqlSchedule(database, rules)
        self.providers = SqlProviders(database, rules)
        self.groups = SqlGroups(database)
        self.retention = SqlRetention(database)

    # --- what comes in ---

    def ingest(self, arrivals: Sequence[Arrival]) -> list[Ingested]:
        if not arrivals:
            return []
        return self._database.write(lambda c: ingest.ingest(c, arrivals, rules=self._rules))

    def settled(self, rows: Sequence[int]) -> None:
        if rows:
            self._database.write(lambda c: ingest.settle(c, rows))

    # --- what is there ---

    def get(self, message_id: str) -> DeadLetter:
        return self._database.read(lambda c: queries.get(c, message_id))

    def page(
        self, where: Filter, *, limit: int, offset: int = 0, newest_first: bool = False
    ) -> list[DeadLetter]:
        return self._database.read(
            lambda c: queries.page(c, where, limit=limit, offset=offset, newest_first=newest_first)
        )

    def iterate(self, where: Filter, *, batch: int = 500) -> Iterator[DeadLetter]:
        return iterate(self._database, where, batch=batch)

    def scroll(
        self, where: Filter, *, limit: int, cursor: str | None = None, newest_first: bool = False
    ) -> Page:
        return self._database.read(
            lambda c: queries.scroll(
                c, where, limit=limit, cursor=cursor, newest_first=newest_first
            )
        )

    def count(self, where: Filter) -> int:
        return self._database.read(lambda c: queries.count(c, where))

    def history(self, message_id: str) -> list[HistoryEntry]:
        return self._database.read(lambda c: history_of(c, message_id))

    def replays(self, message_id: str) -> list[Replay]:
        return self._database.read(lambda c: replays.replays_of(c, message_id))

    def stats(self) -> LedgerStats:
        return self._database.read(summaries.stats)

    def ages(self, quantiles: Sequence[float], now: dt.datetime) -> list[float]:
        return self._database.read(lambda c: summaries.ages(c, quantiles, now))

    # --- replays ---

    def begin_replay(
        self,
        message_id: str,
        *,
        actor: str,
        max_retries: int | None,
        routing_key: str | None = None,
    ) -> tuple[Replay, DeadLetter]:
        order = replays.Order(actor, max_retries=max_retries, routing_key=routing_key)

        def work(c: Connection) -> tuple[Replay, DeadLetter]:
            row, now = lock(c, message_id), _now()
            (begun,) = replays.begin(c, [row], order, now=now)
            providers.spend(c, row.error_type, 1, limits=self._rules.limits, now=now)
            return begun

        return self._database.write(work)

    def confirm_replay(self, replay_id: str) -> None:
        self.confirm_replays([replay_id])

    def confirm_replays(self, replay_ids: Sequence[str]) -> None:
        if replay_ids:
            self._database.write(lambda c: replays.confirm(c, replay_ids))

    def abandon_replay(self, replay_id: str, reason: str, *, for_now: bool = False) -> None:
        self._database.write(lambda c: replays.abandon(c, replay_id, reason, for_now=for_now))

    def unconfirmed_replays(
        self, before: dt.datetime, limit: int
    ) -> list[tuple[Replay, DeadLetter]]:
        return self._database.read(lambda c: replays.unconfirmed(c, before, limit))

    def record_outcomes(self, reports: Sequence[OutcomeReport]) -> list[str | None]:
        if not reports:
            return []
        return self._database.write(lambda c: outcomes.record(c, reports, rules=self._rules))

    def close_overdue(self, before: dt.datetime, limit: int, outcome: Outcome) -> list[str]:
        return self._database.write(
            lambda c: outcomes.close_overdue(c, before, limit, outcome, rules=self._rules)
        )

    def outcomes_by_error_type(self) -> dict[str, OutcomeCounts]:
        return self._database.read(lambda c: outcomes.outcome_counts(c, replay_rows.c.error_type))

    # --- edits ---

    def edit_payload(
        self,
        message_id: str,
        make: Callable[[DeadLetter], Edited],
        *,
        actor: str,
        reason: str,
        edit_count: int | None,
    ) -> DeadLetter:
        return self._database.write(
            lambda c: edits.edit(
                c, message_id, make, actor=actor, reason=reason, edit_count=edit_count
            )
        )

    def edits(self, message_id: str) -> list[Edit]:
        return self._database.read(lambda c: edits.edits_of(c, message_id))

    # --- leases ---

    def lease(
        self, worker: str, *, limit: int, ttl_s: float, error_types: Sequence[str] = ()
    ) -> list[Lease]:
        return self._database.write(
            lambda c: leases.lease(c, worker, limit=limit, ttl_s=ttl_s, error_types=error_types)
        )

    def extend_lease(self, lease_id: str, ttl_s: float) -> Lease:
        return self._database.write(lambda c: leases.extend(c, lease_id, ttl_s))

    def release_lease(self, lease_id: str) -> None:
        self._database.write(lambda c: leases.release(c, lease_id))

    def leased(self, lease_id: str) -> Lease:
        return self._database.read(lambda c: leases.leased(c, lease_id))

    # --- the rest ---

    def tend(self, now: dt.datetime) -> None:
        dictionary.tend(self._database, now)

    def delete(self, message_id: str, *, actor: str) -> None:
        self._database.write(lambda c: removal.delete(c, message_id, actor=actor))

    def audit(self, entry: AuditEntry) -> None:
        self._database.write(lambda c: audits.record(c, entry))

    def audits(self, *, limit: int = 100) -> list[AuditEntry]:
        return self._database.read(lambda c: audits.newest(c, limit))

    def ping(self) -> None:
        self._database.prove(audits.beat)
        if (trouble := self._database.trouble) is not None:
            raise LedgerUnavailable(trouble)

    def close(self) -> None:
        self._database.close()


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
