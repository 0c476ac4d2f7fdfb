"""The life of a replay: begun, confirmed or abandoned, closed with an outcome."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from dlq.ledger.base import DeadLetter, Replay
from dlq.ledger.moves import Locked, lock, lock_by_replay, lock_many, locked_of, move, put
from dlq.ledger.rows import REPLAY_COLUMNS, REPLAY_WITH_DEAD_LETTER, dead_letter_of, replay_of
from dlq.ledger.schema import dead_letters, replays
from dlq.outcome import OutcomeReport
from dlq.states import Outcome, State

ACTOR = "manager"

_OWNER = dead_letters.c.id == replays.c.dead_letter_id


def begin(
    connection: Connection,
    message_id: str,
    *,
    actor: str,
    routing_key: str,
    max_retries: int | None,
) -> tuple[Replay, DeadLetter]:
    """Raises: NotFound; IllegalTransition."""
    row = lock(connection, message_id)
    now = dt.datetime.now(dt.UTC)
    replay_id = str(uuid.uuid4())  # random: who does not hold the replay cannot answer it
    number = row.replay_count + 1
    from_state = row.state
    move(
        connection,
        row,
        State.REPLAYING,
        actor=actor,
        reason=f"replay {number}",
        at=now,
        replay_id=replay_id,
        open_replay_id=replay_id,
        replay_count=number,
    )
    connection.execute(
        insert(replays).values(
            replay_id=replay_id,
            dead_letter_id=row.id,
            number=number,
            actor=actor,
            routing_key=routing_key,
            max_retries=max_retries,
            from_state=from_state.value,
            started_at=now,
        )
    )
    query = (
        select(*REPLAY_WITH_DEAD_LETTER)
        .join(replays, _OWNER)
        .where(replays.c.replay_id == replay_id)
    )
    begun = connection.execute(query).mappings().one()
    return replay_of(begun), dead_letter_of(begun)


def confirm(connection: Connection, replay_id: str) -> None:
    connection.execute(
        update(replays)
        .where(replays.c.replay_id == replay_id)
        .where(replays.c.confirmed_at.is_(None), replays.c.outcome.is_(None))
        .values(confirmed_at=dt.datetime.now(dt.UTC))
    )


def abandon(connection: Connection, replay_id: str, reason: str) -> None:
    """Take the replay back as if it had not been begun; only the history tells of it."""
    row = lock_by_replay(connection, replay_id)
    if row is None:
        return
    removed = connection.execute(
        delete(replays)
        .where(replays.c.replay_id == replay_id, replays.c.confirmed_at.is_(None))
        .returning(replays.c.from_state)
    ).scalar()
    if removed is None:
        return
    put(
        connection,
        row,
        State(removed),
        actor=ACTOR,
        reason=f"not sent: {reason}",
        at=dt.datetime.now(dt.UTC),
        replay_id=replay_id,
        open_replay_id=None,
        replay_count=row.replay_count - 1,
    )


def record(connection: Connection, report: OutcomeReport, *, replay_budget: int) -> bool:
    """Close the replay that the report names, if it is open."""
    row = lock_many(connection, [report.message_id]).get(report.message_id)
    if row is None or row.open_replay_id != report.replay_id:
        return False
    close(
        connection,
        row,
        report.outcome,
        actor=report.worker or "worker",
        reason=f"{report.outcome}: {report.detail}" if report.detail else report.outcome.value,
        at=dt.datetime.now(dt.UTC),
        replay_budget=replay_budget,
        worker=report.worker or None,
        error=report.detail if report.outcome is Outcome.FAILED else None,
    )
    return True


def return_overdue(
    connection: Connection, before: dt.datetime, limit: int, *, replay_budget: int
) -> int:
    now = dt.datetime.now(dt.UTC)
    query = (
        select(*dead_letters.c)
        .join(replays, _OWNER)
        .where(replays.c.outcome.is_(None))
        # In the retry queue since the broker confirmed it, which may be long after it began.
        .where(func.coalesce(replays.c.confirmed_at, replays.c.started_at) < before)
        .where(or_(replays.c.leased_until.is_(None), replays.c.leased_until <= now))
        .order_by(replays.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = [locked_of(row) for row in connection.execute(query).mappings()]
    for row in rows:
        close(
            connection,
            row,
            Outcome.RETURNED,
            actor=ACTOR,
            reason="brought back: no outcome was reported in time",
            at=now,
            replay_budget=replay_budget,
        )
    return len(rows)


def close(
    connection: Connection,
    row: Locked,
    outcome: Outcome,
    *,
    actor: str,
    reason: str,
    at: dt.datetime,
    replay_budget: int,
    worker: str | None = None,
    error: str | None = None,
    **changes: Any,
) -> None:
    """Close the open replay of `row`, and move the dead letter to where that leads.

    Only success resolves: without a worker's word for it (`returned`, `presumed`) the dead
    letter is still in need of somebody.
    """
    failed_count = row.failed_count + (outcome is Outcome.FAILED)
    target = State.RESOLVED if outcome is Outcome.SUCCEEDED else State.PENDING
    if outcome is Outcome.FAILED and failed_count >= replay_budget:
        target = State.PARKED
        reason = f"{reason} (parked: {failed_count} replays failed, the budget is {replay_budget})"
    replay_id = row.open_replay_id
    connection.execute(
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
    )
    row.failed_count = failed_count
    move(
        connection,
        row,
        target,
        actor=actor,
        reason=reason,
        at=at,
        replay_id=replay_id,
        open_replay_id=None,
        next_replay_at=None,
        failed_count=failed_count,
        **changes,
    )


def unconfirmed(
    connection: Connection, before: dt.datetime, limit: int
) -> list[tuple[Replay, DeadLetter]]:
    query = (
        select(*REPLAY_WITH_DEAD_LETTER)
        .join(dead_letters, _OWNER)
        .where(replays.c.outcome.is_(None), replays.c.confirmed_at.is_(None))
        .where(replays.c.started_at < before)
        .order_by(replays.c.id)
        .limit(limit)
    )
    rows = connection.execute(query).mappings()
    return [(replay_of(row), dead_letter_of(row)) for row in rows]


def replays_of(connection: Connection, message_id: str) -> list[Replay]:
    query = (
        select(*REPLAY_COLUMNS)
        .join(dead_letters, _OWNER)
        .where(dead_letters.c.message_id == message_id)
        .order_by(replays.c.number)
    )
    return [replay_of(row) for row in connection.execute(query).mappings()]
