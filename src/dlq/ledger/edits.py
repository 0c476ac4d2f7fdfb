"""Edits of a payload before a replay: the newest is in force, each is kept, the original too."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Callable

from sqlalchemy import Connection, insert, select, update

from dlq.errors import IllegalTransition
from dlq.ledger.base import DeadLetter, Edit, Edited, HistoryEntry
from dlq.ledger.entries import reindexing
from dlq.ledger.moves import lock, note
from dlq.ledger.packing import archive_of, newest_dictionary
from dlq.ledger.queries import get
from dlq.ledger.schema import dead_letters, edits
from dlq.states import IN_DLQ


def edit(
    connection: Connection,
    message_id: str,
    make: Callable[[DeadLetter], Edited],
    *,
    actor: str,
    reason: str,
    edit_count: int | None,
) -> DeadLetter:
    """The dead letter with the payload that `make` made of it. An edit that changes nothing
    is not recorded.

    Raises: NotFound; IllegalTransition; whatever `make` raises.
    """
    row = lock(connection, message_id)
    if row.state not in IN_DLQ:
        raise IllegalTransition(
            f"Message {message_id} is {row.state}; its payload can be edited only while it is "
            f"{', '.join(sorted(IN_DLQ))}."
        )
    letter = get(connection, message_id)
    if edit_count is not None and edit_count != letter.edit_count:
        raise IllegalTransition(
            f"The payload of {message_id} was edited meanwhile: expected {edit_count} edits, "
            f"there are {letter.edit_count}. Nothing was changed; look at it anew, then edit."
        )
    edited = make(letter)
    if _changes_nothing(letter, edited):
        return letter
    number = letter.edit_count + 1
    now = dt.datetime.now(dt.UTC)
    wire = _edited_wire(connection, letter, edited)
    with reindexing(connection, [row.id]):
        connection.execute(
            update(dead_letters)
            .where(dead_letters.c.id == row.id)
            .values(edit_count=number, updated_at=now, edited_wire=wire)
        )
    connection.execute(
        insert(edits).values(
            dead_letter_id=row.id,
            number=number,
            at=now,
            actor=actor,
            reason=reason,
            difference=json.dumps(edited.difference),
        )
    )
    what = f"payload {'reverted' if edited.body is None else 'edited'} ({number})"
    told = f"{what}: {reason}" if reason else what
    note(connection, [(row.id, HistoryEntry(now, actor, row.state, row.state, told, None))])
    return get(connection, message_id)


def edits_of(connection: Connection, message_id: str) -> list[Edit]:
    """Oldest first. Raises: NotFound."""
    letter = get(connection, message_id)
    if letter.edit_count == 0:
        return []
    query = (
        select(*edits.c)
        .join(dead_letters, dead_letters.c.id == edits.c.dead_letter_id)
        .where(dead_letters.c.message_id == message_id)
        .order_by(edits.c.number)
    )
    return [
        Edit(row.number, row.at, row.actor, row.reason, json.loads(row.difference))
        for row in connection.execute(query)
    ]


def _changes_nothing(letter: DeadLetter, edited: Edited) -> bool:
    if edited.body is None:
        return letter.edited_wire is None
    return not edited.difference


def _edited_wire(connection: Connection, letter: DeadLetter, edited: Edited) -> bytes | None:
    if edited.body is None:
        return None
    return archive_of(connection).pack(
        connection,
        dataclasses.replace(letter.wire, body=edited.body, properties=edited.properties),
        message_id=letter.message.message_id,
        dictionary=newest_dictionary(connection),
    )
