"""The ledger on an SQL database: one method, one transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence

from dlq.ledger import audits, ingest, leases, queries, removal, replays, summaries
from dlq.ledger.base import (
    Arrival,
    AuditEntry,
    DeadLetter,
    Filter,
    Group,
    HistoryEntry,
    Ingested,
    Lease,
    LedgerStats,
    Replay,
)
from dlq.ledger.database import Database
from dlq.ledger.moves import history_of
from dlq.ledger.schema import dead_letters
from dlq.outcome import OutcomeReport


class SqlLedger:
    """`dlq.ledger.base.Ledger` on SQLite or PostgreSQL; its docstrings are there.

    Args:
        replay_budget: failed replays after which a dead letter is parked.
    """

    def __init__(self, database: Database, *, replay_budget: int) -> None:
        self._database = database
        self._replay_budget = replay_budget

    # --- what comes in ---

    def ingest(self, arrivals: Sequence[Arrival]) -> list[Ingested]:
        if not arrivals:
            return []
        return self._database.write(
            lambda c: ingest.ingest(c, arrivals, replay_budget=self._replay_budget)
        )

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
        up_to = self._database.read(queries.newest_id)
        reached = 0
        while reached < up_to:
            reached, found = self._after(where, row_id=reached, up_to=up_to, limit=batch)
            yield from found

    def _after(
        self, where: Filter, *, row_id: int, up_to: int, limit: int
    ) -> tuple[int, list[DeadLetter]]:
        return self._database.read(
            lambda c: queries.after(c, where, row_id=row_id, up_to=up_to, limit=limit)
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

    def groups_by_error_type(self) -> list[Group]:
        return self._database.read(lambda c: summaries.groups(c, dead_letters.c.error_type))

    def groups_by_cause(self) -> list[Group]:
        return self._database.read(lambda c: summaries.groups(c, dead_letters.c.fingerprint))

    # --- replays ---

    def begin_replay(
        self, message_id: str, *, actor: str, routing_key: str, max_retries: int | None
    ) -> tuple[Replay, DeadLetter]:
        return self._database.write(
            lambda c: replays.begin(
                c, message_id, actor=actor, routing_key=routing_key, max_retries=max_retries
            )
        )

    def confirm_replay(self, replay_id: str) -> None:
        self._database.write(lambda c: replays.confirm(c, replay_id))

    def abandon_replay(self, replay_id: str, reason: str) -> None:
        self._database.write(lambda c: replays.abandon(c, replay_id, reason))

    def unconfirmed_replays(
        self, before: dt.datetime, limit: int
    ) -> list[tuple[Replay, DeadLetter]]:
        return self._database.read(lambda c: replays.unconfirmed(c, before, limit))

    def record_outcome(self, report: OutcomeReport) -> bool:
        return self._database.write(
            lambda c: replays.record(c, report, replay_budget=self._replay_budget)
        )

    def return_overdue(self, before: dt.datetime, limit: int) -> int:
        return self._database.write(
            lambda c: replays.return_overdue(c, before, limit, replay_budget=self._replay_budget)
        )

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

    def delete(self, message_id: str, *, actor: str) -> None:
        self._database.write(lambda c: removal.delete(c, message_id, actor=actor))

    def audit(self, entry: AuditEntry) -> None:
        self._database.write(lambda c: audits.record(c, entry))

    def audits(self, *, limit: int = 100) -> list[AuditEntry]:
        return self._database.read(lambda c: audits.newest(c, limit))

    def ping(self) -> None:
        self._database.write(audits.beat)

    def close(self) -> None:
        self._database.close()
