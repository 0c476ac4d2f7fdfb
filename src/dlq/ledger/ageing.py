"""How long dead letters have been in the DLQ.

It counts by the clock of the manager that took them in, since producers' clocks may be off by
decades: from the arrival, or from when the newest replay came back. Rows are in order of arrival,
cause by cause, so that the oldest of each is one look-up, and nobody walks past what is young.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, case, func, select

from dlq.keeping import Keep
from dlq.ledger import queries
from dlq.ledger.retention_book import MOST_COUNTED, AgeOutlook
from dlq.ledger.schema import cause_counts, cause_groups, causes, dead_letters, in_dlq, replays
from dlq.states import IN_DLQ

CAUSES_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Oldest:
    """What is oldest of one cause, and how long that is kept."""

    cause_id: int
    arrived_at: dt.datetime
    span: dt.timedelta

    @property
    def earliest_loss_at(self) -> dt.datetime:
        """A replay that came back may make it later."""
        return self.arrived_at + self.span


@dataclass(frozen=True, slots=True)
class Waiting:
    """A row that is in the DLQ."""

    id: int
    arrived_at: dt.datetime
    since: dt.datetime


# Since when a row is in the DLQ.
_came_back_at = (
    select(func.max(replays.c.outcome_at))
    .where(replays.c.dead_letter_id == dead_letters.c.id)
    .correlate(dead_letters)
    .scalar_subquery()
)
_since = func.coalesce(_came_back_at, dead_letters.c.ingested_at)


def oldest_by_cause(connection: Connection, keep: Keep) -> list[Oldest]:
    """Of each cause in the DLQ that is not kept for ever, those first that may be lost first."""
    counted = (
        select(cause_counts.c.cause_id)
        .where(cause_counts.c.state.in_([state.value for state in IN_DLQ]))
        .where(cause_counts.c.count > 0)
    )
    first_arrived_at = (
        select(dead_letters.c.ingested_at)
        .where(in_dlq(), dead_letters.c.cause_id == causes.c.id)
        .order_by(dead_letters.c.id)
        .limit(1)
        .correlate(causes)
        .scalar_subquery()
    )
    query = (
        select(
            causes.c.id,
            func.coalesce(cause_groups.c.category, causes.c.category),
            first_arrived_at,
        )
        .join(cause_groups, cause_groups.c.id == causes.c.group_id)
        .where(causes.c.id.in_(counted))
    )
    found = [
        Oldest(cause_id, arrived_at, span)
        for cause_id, category, arrived_at in connection.execute(query)
        if arrived_at is not None and (span := keep.of(category)) is not None
    ]
    return sorted(found, key=lambda each: each.earliest_loss_at)


def waiting(connection: Connection, cause_id: int, *, after_id: int, limit: int) -> list[Waiting]:
    """The next of one cause, in order of arrival."""
    column = dead_letters.c
    query = (
        select(column.id, column.ingested_at, _since)
        .where(in_dlq(), column.cause_id == cause_id, column.id > after_id)
        .order_by(column.id)
        .limit(limit)
    )
    return [Waiting(*row) for row in connection.execute(query)]


def outlook(
    connection: Connection, keep: Keep, *, now: dt.datetime, within: dt.timedelta
) -> AgeOutlook:
    oldest = oldest_by_cause(connection, keep)
    if not oldest:
        return AgeOutlook(None)
    soon, earliest = now + within, oldest[0].earliest_loss_at
    at_risk = [each for each in oldest if each.earliest_loss_at <= soon]
    count, losses = 0, []
    for span, cause_ids in _by_span(at_risk):
        seen, old, since = _count_old(connection, cause_ids, soon - span)
        count += old
        if since is not None:
            losses.append(since + span)
        if max(seen, count) > MOST_COUNTED:
            return AgeOutlook(earliest, min(count, MOST_COUNTED), at_risk_is_more=True)
    # Where something arrived long enough ago and none is lost, all of it has come back since.
    return AgeOutlook(min(losses, default=max(earliest, soon)), count)


def _by_span(oldest: Iterable[Oldest]) -> Iterator[tuple[dt.timedelta, list[int]]]:
    """Causes that are kept equally long, a bounded number at a time."""
    spans: dict[dt.timedelta, list[int]] = {}
    for each in oldest:
        spans.setdefault(each.span, []).append(each.cause_id)
    for span, cause_ids in spans.items():
        for start in range(0, len(cause_ids), CAUSES_AT_ONCE):
            yield span, cause_ids[start : start + CAUSES_AT_ONCE]


def _count_old(
    connection: Connection, cause_ids: Sequence[int], until: dt.datetime
) -> tuple[int, int, dt.datetime | None]:
    """Of what arrived until then: how many there are, how many have not come back since, and
    since when the first of those. It looks at MOST_COUNTED and one more."""
    column = dead_letters.c
    arrived = (
        select(_since.label("since"))
        .where(in_dlq(), column.cause_id.in_(cause_ids))
        .where(column.id <= _last_arrived(connection, until))
        .limit(MOST_COUNTED + 1)
        .subquery("arrived")
    )
    old = case((arrived.c.since <= until, arrived.c.since))
    row = connection.execute(select(func.count(), func.count(old), func.min(old))).one()
    return row[0], row[1], row[2]


def _last_arrived(connection: Connection, until: dt.datetime) -> int:
    """The last row that had arrived by then; 0: none. By halves: rows are in order of arrival."""
    column = dead_letters.c
    low, high = 0, queries.newest_id(connection)
    while low < high:
        middle = (low + high + 1) // 2
        before = select(column.id, column.ingested_at).where(column.id > low, column.id <= middle)
        row = connection.execute(before.order_by(column.id.desc()).limit(1)).first()
        if row is None or row.ingested_at <= until:  # None: nothing is left of those between
            low = middle
        else:
            high = row.id - 1
    return low
