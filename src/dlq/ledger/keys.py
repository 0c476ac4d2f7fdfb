"""The keys of a job's items: what keeps an order, and what a newer success supersedes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, func, select, update

from dlq.job import ItemStatus, JobOptions
from dlq.ledger.rows import DEAD_LETTER_COLUMNS, Stored, dead_letters_of, stored
from dlq.ledger.schema import DELETED, dead_letters, job_items, jobs, spelled
from dlq.query import value_at
from dlq.states import State

KEYS_AT_ONCE = 200
SUCCESSES_AT_ONCE = 1000
LATE_COMMITS = dt.timedelta(seconds=2)
"""A success that another manager is just committing may become visible after a later one."""

_waiting = job_items.c.status == ItemStatus.WAITING.value


class Keys:
    """Of one locked job."""

    def __init__(
        self, connection: Connection, row: RowMapping, options: JobOptions, now: dt.datetime
    ) -> None:
        self._connection = connection
        self._row = row
        self._options = options
        self._now = now
        self._successes_to: dt.datetime | None = row["successes_to"]
        self._mine = job_items.c.job_id == row["id"]

    def read_more(self) -> bool:
        """Read the keys of the next items. Returns: False: all were read."""
        query = (
            select(*DEAD_LETTER_COLUMNS)
            .join(job_items, job_items.c.dead_letter_id == dead_letters.c.id)
            .where(self._mine, dead_letters.c.id > self._row["keyed_to"])
            .order_by(dead_letters.c.id)
            .limit(KEYS_AT_ONCE)
        )
        rows = stored(self._connection.execute(query))
        if not rows:
            return False
        keys = self._keys_of([row for row in rows if row.state != DELETED])
        if keys:
            self._connection.execute(
                update(job_items)
                .where(self._mine, job_items.c.dead_letter_id == bindparam("row_id"))
                .values(order_key=bindparam("order"), entity_key=bindparam("entity")),
                keys,
            )
        self._set(keyed_to=rows[-1].id)
        return True

    def _keys_of(self, rows: Sequence[Stored]) -> list[dict[str, Any]]:
        order, entity = self._options.ordered_by, self._options.skip_superseded
        letters = dead_letters_of(self._connection, rows)
        return [
            {
                "row_id": row.id,
                "order": value_at(letter.message, order) if order else None,
                "entity": value_at(letter.message, entity) if entity else None,
            }
            for row, letter in zip(rows, letters, strict=True)
        ]

    def supersede(self) -> bool:
        """Skip what failed before a success for the same key.

        Returns: whether there may be more successes to look at.
        """
        letters = dead_letters.c
        if self._successes_to is None:
            self._looked_to(self._oldest_failure())
        query = (
            select(*DEAD_LETTER_COLUMNS)
            .where(spelled(letters.state, State.RESOLVED), letters.updated_at > self._successes_to)
            .order_by(letters.updated_at)
            .limit(SUCCESSES_AT_ONCE)
        )
        rows = stored(self._connection.execute(query))
        successes = [
            {"key": keys["entity"], "came_at": row.updated_at}
            for row, keys in zip(rows, self._keys_of(rows), strict=True)
            if keys["entity"] is not None
        ]
        if successes:
            because = f"superseded: a newer success for the same {self._options.skip_superseded}"
            self._connection.execute(
                update(job_items)
                .where(self._mine, _waiting, job_items.c.entity_key == bindparam("key"))
                .where(job_items.c.failed_at < bindparam("came_at"))
                .values(status=ItemStatus.SKIPPED.value, reason=because, done_at=self._now),
                successes,
            )
        if rows:
            came_at = rows[-1].updated_at or self._now
            self._looked_to(min(came_at, self._now - LATE_COMMITS))
        return len(rows) == SUCCESSES_AT_ONCE

    def _looked_to(self, successes_to: dt.datetime) -> None:
        self._successes_to = successes_to
        self._set(successes_to=successes_to)

    def _oldest_failure(self) -> dt.datetime:
        query = select(func.min(job_items.c.failed_at)).where(self._mine)
        return self._connection.execute(query).scalar() or self._now

    def _set(self, **values: Any) -> None:
        self._connection.execute(update(jobs).where(jobs.c.id == self._row["id"]).values(**values))
