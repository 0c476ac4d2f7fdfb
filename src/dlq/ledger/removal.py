"""Emptying: the content of dead letters goes, their ids and history stay."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import Connection, update

from dlq.ledger.base import HistoryEntry
from dlq.ledger.entries import unindex_words
from dlq.ledger.moves import Locked, lock, note
from dlq.ledger.schema import DELETED, dead_letters, edits, replays
from dlq.ledger.tally import tally_of
from dlq.states import check_delete


def delete(connection: Connection, message_id: str, *, actor: str) -> None:
    """Raises: NotFound; IllegalTransition."""
    row = lock(connection, message_id)
    check_delete(row.message_id, row.state)
    empty(connection, [row], actor=actor, why="deleted", now=dt.datetime.now(dt.UTC))


def empty(
    connection: Connection, rows: Sequence[Locked], *, actor: str, why: str, now: dt.datetime
) -> None:
    """Empty locked rows, each with its line in the history. The ids remain taken, so that a late
    duplicate brings nothing back."""
    ids = [row.id for row in rows]
    if not ids:
        return
    unindex_words(connection, ids)
    connection.execute(
        update(dead_letters)
        .where(dead_letters.c.id.in_(ids))
        .values(
            state=DELETED,
            updated_at=now,
            next_replay_at=None,
            error_type="",
            shape_id=None,
            retry_after_s=None,
            plan=None,
            plan_reason=None,
            digest=None,
            unsettled_until=None,
            latest_wire=None,
            edited_wire=None,
            wire=b"",
        )
    )
    connection.execute(update(replays).where(replays.c.dead_letter_id.in_(ids)).values(error=None))
    connection.execute(update(edits).where(edits.c.dead_letter_id.in_(ids)).values(difference="[]"))
    note(
        connection,
        [(row.id, HistoryEntry(now, actor, row.state, None, why, None)) for row in rows],
    )
    tally = tally_of(connection)
    for row in rows:
        tally.moved(row, row.state, None)
