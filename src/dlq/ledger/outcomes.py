"""What becomes of replays: reported by a worker, told by the failure that comes again, or, after
long silence, presumed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, func, or_, select, update

from dlq.ledger import providers
from dlq.ledger.base import OutcomeCounts
from dlq.ledger.moves import LOCKED_COLUMNS, Locked, lock_many, locked_of, move
from dlq.ledger.rules import ReplayRules
from dlq.ledger.schema import dead_letters, job_items, replays
from dlq.ledger.tally import tally_of
from dlq.outcome import OutcomeReport
from dlq.states import Outcome, State

ACTOR = "manager"


@dataclass(frozen=True, slots=True)
class Failure:
    """What a failed replay tells of its provider."""

    category: str
    retry_after_s: float | None


def record(
    connection: Connection, reports: Sequence[OutcomeReport], *, rules: ReplayRules
) -> list[str | None]:
    """Close the replay that each report names, if it is open. Returns: per report the
    error_type of what was closed."""
    rows = lock_many(connection, {report.message_id for report in reports})
    results: list[str | None] = [None] * len(reports)
    for index in by_provider([rows.get(report.message_id) for report in reports]):
        report = reports[index]
        row = rows.get(report.message_id)
        if row is not None and row.open_replay_id == report.replay_id:
            _close_by(connection, row, report, rules=rules)
            results[index] = row.error_type
    return results


def by_provider(rows: Sequence[Locked | None]) -> list[int]:
    """In which order to close: providers are locked by name everywhere, so that two callers
    cannot wait for each other."""
    names = ["" if row is None else row.error_type for row in rows]
    return sorted(range(len(rows)), key=names.__getitem__)


def _close_by(
    connection: Connection, row: Locked, report: OutcomeReport, *, rules: ReplayRules
) -> None:
    close(
        connection,
        row,
        report.outcome,
        actor=report.worker or "worker",
        reason=f"{report.outcome}: {report.detail}" if report.detail else report.outcome.value,
        at=dt.datetime.now(dt.UTC),
        rules=rules,
        worker=report.worker or None,
        error=report.detail if report.outcome is Outcome.FAILED else None,
    )


def close_overdue(
    connection: Connection,
    before: dt.datetime,
    limit: int,
    outcome: Outcome,
    *,
    rules: ReplayRules,
) -> list[str]:
    """The error_type of each."""
    now = dt.datetime.now(dt.UTC)
    query = (
        select(*LOCKED_COLUMNS)
        .join(replays, dead_letters.c.id == replays.c.dead_letter_id)
        .where(replays.c.outcome.is_(None))
        # In the retry queue since the broker confirmed it, which may be long after it began.
        .where(func.coalesce(replays.c.confirmed_at, replays.c.started_at) < before)
        .where(or_(replays.c.leased_until.is_(None), replays.c.leased_until <= now))
        .order_by(replays.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = locked_of(connection, connection.execute(query).mappings().all())
    for row in rows:
        close(
            connection,
            row,
            outcome,
            actor=ACTOR,
            reason="brought back: no outcome was reported in time",
            at=now,
            rules=rules,
        )
    return [row.error_type for row in rows]


def close(
    connection: Connection,
    row: Locked,
    outcome: Outcome,
    *,
    actor: str,
    reason: str,
    at: dt.datetime,
    rules: ReplayRules,
    worker: str | None = None,
    error: str | None = None,
    failure: Failure | None = None,
    **changes: Any,
) -> None:
    """Close the open replay of `row`, and move the dead letter to where that leads.

    Only success resolves: without a worker's word for it (`returned`, `presumed`) the dead
    letter is still in need of somebody.
    """
    failed_count = row.failed_count + (outcome is Outcome.FAILED)
    replay_id = row.open_replay_id
    rule = connection.execute(
        update(replays)
        .where(replays.c.replay_id == replay_id)
        .values(
            outcome=outcome.value,
            outcome_at=at,
            # A lease tells who had it where the report does not.
            worker=func.coalesce(worker, replays.c.leased_by),
            error=error,
            lease_id=None,
            leased_until=None,
        )
        .returning(replays.c.rule)
    ).scalar()
    target = State.RESOLVED if outcome is Outcome.SUCCEEDED else State.PENDING
    # What a policy sent has that policy's budget, and is parked by it.
    if outcome is Outcome.FAILED and rule is None and failed_count >= rules.replay_budget:
        target = State.PARKED
        reason += f" (parked: {failed_count} replays failed, the budget is {rules.replay_budget})"
    connection.execute(
        update(job_items)
        .where(job_items.c.replay_id == replay_id)
        .values(status=outcome.value, done_at=at)
    )
    _tell_provider(connection, row, outcome, error=error, failure=failure, at=at, rules=rules)
    row.failed_count = failed_count
    tally_of(connection).closed(row.cause_id, outcome)
    move(
        connection,
        row,
        target,
        actor=actor,
        reason=reason,
        at=at,
        replay_id=replay_id,
        open_replay_id=None,
        last_outcome=outcome.value,
        next_replay_at=None,
        failed_count=failed_count,
        **changes,
    )


def _tell_provider(
    connection: Connection,
    row: Locked,
    outcome: Outcome,
    *,
    error: str | None,
    failure: Failure | None,
    at: dt.datetime,
    rules: ReplayRules,
) -> None:
    if outcome is Outcome.SUCCEEDED:
        providers.note_success(connection, row.error_type, row.category, at)
    elif outcome is Outcome.FAILED and failure is not None:
        providers.note_failure(
            connection,
            row.error_type,
            failure.category,
            error=error or "",
            retry_after_s=failure.retry_after_s,
            at=at,
            rules=rules.circuit,
        )


def outcome_counts(connection: Connection, key: Column[str]) -> dict[str, OutcomeCounts]:
    """Of closed replays, by `replays.error_type` or `replays.fingerprint`."""
    query = (
        select(key, replays.c.outcome, func.count())
        .where(replays.c.outcome.is_not(None))
        .group_by(key, replays.c.outcome)
    )
    found: dict[str, dict[str, int]] = {}
    for name, outcome, count in connection.execute(query):
        found.setdefault(name, {})[outcome] = count
    return {name: OutcomeCounts(**counts) for name, counts in found.items()}
