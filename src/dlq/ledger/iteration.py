"""All dead letters that match, read batch by batch; no transaction is held between batches."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from dlq.ledger import queries
from dlq.ledger.base import DeadLetter
from dlq.ledger.database import Database
from dlq.query import Filter

BATCH = 500


def iterate(database: Database, where: Filter, *, batch: int = BATCH) -> Iterator[DeadLetter]:
    """In order of arrival; what arrives meanwhile may be left out."""
    up_to = database.read(queries.newest_id)
    now = dt.datetime.now(dt.UTC)  # an age means the same from the first batch to the last
    reached = 0
    while reached < up_to:
        reached, found = _after(database, where, reached, up_to=up_to, limit=batch, now=now)
        yield from found


def _after(
    database: Database,
    where: Filter,
    row_id: int,
    *,
    up_to: int,
    limit: int,
    now: dt.datetime,
) -> tuple[int, list[DeadLetter]]:
    return database.read(
        lambda c: queries.after(c, where, row_id=row_id, up_to=up_to, limit=limit, now=now)
    )
