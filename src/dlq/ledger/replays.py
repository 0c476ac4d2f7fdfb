"""Replays on their way out: begun, confirmed, or abandoned. `outcomes.py` closes them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, case, delete, select, update

from dlq.job import LIVE, ItemStatus
from dlq.ledger.base import DeadLetter, HistoryEntry, Replay
from dlq.ledger.bulk import insert_rows
from dlq.ledger.moves import Locked, lock_by_replay, note, put
from dlq.ledger.rows import (
    REPLAY_COLUMNS,
    REPLAY_WITH_DEAD_LETTER,
    replay_of,
    replays_with_dead_letters,
)
from dlq.ledger.schema import dead_letters, job_items, jobs, replays
from dlq.ledger.tally import tally_of
from dlq.states import State, check_move
from dlq.topology import retry_routing_key

ACTOR = "manager"
MAX_REFUSALS = 3
"""How often the broker may refuse one item of a job before it is given up."""

_OWNER = dead_letters.c.id == replays.c.dead_letter_id


@dataclass(frozen=True, slots=True)
class Order:
    """How replays are to be sent, and at whose word. `routing_key` None: the retry queue of
    each one's own type."""

    actor: str
    max_retries: int | None = None
    routing_key: str | None = None
    job_id: str | None = None
    rule: str | None = None


def begin(
    connection: Connection, rows: Sequence[Locked], order: Order, *, now: dt.datetime
) -> list[tuple[Replay, DeadLetter]]:
    """Move locked dead letters to `replaying`, each under a fresh replay_id.

    Raises: IllegalTransition: nothing was begun.
    """
    if not rows:
        return []
    for row in rows:
        check_move(row.message_id, row.state, State.REPLAYING)
    begun = [_replay_row(row, order, now) for row in rows]
    insert_rows(connection, replays, begun)
    connection.execute(
        update(dead_letters)
        .where(dead_letters.c.id == bindparam("row_id"))
        .values(
            state=State.REPLAYING.value,
            updated_at=now,
            open_replay_id=bindparam("new_replay_id"),
            replay_count=bindparam("number"),
            # Should it come back unsent, the retry policies are asked anew.
            planned_at=None,
            plan=None,
            plan_reason=None,
        ),
        [
            {"row_id": r["dead_letter_id"], "new_replay_id": r["replay_id"], "number": r["number"]}
            for r in begun
        ],
    )
    tally = tally_of(connection)
    for row in rows:
        tally.moved(row, row.state, State.REPLAYING)
    by = f" by the rule {order.rule!r}" if order.rule else ""
    lines = (
        HistoryEntry(
            now,
            order.actor,
            row.state,
            State.REPLAYING,
            f"replay {replay['number']}{by}",
            replay["replay_id"],
        )
        for row, replay in zip(rows, begun, strict=True)
    )
    note(connection, list(zip((row.id for row in rows), lines, strict=True)))
    query = (
        select(*REPLAY_WITH_DEAD_LETTER)
        .join(replays, _OWNER)
        .where(replays.c.replay_id.in_([replay["replay_id"] for replay in begun]))
        .order_by(dead_letters.c.id)
    )
    return replays_with_dead_letters(connection, connection.execute(query).all())


def _replay_row(row: Locked, order: Order, now: dt.datetime) -> dict[str, Any]:
    return {
        # Random: who does not hold the replay cannot answer it.
        "replay_id": str(uuid.uuid4()),
        "dead_letter_id": row.id,
        "number": row.replay_count + 1,
        "actor": order.actor,
        "routing_key": order.routing_key or retry_routing_key(row.error_type),
        "max_retries": order.max_retries,
        "from_state": row.state.value,
        "job_id": order.job_id,
        "rule": order.rule,
        "error_type": row.error_type,
        "category": row.category,
        "fingerprint": row.fingerprint,
        "edit_count": row.edit_in_force,
        "started_at": now,
    }


def confirm(connection: Connection, replay_ids: Sequence[str]) -> None:
    connection.execute(
        update(replays)
        .where(replays.c.replay_id.in_(replay_ids))
        .where(replays.c.confirmed_at.is_(None), replays.c.outcome.is_(None))
        .values(confirmed_at=dt.datetime.now(dt.UTC))
    )


def abandon(connection: Connection, replay_id: str, reason: str, *, for_now: bool = False) -> None:
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
    give_back(connection, replay_id, reason, for_now=for_now)


def give_back(connection: Connection, replay_id: str, reason: str, *, for_now: bool) -> None:
    """The item of a job waits again, unless the job is over, or it was refused too often.
    What was refused for now, by a queue that is full, may be offered any number of times."""
    item = job_items.c
    refusals = item.refusals + (0 if for_now else 1)
    live = select(jobs.c.id).where(jobs.c.state.in_(LIVE))
    status = case(
        (item.job_id.not_in(live), ItemStatus.CANCELLED.value),
        (refusals >= MAX_REFUSALS, ItemStatus.REFUSED.value),
        else_=ItemStatus.WAITING.value,
    )
    connection.execute(
        update(job_items)
        .where(item.replay_id == replay_id)
        .values(status=status, reason=reason, refusals=refusals, replay_id=None, sent_at=None)
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
    return replays_with_dead_letters(connection, connection.execute(query).all())


def replays_of(connection: Connection, message_id: str) -> list[Replay]:
    query = (
        select(*REPLAY_COLUMNS)
        .join(dead_letters, _OWNER)
        .where(dead_letters.c.message_id == message_id)
        .order_by(replays.c.number)
    )
    return [replay_of(row) for row in connection.execute(query).mappings()]
