"""Letting go by age: dead letters are emptied, and what is left of them forgotten later.

A sweep looks for what is due in reads, and lets go of it in small transactions, which check again
under lock. Rows that others hold are left for the next sweep.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, func, or_, select

from dlq.job import LIVE
from dlq.keeping import Keep, show_span
from dlq.ledger import removal
from dlq.ledger.ageing import Oldest, waiting
from dlq.ledger.moves import lock_free
from dlq.ledger.retention_book import MOST_AT_ONCE
from dlq.ledger.schema import (
    DELETED,
    audit,
    cause_groups,
    causes,
    dead_letters,
    edits,
    history,
    in_dlq,
    job_items,
    jobs,
    replays,
    spelled,
)
from dlq.states import IN_DLQ, State

ACTOR = "retention"


@dataclass(frozen=True, slots=True)
class Due:
    """A row to let go of, and how long it was kept."""

    id: int
    span: dt.timedelta


# --- in the DLQ --------------------------------------------------------------------------


class DlqWalk:
    """Goes through what arrived long enough ago, cause by cause."""

    def __init__(self, oldest: Sequence[Oldest], now: dt.datetime) -> None:
        self._causes = [each for each in oldest if each.earliest_loss_at <= now]
        self._now = now
        self._reached = 0

    @property
    def is_over(self) -> bool:
        return not self._causes

    def look(self, connection: Connection) -> list[Due]:
        """The next that are due, at most MOST_AT_ONCE; there may be more when it finds none."""
        due: list[Due] = []
        looks_left = MOST_AT_ONCE  # each takes an index, however little it finds
        while self._causes and looks_left > 0 and len(due) < MOST_AT_ONCE:
            due += self._look(connection, self._causes[0], MOST_AT_ONCE - len(due))
            looks_left -= 1
        return due

    def _look(self, connection: Connection, cause: Oldest, limit: int) -> list[Due]:
        until = self._now - cause.span
        rows = waiting(connection, cause.cause_id, after_id=self._reached, limit=limit)
        if len(rows) < limit or rows[-1].arrived_at > until:
            self._causes.pop(0)
            self._reached = 0
        else:
            self._reached = rows[-1].id
        return [Due(row.id, cause.span) for row in rows if row.since <= until]


def expire(connection: Connection, due: Iterable[Due], *, now: dt.datetime) -> int:
    """Empty what is still in the DLQ. Returns: how many."""
    return _empty(connection, due, in_dlq(), IN_DLQ, "expired after {} in the DLQ", now=now)


# --- what is over ------------------------------------------------------------------------


class SettledWalk:
    """Goes through what is resolved, or emptied, since long enough, the longest ago first."""

    def __init__(self, state: str, keep: Keep, now: dt.datetime) -> None:
        spans = list(keep.spans())
        self._state = state
        self._keep = keep
        self._now = now
        self._until = now - spans[0] if spans else None
        self._reached: tuple[dt.datetime, int] | None = None

    @property
    def is_over(self) -> bool:
        return self._until is None

    def look(self, connection: Connection) -> list[Due]:
        """The next that are due; there may be more when it finds none."""
        rows = connection.execute(self._query()).all()
        if len(rows) < MOST_AT_ONCE:
            self._until = None
        else:
            self._reached = (rows[-1].updated_at, rows[-1].id)
        return [
            Due(row.id, span)
            for row in rows
            if (span := self._keep.of(row.category)) is not None
            and row.updated_at <= self._now - span
        ]

    def _query(self) -> Select[Any]:
        column = dead_letters.c
        query = (
            select(
                column.id,
                column.updated_at,
                func.coalesce(cause_groups.c.category, causes.c.category).label("category"),
            )
            .outerjoin(causes, causes.c.id == column.cause_id)
            .outerjoin(cause_groups, cause_groups.c.id == causes.c.group_id)
            .where(spelled(column.state, self._state), column.updated_at <= self._until)
            .order_by(column.updated_at, column.id)
            .limit(MOST_AT_ONCE)
        )
        if self._reached is None:
            return query
        at, row_id = self._reached
        beyond = or_(column.updated_at > at, column.id > row_id)
        return query.where(column.updated_at >= at, beyond)


def expire_resolved(connection: Connection, due: Iterable[Due], *, now: dt.datetime) -> int:
    """Empty what was resolved. Returns: how many."""
    resolved = (State.RESOLVED,)
    condition = spelled(dead_letters.c.state, State.RESOLVED)
    return _empty(connection, due, condition, resolved, "expired {} after it was resolved", now=now)


def _empty(
    connection: Connection,
    due: Iterable[Due],
    condition: ColumnElement[bool],
    states: Sequence[State],
    why: str,
    *,
    now: dt.datetime,
) -> int:
    spans = {each.id: each.span for each in due}
    locked = lock_free(connection, dead_letters.c.id.in_(spans) & condition)
    rows = [row for row in locked if row.state in states]
    for span in {spans[row.id] for row in rows}:
        same = [row for row in rows if spans[row.id] == span]
        removal.empty(connection, same, actor=ACTOR, why=why.format(show_span(span)), now=now)
    return len(rows)


# --- what is left of it ------------------------------------------------------------------


def forget(connection: Connection, due: Iterable[Due]) -> int:
    """Remove emptied rows with all that was kept of them, but for those that a job names.

    Returns: how many.
    """
    column = dead_letters.c
    named = select(job_items.c.job_id).where(job_items.c.dead_letter_id == column.id)
    free = (
        select(column.id)
        .where(column.id.in_([each.id for each in due]), spelled(column.state, DELETED))
        .where(~named.correlate(dead_letters).exists())
        .order_by(column.id)
        .with_for_update(skip_locked=True)
    )
    ids = list(connection.execute(free).scalars())
    if ids:
        for table in (history, edits, replays):
            connection.execute(delete(table).where(table.c.dead_letter_id.in_(ids)))
        connection.execute(delete(dead_letters).where(column.id.in_(ids)))
    return len(ids)


def forget_job(connection: Connection, before: dt.datetime) -> bool:
    """A few items of the oldest job that was over before then, or that job when it has none.

    Returns: whether there was one.
    """
    over = jobs.c.state.not_in([state.value for state in LIVE])
    oldest = (
        select(jobs.c.id)
        .where(over, jobs.c.finished_at <= before)
        .order_by(jobs.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    job_id = connection.execute(oldest).scalar()
    if job_id is None:
        return False
    mine = job_items.c.job_id == job_id
    some = select(job_items.c.dead_letter_id).where(mine).limit(MOST_AT_ONCE)
    items = delete(job_items).where(mine, job_items.c.dead_letter_id.in_(some))
    if connection.execute(items).rowcount == 0:
        connection.execute(delete(jobs).where(jobs.c.id == job_id))
    return True


def forget_audit(connection: Connection, before: dt.datetime) -> bool:
    """The oldest few lines of the audit that are from before then.

    Returns: whether there were any.
    """
    first = select(audit.c.id, audit.c.at).order_by(audit.c.id).limit(MOST_AT_ONCE)
    rows = connection.execute(first.with_for_update(skip_locked=True))
    ids = [row.id for row in rows if row.at <= before]
    if ids:
        connection.execute(delete(audit).where(audit.c.id.in_(ids)))
    return bool(ids)
