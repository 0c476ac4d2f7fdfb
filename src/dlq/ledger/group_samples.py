"""Samples of causes, and the groups by provider that the specified endpoint shows.

The newest dead letters of a cause are the end of its range in one index.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    ScalarSelect,
    Select,
    Text,
    bindparam,
    func,
    select,
)

from dlq.ledger.cause_book import ErrorTypeGroup
from dlq.ledger.schema import cause_counts, causes, dead_letters, in_dlq
from dlq.states import IN_DLQ

SAMPLES = 3
SAMPLED_CAUSES = 20
"""Of more causes, samples are of those seen last."""

Key = TypeVar("Key")

STATES = bindparam("states", expanding=True, type_=Text())
WAITING = (
    select(cause_counts.c.cause_id, func.sum(cause_counts.c.count).label("count"))
    .where(cause_counts.c.state.in_(STATES), cause_counts.c.count > 0)
    .group_by(cause_counts.c.cause_id)
    .subquery("waiting")
)
"""What is in `states`, by cause."""


# --- samples -----------------------------------------------------------------------------


def newest(
    connection: Connection, cause_ids: Mapping[Key, Sequence[int]], count: int
) -> dict[Key, tuple[str, ...]]:
    """The message ids of the newest arrivals that are in the DLQ, newest first."""
    wanted = {cause_id for ids in cause_ids.values() for cause_id in ids}
    rows = connection.execute(_newest_of_each(count), {"causes": list(wanted)}).all()
    found = {
        cause_id: [each for each in row_ids if each is not None] for cause_id, *row_ids in rows
    }
    chosen = {
        key: sorted((row_id for cause in ids for row_id in found[cause]), reverse=True)[:count]
        for key, ids in cause_ids.items()
    }
    names = _message_ids(connection, (row_id for ids in chosen.values() for row_id in ids))
    return {key: tuple(names[row_id] for row_id in ids) for key, ids in chosen.items()}


@functools.cache
def _newest_of_each(count: int) -> Select[Any]:
    """A row a cause: its id, then those of the rows."""
    wanted = bindparam("causes", expanding=True, type_=Integer())
    query: Select[Any] = select(causes.c.id, *(_nth_newest(number) for number in range(count)))
    return query.where(causes.c.id.in_(wanted))


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


_NAMES = select(dead_letters.c.id, dead_letters.c.message_id).where(
    dead_letters.c.id.in_(bindparam("rows", expanding=True, type_=BigInteger()))
)


def _message_ids(connection: Connection, row_ids: Iterable[int]) -> dict[int, str]:
    rows = connection.execute(_NAMES, {"rows": list(row_ids)}).all()
    return {row.id: row.message_id for row in rows}


# --- by provider -------------------------------------------------------------------------


class _Cause(NamedTuple):
    id: int
    error_type: str
    first_seen: dt.datetime
    last_seen: dt.datetime
    waiting: int


_IN_DLQ = (
    select(*(causes.c[name] for name in _Cause._fields[:-1]), WAITING.c.count)
    .join(WAITING, WAITING.c.cause_id == causes.c.id)
    .order_by(causes.c.last_seen.desc(), causes.c.id.desc())
)


def by_error_type(connection: Connection) -> list[ErrorTypeGroup]:
    """As `Groups.by_error_type`."""
    found: defaultdict[str, list[_Cause]] = defaultdict(list)  # seen last first
    given = {"states": [state.value for state in IN_DLQ]}
    for cause in map(_Cause._make, connection.execute(_IN_DLQ, given).all()):
        found[cause.error_type].append(cause)
    seen_last = {name: [each.id for each in of[:SAMPLED_CAUSES]] for name, of in found.items()}
    sampled = newest(connection, seen_last, SAMPLES)
    groups = [
        ErrorTypeGroup(
            error_type=name,
            count=sum(int(each.waiting) for each in of),
            sample_messages=sampled[name],
            first_seen=min(each.first_seen for each in of),
            last_seen=of[0].last_seen,
        )
        for name, of in found.items()
    ]
    return sorted(groups, key=lambda group: (-group.count, group.error_type))
