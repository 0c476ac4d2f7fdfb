"""Deleting: the dead letter's content goes, its id and history stay."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Connection, update

from dlq.ledger.base import HistoryEntry
from dlq.ledger.envelope import write_envelope
from dlq.ledger.moves import lock, note
from dlq.ledger.schema import DELETED, dead_letters, edits, replays
from dlq.message import WireMessage
from dlq.states import check_delete

_NOTHING = write_envelope(WireMessage(body=b"", routing_key=""))


def delete(connection: Connection, message_id: str, *, actor: str) -> None:
    """Raises: NotFound; IllegalTransition."""
    row = lock(connection, message_id)
    check_delete(row.message_id, row.state)
    now = dt.datetime.now(dt.UTC)
    connection.execute(
        update(dead_letters)
        .where(dead_letters.c.id == row.id)
        .values(
            state=DELETED,
            updated_at=now,
            next_replay_at=None,
            error_type="",
            category="",
            fingerprint="",
            title="",
            source_service="",
            search_text="",
            retry_after_s=None,
            plan=None,
            plan_reason=None,
            edited_envelope=None,
            edited_body=None,
            digest=None,
            unsettled_until=None,
            latest_envelope=None,
            latest_body=None,
            envelope=_NOTHING,
            body=b"",
        )
    )
    connection.execute(update(replays).where(replays.c.dead_letter_id == row.id).values(error=None))
    connection.execute(
        update(edits).where(edits.c.dead_letter_id == row.id).values(difference="[]")
    )
    note(connection, [(row.id, HistoryEntry(now, actor, row.state, None, "deleted", None))])
