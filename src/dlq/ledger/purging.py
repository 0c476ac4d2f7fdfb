"""Purging: what a filter chooses is looked up once, told, and emptied row by row as it was told."""

from __future__ import annotations

import datetime as dt
from array import array
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from dlq.errors import InvalidInput
from dlq.ledger import queries, removal
from dlq.ledger.moves import lock_free
from dlq.ledger.retention_book import PURGEABLE, GroupCount, Survey
from dlq.ledger.schema import cause_groups, causes, dead_letters
from dlq.query import Filter
from dlq.states import State

LOOK = 2000
"""Rows that are looked up at once."""
SHOWN_GROUPS = 20
SHOWN_IDS = 100
WHY = "purged"


def check_states(where: Filter) -> None:
    """Raises: InvalidInput: it allows states that cannot be purged, or none."""
    if not where.states or not set(where.states) <= PURGEABLE:
        raise InvalidInput(
            "Only what is pending, scheduled, parked or resolved can be purged; the filter "
            f"{where.text()[:200]!r} allows the states: {', '.join(where.states) or 'none'}."
        )


@dataclass(slots=True)
class Surveying:
    """A survey as it grows, look by look."""

    where: Filter
    now: dt.datetime
    up_to: int
    reached: int = 0
    row_ids: array[int] = field(default_factory=lambda: array("q"))
    counts: Counter[tuple[str, str, int]] = field(default_factory=Counter)

    @property
    def is_over(self) -> bool:
        return self.reached >= self.up_to

    def look(self, connection: Connection) -> None:
        self.reached, ids = queries.chosen_ids(
            connection,
            self.where,
            after_id=self.reached,
            up_to=self.up_to,
            limit=LOOK,
            now=self.now,
        )
        self.row_ids.extend(ids)
        column = dead_letters.c
        keys = (column.state, column.error_type, column.cause_id)
        counted = select(*keys, func.count()).where(column.id.in_(ids)).group_by(*keys)
        for state, error_type, cause_id, count in connection.execute(counted) if ids else ():
            if cause_id is not None:  # emptied since it was chosen: nothing is left to purge
                self.counts[state, error_type, cause_id] += count


def told(connection: Connection, surveying: Surveying) -> Survey:
    """The survey that is over, in the words of those who will be asked."""
    groups = _groups(connection, {cause_id for _, _, cause_id in surveying.counts})
    by_state: Counter[State] = Counter()
    by_error_type: Counter[str] = Counter()
    by_category: Counter[str] = Counter()
    by_group: Counter[tuple[str, str, str]] = Counter()
    for (state, error_type, cause_id), count in surveying.counts.items():
        group = groups[cause_id]
        by_state[State(state)] += count
        by_error_type[error_type] += count
        by_category[group[2]] += count
        by_group[group] += count
    first = select(dead_letters.c.message_id).where(
        dead_letters.c.id.in_(surveying.row_ids[:SHOWN_IDS])
    )
    return Survey(
        row_ids=surveying.row_ids,
        by_state=dict(by_state.most_common()),
        by_error_type=dict(by_error_type.most_common()),
        by_category=dict(by_category.most_common()),
        groups=tuple(
            GroupCount(*group, count) for group, count in by_group.most_common(SHOWN_GROUPS)
        ),
        message_ids=tuple(connection.execute(first.order_by(dead_letters.c.id)).scalars()),
    )


def _groups(connection: Connection, cause_ids: Collection[int]) -> dict[int, tuple[str, str, str]]:
    """By cause: its group's public id, a title, the category."""
    query = (
        select(
            causes.c.id,
            cause_groups.c.fingerprint,
            causes.c.title,
            func.coalesce(cause_groups.c.category, causes.c.category),
        )
        .join(cause_groups, cause_groups.c.id == causes.c.group_id)
        .order_by(causes.c.id)
    )
    titles: dict[str, str] = {}
    found = {}
    for cause_id, group, title, category in connection.execute(query):
        shown = titles.setdefault(group, title)
        if cause_id in cause_ids:
            found[cause_id] = (group, shown, category)
    return found


def purge(
    connection: Connection,
    row_ids: Sequence[int],
    states: Collection[State],
    *,
    actor: str,
    now: dt.datetime,
) -> int:
    locked = lock_free(connection, dead_letters.c.id.in_(list(row_ids)))
    rows = [row for row in locked if row.state in states and row.state in PURGEABLE]
    removal.empty(connection, rows, actor=actor, why=WHY, now=now)
    return len(rows)
