"""Moves of a dead letter from state to state, each with its line in the history.

Whoever moves a dead letter locks its row first and looks at its state after: on PostgreSQL
others wait at that row, on SQLite a writer is alone anyway.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, select, update

from dlq.errors import NotFound
from dlq.ledger.base import HistoryEntry
from dlq.ledger.bulk import insert_rows
from dlq.ledger.causes import Cause, causes_by_id
from dlq.ledger.rows import history_entry_of
from dlq.ledger.schema import DELETED, dead_letters, history, replays
from dlq.ledger.tally import tally_of
from dlq.states import State, check_move

ARRIVAL_ACTOR = "ingest"
LOCKED_COLUMNS: tuple[ColumnElement[Any], ...] = (
    dead_letters.c.id,
    dead_letters.c.message_id,
    dead_letters.c.state,
    dead_letters.c.replay_count,
    dead_letters.c.failed_count,
    dead_letters.c.open_replay_id,
    dead_letters.c.error_type,
    dead_letters.c.cause_id,
    dead_letters.c.service_id,
    dead_letters.c.failed_at,
    dead_letters.c.edit_count,
    dead_letters.c.edited_wire.is_not(None).label("is_edited"),
)


@dataclass(slots=True)
class Locked:
    """A dead letter that nobody else can move until this transaction ends."""

    id: int
    message_id: str
    state: State
    replay_count: int
    failed_count: int
    open_replay_id: str | None
    error_type: str
    cause_id: int
    service_id: int
    failed_at: dt.datetime  # the newest failure
    category: str
    fingerprint: str
    edit_in_force: int  # number of the edit that a replay sends; 0: the original


def lock(connection: Connection, message_id: str) -> Locked:
    """Raises: NotFound."""
    found = lock_many(connection, [message_id])
    if not found:
        raise unknown(message_id)
    return next(iter(found.values()))


def lock_many(connection: Connection, message_ids: Collection[str]) -> dict[str, Locked]:
    """Lock those that exist, in the order of their rows, so that two callers cannot wait for
    each other."""
    rows = _select_locked(connection, dead_letters.c.message_id.in_(message_ids))
    return {row.message_id: row for row in rows}


def lock_by_replay(connection: Connection, replay_id: str) -> Locked | None:
    """The dead letter whose open replay this is; None if it is closed or unknown."""
    owner = select(replays.c.dead_letter_id).where(replays.c.replay_id == replay_id)
    rows = _select_locked(connection, dead_letters.c.id == owner.scalar_subquery())
    return rows[0] if rows and rows[0].open_replay_id == replay_id else None


def lock_free(connection: Connection, condition: ColumnElement[bool]) -> list[Locked]:
    """Lock those that nobody else holds just now, without waiting."""
    return _select_locked(connection, condition, skip_locked=True)


def _select_locked(
    connection: Connection, condition: ColumnElement[bool], *, skip_locked: bool = False
) -> list[Locked]:
    query = (
        select(*LOCKED_COLUMNS)
        .where(condition, dead_letters.c.state != DELETED)
        .order_by(dead_letters.c.id)
        .with_for_update(skip_locked=skip_locked)
    )
    return locked_of(connection, connection.execute(query).mappings().all())


def locked_of(connection: Connection, rows: Sequence[RowMapping]) -> list[Locked]:
    """From rows with all `LOCKED_COLUMNS` that are locked and not emptied."""
    known = causes_by_id(connection, (row[dead_letters.c.cause_id] for row in rows))
    return [_locked_of(row, known[row[dead_letters.c.cause_id]]) for row in rows]


def _locked_of(row: RowMapping, cause: Cause) -> Locked:
    column = dead_letters.c
    return Locked(
        id=row[column.id],
        message_id=row[column.message_id],
        state=State(row[column.state]),
        replay_count=row[column.replay_count],
        failed_count=row[column.failed_count],
        open_replay_id=row[column.open_replay_id],
        error_type=row[column.error_type],
        cause_id=row[column.cause_id],
        service_id=row[column.service_id],
        failed_at=row[column.failed_at],
        category=cause.category,
        fingerprint=cause.fingerprint,
        edit_in_force=row[column.edit_count] if row["is_edited"] else 0,
    )


def move(
    connection: Connection,
    row: Locked,
    target: State,
    *,
    actor: str,
    reason: str,
    at: dt.datetime,
    replay_id: str | None = None,
    **changes: Any,
) -> None:
    """Set the state and `changes` (further columns), and write it into the history.

    Raises: IllegalTransition.
    """
    check_move(row.message_id, row.state, target)
    put(connection, row, target, actor=actor, reason=reason, at=at, replay_id=replay_id, **changes)


def put(
    connection: Connection,
    row: Locked,
    target: State,
    *,
    actor: str,
    reason: str,
    at: dt.datetime,
    replay_id: str | None,
    **changes: Any,
) -> None:
    """Like `move` without asking whether the move is legal: to take one back."""
    values = {"state": target.value, "updated_at": at, **changes}
    connection.execute(update(dead_letters).where(dead_letters.c.id == row.id).values(**values))
    entry = HistoryEntry(at, actor, row.state, target, reason, replay_id)
    note(connection, [(row.id, entry)])
    tally = tally_of(connection)
    tally.moved(row, row.state, None)
    row.state = target
    for name in ("open_replay_id", "cause_id", "service_id", "failed_at"):
        setattr(row, name, changes.get(name, getattr(row, name)))
    tally.moved(row, None, target)


def note(connection: Connection, entries: Sequence[tuple[int, HistoryEntry]]) -> None:
    """Write lines into the history of dead letters, given by row."""
    insert_rows(
        connection,
        history,
        [
            {
                "dead_letter_id": dead_letter_id,
                "at": entry.at,
                "actor": entry.actor,
                "from_state": None if entry.from_state is None else entry.from_state.value,
                "to_state": None if entry.to_state is None else entry.to_state.value,
                "reason": entry.reason,
                "replay_id": entry.replay_id,
            }
            for dead_letter_id, entry in entries
        ],
    )


def history_of(connection: Connection, message_id: str) -> list[HistoryEntry]:
    """Oldest first, also of what was deleted. That it arrived is in its row, not written down
    once more. Raises: NotFound."""
    mine = dead_letters.c.message_id == message_id
    arrived = connection.execute(
        select(dead_letters.c.id, dead_letters.c.ingested_at).where(mine)
    ).first()
    if arrived is None:
        raise unknown(message_id)
    query = select(*history.c).where(history.c.dead_letter_id == arrived.id).order_by(history.c.id)
    entries = [history_entry_of(row) for row in connection.execute(query).mappings()]
    first = HistoryEntry(arrived.ingested_at, ARRIVAL_ACTOR, None, State.PENDING, "arrived", None)
    return [first, *entries]


def unknown(message_id: str) -> NotFound:
    return NotFound(
        f"No dead letter has the message_id {message_id!r}. It may have been deleted, or not "
        "have arrived yet."
    )
