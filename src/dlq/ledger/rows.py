"""Rows into the records that the contract promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, RowMapping

from dlq.decode import decode
from dlq.ledger.base import DeadLetter, HistoryEntry, Lease, Replay
from dlq.ledger.causes import Cause, causes_by_id
from dlq.ledger.packing import archive_of
from dlq.ledger.schema import dead_letters, history, replays
from dlq.message import Form, WireMessage
from dlq.states import Outcome, State

DEAD_LETTER_COLUMNS: tuple[ColumnElement[Any], ...] = tuple(dead_letters.c)
REPLAY_COLUMNS: tuple[ColumnElement[Any], ...] = (*replays.c, dead_letters.c.message_id)
REPLAY_WITH_DEAD_LETTER: tuple[ColumnElement[Any], ...] = (*replays.c, *DEAD_LETTER_COLUMNS)


def dead_letters_of(connection: Connection, rows: Sequence[RowMapping]) -> list[DeadLetter]:
    """From rows with all `DEAD_LETTER_COLUMNS` that are not emptied."""
    known = causes_by_id(connection, (row[dead_letters.c.cause_id] for row in rows))
    return [_dead_letter_of(connection, row, known[row[dead_letters.c.cause_id]]) for row in rows]


def dead_letter_of(connection: Connection, row: RowMapping) -> DeadLetter:
    return dead_letters_of(connection, [row])[0]


def _dead_letter_of(connection: Connection, row: RowMapping, cause: Cause) -> DeadLetter:
    """The message is read anew from the wire, so that nothing is stored twice, and under the
    row's id: what came without one was given it on arrival.
    """
    column = dead_letters.c
    wire = _unpacked(connection, row, column.wire)
    newest = latest if (latest := _packed(connection, row, column.latest_wire)) else wire
    # A message that carries no instant failed when it arrived, not when it is looked at.
    message = decode(newest, received_at=row[column.failed_at]).message
    edited = _packed(connection, row, column.edited_wire)
    if (sent := edited or wire) is not newest:
        message = message.model_copy(update={"payload": decode(sent).message.payload})
    outcome = row[column.last_outcome]
    return DeadLetter(
        message=message.model_copy(update={"message_id": row[column.message_id]}),
        wire=wire,
        form=Form(row[column.form]),
        state=State(row[column.state]),
        category=cause.category,
        fingerprint=cause.fingerprint,
        title=cause.title,
        replay_count=row[column.replay_count],
        ingested_at=row[column.ingested_at],
        updated_at=row[column.updated_at] or row[column.ingested_at],
        next_replay_at=row[column.next_replay_at],
        last_outcome=None if outcome is None else Outcome(outcome),
        plan=row[column.plan],
        plan_reason=row[column.plan_reason],
        edit_count=row[column.edit_count],
        edited_wire=edited,
        group=cause.group,
        rule=cause.rule,
        reason=cause.reason,
    )


def _unpacked(connection: Connection, row: RowMapping, column: Column[bytes]) -> WireMessage:
    shape = row[dead_letters.c.shape_id] if column is dead_letters.c.wire else None
    return archive_of(connection).unpack(
        connection, row[column], message_id=row[dead_letters.c.message_id], shape=shape
    )


def _packed(connection: Connection, row: RowMapping, column: Column[bytes]) -> WireMessage | None:
    return None if row[column] is None else _unpacked(connection, row, column)


def replay_of(row: RowMapping) -> Replay:
    """From a row with all columns of `replays` and the message_id."""
    column = replays.c
    outcome = row[column.outcome]
    return Replay(
        replay_id=row[column.replay_id],
        message_id=row[dead_letters.c.message_id],
        number=row[column.number],
        actor=row[column.actor],
        routing_key=row[column.routing_key],
        max_retries=row[column.max_retries],
        started_at=row[column.started_at],
        confirmed_at=row[column.confirmed_at],
        outcome=None if outcome is None else Outcome(outcome),
        outcome_at=row[column.outcome_at],
        worker=row[column.worker],
        error=row[column.error],
        job_id=row[column.job_id],
        rule=row[column.rule],
        category=row[column.category],
        edit_count=row[column.edit_count],
    )


def replays_with_dead_letters(
    connection: Connection, rows: Sequence[RowMapping]
) -> list[tuple[Replay, DeadLetter]]:
    """From rows with all columns of both tables."""
    letters = dead_letters_of(connection, rows)
    return [(replay_of(row), letter) for row, letter in zip(rows, letters, strict=True)]


def leases_of(connection: Connection, rows: Sequence[RowMapping]) -> list[Lease]:
    """From rows with all columns of both tables, the replays leased."""
    both = replays_with_dead_letters(connection, rows)
    return [
        Lease(
            lease_id=row[replays.c.lease_id],
            worker=row[replays.c.leased_by],
            expires_at=row[replays.c.leased_until],
            replay=replay,
            dead_letter=letter,
        )
        for row, (replay, letter) in zip(rows, both, strict=True)
    ]


def history_entry_of(row: RowMapping) -> HistoryEntry:
    column = history.c
    from_state, to_state = row[column.from_state], row[column.to_state]
    return HistoryEntry(
        at=row[column.at],
        actor=row[column.actor],
        from_state=None if from_state is None else State(from_state),
        to_state=None if to_state is None else State(to_state),
        reason=row[column.reason],
        replay_id=row[column.replay_id],
    )
