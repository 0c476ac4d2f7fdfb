"""Samples of causes, and the groups by provider that the specified endpoint shows.

The newest dead letters of a cause are the end of its range in one index.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from sqlalchemy import Connection, ScalarSelect, Subquery, func, select

from dlq.ledger.cause_book import ErrorTypeGroup
from dlq.ledger.schema import cause_counts, causes, dead_letters, in_dlq
from dlq.states import IN_DLQ, State

SAMPLES = 3
SAMPLED_CAUSES = 20
"""Of more causes, samples are of those seen last."""

Key = TypeVar("Key")


def waiting_in(states: Collection[State]) -> Subquery:
    """What is in these states, by cause."""
    column = cause_counts.c
    return (
        select(column.cause_id, func.sum(column.count).label("count"))
        .where(column.state.in_([state.value for state in states]), column.count > 0)
        .group_by(column.cause_id)
        .subquery("waiting")
    )


def newest(
    connection: Connection, cause_ids: Mapping[Key, Sequence[int]], count: int
) -> dict[Key, tuple[str, ...]]:
    """The message ids of the newest arrivals that are in the DLQ, newest first."""
    wanted = {cause_id for ids in cause_ids.values() for cause_id in ids}
    query = select(causes.c.id, *(_nth_newest(number) for number in range(count)))
    found = {
        cause_id: [row_id for row_id in row_ids if row_id is not None]
        for cause_id, *row_ids in connection.execute(query.where(causes.c.id.in_(wanted)))
    }
    chosen = {
        key: sorted((row_id for cause in ids for row_id in found[cause]), reverse=True)[:count]
        for key, ids in cause_ids.items()
    }
    names = _message_ids(connection, (row_id for ids in chosen.values() for row_id in ids))
    return {key: tuple(names[row_id] for row_id in ids) for key, ids in chosen.items()}


def _nth_newest(number: int) -> ScalarSelect[int]:
    member = dead_letters.alias()
    return (
        select(member.c.id)
        .where(in_dlq(member), member.c.cause_id == causes.c.id)
        .order_by(member.c.id.desc())
        .limit(1)
        .offset(number)
        .correlate(causes)
        .scalar_subquery()
    )


def _message_ids(connection: Connection, row_ids: Iterable[int]) -> dict[int, str]:
    column = dead_letters.c.id
    query = select(column, dead_letters.c.message_id).where(column.in_(list(row_ids)))
    return {row.id: row.message_id for row in connection.execute(query)}


def by_error_type(connection: Connection) -> list[ErrorTypeGroup]:
    """As `Groups.by_error_type`."""
    waiting = waiting_in(IN_DLQ)
    error_type, last_seen = causes.c.error_type, causes.c.last_seen
    there = select(causes).join(waiting, waiting.c.cause_id == causes.c.id)
    total = func.sum(waiting.c.count)
    spans = (func.min(causes.c.first_seen), func.max(last_seen))
    query = there.with_only_columns(error_type, total, *spans).group_by(error_type)
    place = func.row_number().over(partition_by=error_type, order_by=last_seen.desc())
    placed = there.with_only_columns(causes.c.id, error_type, place.label("place")).subquery()
    seen_last: defaultdict[str, list[int]] = defaultdict(list)
    chosen = select(placed.c.error_type, placed.c.id).where(placed.c.place <= SAMPLED_CAUSES)
    for name, cause_id in connection.execute(chosen):
        seen_last[name].append(cause_id)
    sampled = newest(connection, seen_last, SAMPLES)
    rows = connection.execute(query.order_by(total.desc(), error_type)).all()
    return [
        ErrorTypeGroup(name, int(count), sampled[name], first, last)
        for name, count, first, last in rows
    ]
