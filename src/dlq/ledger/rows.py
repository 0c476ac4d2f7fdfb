"""Rows into the records that the contract promises."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, RowMapping

from dlq.decode import decode
from dlq.ledger.base import DeadLetter, HistoryEntry, Lease, Replay
from dlq.ledger.envelope import read_wire
from dlq.ledger.schema import dead_letters, history, replays
from dlq.message import Form
from dlq.states import Outcome, State

DEAD_LETTER_COLUMNS: tuple[ColumnElement[Any], ...] = tuple(dead_letters.c)
REPLAY_COLUMNS: tuple[ColumnElement[Any], ...] = (*replays.c, dead_letters.c.message_id)
REPLAY_WITH_DEAD_LETTER: tuple[ColumnElement[Any], ...] = (*replays.c, *dead_letters.c)


def dead_letter_of(row: RowMapping) -> DeadLetter:
    """From a row with all columns of `dead_letters`.

    The message is read anew from the wire, so that nothing is stored twice, and under the
    row's id: what came without one was given it on arrival.
    """
    column = dead_letters.c
    wire = read_wire(row[column.body], row[column.envelope])
    newest = wire
    if row[column.latest_envelope] is not None:
        newest = read_wire(row[column.latest_body], row[column.latest_envelope])
    # A message that carries no instant failed when it arrived, not when it is looked at.
    message = decode(newest, received_at=row[column.failed_at]).message
    edited = None
    if row[column.edited_envelope] is not None:
        edited = read_wire(row[column.edited_body], row[column.edited_envelope])
    if (sent := edited or wire) is not newest:
        message = message.model_copy(update={"payload": decode(sent).message.payload})
    outcome = row[column.last_outcome]
    return DeadLetter(
        message=message.model_copy(update={"message_id": row[column.message_id]}),
        wire=wire,
        form=Form(row[column.form]),
        state=State(row[column.state]),
        category=row[column.category],
        fingerprint=row[column.fingerprint],
        title=row[column.title],
        replay_count=row[column.replay_count],
        ingested_at=row[column.ingested_at],
        updated_at=row[column.updated_at],
        next_replay_at=row[column.next_replay_at],
        last_outcome=None if outcome is None else Outcome(outcome),
        plan=row[column.plan],
        plan_reason=row[column.plan_reason],
        edit_count=row[column.edit_count],
        edited_wire=edited,
    )


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


def lease_of(row: RowMapping) -> Lease:
    """From a row with all columns of both tables, the replay leased."""
    return Lease(
        lease_id=row[replays.c.lease_id],
        worker=row[replays.c.leased_by],
        expires_at=row[replays.c.leased_until],
        replay=replay_of(row),
        dead_letter=dead_letter_of(row),
    )


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
