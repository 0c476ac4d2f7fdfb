"""The past of dead letters, for policies to be tried on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select

from dlq.decode import decode
from dlq.ledger.packing import archive_of
from dlq.ledger.schema import (
    DELETED,
    cause_groups,
    causes,
    dead_letters,
    providers,
    replays,
    services,
)
from dlq.policy import Past, PastReplay
from dlq.states import Outcome

_letters = dead_letters.c
_COLUMNS = (
    _letters.id,
    _letters.message_id,
    _letters.error_type,
    _letters.failed_at,
    _letters.retry_after_s,
    _letters.shape_id,
    _letters.latest_wire.is_not(None).label("has_newer"),
    _letters.wire,
    causes.c.fingerprint.label("fingerprint"),
    func.coalesce(cause_groups.c.category, causes.c.category).label("category"),
    services.c.name.label("source_service"),
    providers.c.mended_at,
)


def past(
    connection: Connection, since: dt.datetime, *, row_id: int, limit: int
) -> tuple[int | None, list[Past]]:
    """The next dead letters that arrived since then.

    Returns: how far it came (None: there are no more), and their past.
    """
    query = (
        select(*_COLUMNS)
        .join(causes, causes.c.id == _letters.cause_id)
        .join(cause_groups, cause_groups.c.id == causes.c.group_id)
        .join(services, services.c.id == _letters.service_id)
        .outerjoin(providers, providers.c.name == _letters.error_type)
        .where(_letters.id > row_id, _letters.ingested_at >= since, _letters.state != DELETED)
        .order_by(_letters.id)
        .limit(limit)
    )
    rows = connection.execute(query).mappings().all()
    if not rows:
        return None, []
    made = _replays(connection, [row[_letters.id] for row in rows])
    return rows[-1][_letters.id], [
        _past_of(connection, row, made.get(row[_letters.id], [])) for row in rows
    ]


def _replays(connection: Connection, ids: Sequence[int]) -> dict[int, list[Any]]:
    query = (
        select(
            replays.c.dead_letter_id,
            replays.c.category,
            replays.c.started_at,
            replays.c.outcome,
            replays.c.outcome_at,
        )
        .where(replays.c.dead_letter_id.in_(ids))
        .order_by(replays.c.number)
    )
    found: dict[int, list[Any]] = {}
    for row in connection.execute(query):
        found.setdefault(row.dead_letter_id, []).append(row)
    return found


def _past_of(connection: Connection, row: RowMapping, made: Sequence[Any]) -> Past:
    failed_at, retry_after_s = row[_letters.failed_at], row[_letters.retry_after_s]
    if row["has_newer"]:  # the columns tell of the newest failure
        wire = archive_of(connection).unpack(
            connection,
            row[_letters.wire],
            message_id=row[_letters.message_id],
            shape=row[_letters.shape_id],
        )
        first = decode(wire).message
        failed_at = first.failed_at or first.timestamp
        retry_after_s = first.retry_after_s
    return Past(
        message_id=row[_letters.message_id],
        error_type=row[_letters.error_type],
        category=(made[0].category if made else "") or row["category"],
        source_service=row["source_service"],
        fingerprint=row["fingerprint"],
        failed_at=failed_at,
        retry_after_s=retry_after_s,
        replays=tuple(
            PastReplay(
                started_at=replay.started_at,
                closed_at=replay.outcome_at,
                outcome=None if replay.outcome is None else Outcome(replay.outcome),
            )
            for replay in made
        ),
        mended_at=row[providers.c.mended_at],
    )
