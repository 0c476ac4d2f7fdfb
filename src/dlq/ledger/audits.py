"""The audit trail, and the heartbeat that proves the ledger can be written."""

from __future__ import annotations

import datetime as dt
import json

from sqlalchemy import Connection, insert, select, update

from dlq.ledger.base import AuditEntry
from dlq.ledger.schema import audit, heartbeat
from dlq.payload import as_object


def record(connection: Connection, entry: AuditEntry) -> None:
    connection.execute(
        insert(audit).values(
            at=entry.at,
            actor=entry.actor,
            action=entry.action,
            target=entry.target,
            result=entry.result,
            detail=json.dumps(as_object(entry.detail)),
        )
    )


def newest(connection: Connection, limit: int) -> list[AuditEntry]:
    rows = connection.execute(select(*audit.c).order_by(audit.c.id.desc()).limit(limit))
    return [
        AuditEntry(
            actor=row.actor,
            action=row.action,
            target=row.target,
            result=row.result,
            at=row.at,
            detail=json.loads(row.detail),
        )
        for row in rows
    ]


def beat(connection: Connection) -> None:
    """Write one small row: reading alone would not notice a full or read-only disk."""
    now = dt.datetime.now(dt.UTC)
    if connection.execute(update(heartbeat).values(at=now)).rowcount == 0:
        connection.execute(insert(heartbeat).values(id=1, at=now))
