"""Rows into the records that the contract promises."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, RowMapping

from dlq.decode import decode
from dlq.ledger.base import DeadLetter, HistoryEntry, Lease, Replay
from dlq.ledger.causes import Cause, causes_by_id
from dlq.ledger.packing import archive_of, wire_in
from dlq.ledger.schema import dead_letters, history, replays
from dlq.message import Form, WireMessage
from dlq.states import Outcome, State

DEAD_LETTER_COLUMNS: tuple[ColumnElement[Any], ...] = tuple(dead_letters.c)
REPLAY_COLUMNS: tuple[ColumnElement[Any], ...] = (*replays.c, dead_letters.c.message_id)
REPLAY_WITH_DEAD_LETTER: tuple[ColumnElement[Any], ...] = (*replays.c, *DEAD_LETTER_COLUMNS)


class Stored(NamedTuple):
    """A row of `dead_letters`: all `DEAD_LETTER_COLUMNS`, which see."""

    id: int
    failed_at: dt.datetime
    ingested_at: dt.datetime
    cause_id: int
    shape_id: int | None
    service_id: int
    retry_count: int
    replay_count: int
    failed_count: int
    edit_count: int
    message_id: str
    state: str
    error_type: str
    form: str
    updated_at: dt.datetime | None
    retry_after_s: float | None
    planned_at: dt.datetime | None
    plan: str | None
    plan_reason: str | None
    next_replay_at: dt.datetime | None
    last_outcome: str | None
    open_replay_id: str | None
    digest: str | None
    unsettled_until: dt.datetime | None
    latest_wire: bytes | None
    edited_wire: bytes | None
    wire: bytes

    @property
    def is_as_it_came(self) -> bool:
        """Nothing newer has replaced any of the original message."""
        return self.latest_wire is None and self.edited_wire is None


def stored(rows: Iterable[Row[Any]], *, after: int = 0) -> list[Stored]:
    """Args: after: how many other columns come first."""
    return [Stored._make(row[after:]) for row in rows]


def dead_letters_of(connection: Connection, rows: Sequence[Stored]) -> list[DeadLetter]:
    """Of rows that are not emptied."""
    known = causes_by_id(connection, (row.cause_id for row in rows))
    return [dead_letter_of(connection, row, known[row.cause_id]) for row in rows]


def raw_of_row(connection: Connection, row: Stored) -> bytes:
    """The original message, as `packing.raw_of` has it."""
    return archive_of(connection).unpack_raw(
        connection, row.wire, message_id=row.message_id, shape=row.shape_id
    )


def dead_letter_of(
    connection: Connection, row: Stored, cause: Cause, raw: bytes | None = None
) -> DeadLetter:
    """The message is read anew from the wire, so that nothing is stored twice, and under the
    row's id: what came without one was given it on arrival.

    Args:
        raw: what `raw_of_row` gave, if it is known already.
    """
    wire = wire_in(raw_of_row(connection, row) if raw is None else raw)
    newest = latest if (latest := _packed(connection, row, row.latest_wire)) else wire
    # A message that carries no instant failed when it arrived, not when it is looked at.
    message = decode(newest, received_at=row.failed_at).message
    edited = _packed(connection, row, row.edited_wire)
    if (sent := edited or wire) is not newest:
        message = message.model_copy(update={"payload": decode(sent).message.payload})
    if message.message_id != row.message_id:
        message = message.model_copy(update={"message_id": row.message_id})
    return DeadLetter(
        message=message,
        wire=wire,
        form=Form(row.form),
        state=State(row.state),
        category=cause.category,
        fingerprint=cause.fingerprint,
        title=cause.title,
        replay_count=row.replay_count,
        ingested_at=row.ingested_at,
        updated_at=row.updated_at or row.ingested_at,
        next_replay_at=row.next_replay_at,
        last_outcome=None if row.last_outcome is None else Outcome(row.last_outcome),
        plan=row.plan,
        plan_reason=row.plan_reason,
        edit_count=row.edit_count,
        edited_wire=edited,
        group=cause.group,
        rule=cause.rule,
        reason=cause.reason,
    )


def _packed(connection: Connection, row: Stored, wire: bytes | None) -> WireMessage | None:
    if wire is None:
        return None
    return archive_of(connection).unpack(connection, wire, message_id=row.message_id)


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
    connection: Connection, rows: Sequence[Row[Any]]
) -> list[tuple[Replay, DeadLetter]]:
    """From rows with `REPLAY_WITH_DEAD_LETTER`."""
    letters = dead_letters_of(connection, stored(rows, after=len(replays.c)))
    begun = [replay_of(row._mapping) for row in rows]  # noqa: SLF001 - public, by its docs
    return list(zip(begun, letters, strict=True))


def leases_of(connection: Connection, rows: Sequence[Row[Any]]) -> list[Lease]:
    """From rows with `REPLAY_WITH_DEAD_LETTER`, the replays leased."""
    both = replays_with_dead_letters(connection, rows)
    return [
        Lease(
            lease_id=row.lease_id,
            worker=row.leased_by,
            expires_at=row.leased_until,
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
