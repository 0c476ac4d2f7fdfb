"""Groups with their figures: read from the counters, a page at a time.

What a page costs depends on the groups that it shows and, for its order, on the number of
causes; never on the number of dead letters. Only samples look at these, each by index.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Subquery,
    case,
    func,
    select,
)

from dlq.ledger.base import OutcomeCounts
from dlq.ledger.cause_book import (
    NEW_FOR,
    Group,
    GroupPage,
    Marks,
    Member,
    Sort,
    Status,
    Trend,
)
from dlq.ledger.group_samples import SAMPLED_CAUSES, SAMPLES, newest, waiting_in
from dlq.ledger.groups import status
from dlq.ledger.schema import (
    cause_counts,
    cause_groups,
    cause_hours,
    cause_outcomes,
    causes,
    services,
)
from dlq.ledger.tally import hour_of
from dlq.states import IN_DLQ, State

DAY_HOURS, WEEK_HOURS = 24, 24 * 7

_MARKS = tuple(cause_groups.c[name] for name in Marks.__dataclass_fields__)
_MEMBER = tuple(causes.c[name] for name in Member.__dataclass_fields__)

Rows = Sequence[Row[*tuple[Any, ...]]]


# --- which ones --------------------------------------------------------------------------


def page(
    connection: Connection,
    *,
    statuses: Sequence[Status],
    states: Sequence[State],
    sort: Sort,
    limit: int,
    offset: int,
    now: dt.datetime,
) -> GroupPage:
    """As `Groups.all`."""
    waiting = waiting_in(states or IN_DLQ)
    query = (
        select(causes.c.group_id, func.count().over().label("total"))
        .outerjoin_from(causes, waiting, waiting.c.cause_id == causes.c.id)
        .group_by(causes.c.group_id)
    )
    if states:
        query = query.having(func.sum(waiting.c.count) > 0)
    if statuses:
        query = query.join(cause_groups, cause_groups.c.id == causes.c.group_id)
        query = query.where(status(now).in_([each.value for each in statuses]))
    query, order = _ordered(query, sort, waiting, now)
    query = query.order_by(order.desc(), causes.c.group_id.desc())
    rows = connection.execute(query.limit(limit).offset(offset)).all()
    if not rows and offset:  # behind the last page
        first = connection.execute(query.limit(1)).first()
        return GroupPage([], first.total if first else 0)
    ids = [row.group_id for row in rows]
    return GroupPage(described(connection, ids, now), rows[0].total if rows else 0)


def _ordered(
    query: Select[Any], sort: Sort, waiting: Subquery, now: dt.datetime
) -> tuple[Select[Any], ColumnElement[Any]]:
    if sort is Sort.LAST_SEEN:
        return query, func.max(causes.c.last_seen)
    if sort is Sort.FIRST_SEEN:
        return query, func.min(causes.c.first_seen)
    if sort is Sort.COUNT:
        return query, func.coalesce(func.sum(waiting.c.count), 0)
    column = cause_hours.c
    since = hour_of(now) - DAY_HOURS + 1
    # A cause that was not seen since has no such hours: looking them up is what costs.
    seen = select(causes.c.id).where(causes.c.last_seen >= now - dt.timedelta(hours=DAY_HOURS))
    recent = (
        select(column.cause_id, func.sum(column.failures).label("failures"))
        .where(column.cause_id.in_(seen), column.hour >= since)
        .group_by(column.cause_id)
        .subquery("recent")
    )
    query = query.outerjoin(recent, recent.c.cause_id == causes.c.id)
    return query, func.coalesce(func.sum(recent.c.failures), 0)


# --- their figures -----------------------------------------------------------------------


def described(
    connection: Connection, ids: Sequence[int], now: dt.datetime, *, samples: int = SAMPLES
) -> list[Group]:
    """These rows of `cause_groups`, in their order; those without causes are left out."""
    members = members_of(connection, ids)
    columns = (cause_groups.c.id, cause_groups.c.fingerprint, *_MARKS)
    rows = connection.execute(select(*columns).where(cause_groups.c.id.in_(ids)))
    by_id = {row_id: (name, Marks(*marks)) for row_id, name, *marks in rows}
    by_state, by_service = _counts(connection, ids)
    trends, outcomes = _trends(connection, ids, now), _outcomes(connection, ids)
    seen_last = {key: [c.id for c in found[:SAMPLED_CAUSES]] for key, found in members.items()}
    sampled = newest(connection, seen_last, samples)
    return [
        _group_of(
            *by_id[key],
            members[key],
            now,
            by_state=by_state.get(key, {}),
            services=by_service.get(key, {}),
            trend=trends.get(key, Trend()),
            outcomes=outcomes.get(key, OutcomeCounts()),
            sample_messages=sampled.get(key, ()),
        )
        for key in ids
        if key in members
    ]


def _group_of(
    fingerprint: str, marks: Marks, members: Rows, now: dt.datetime, **figures: Any
) -> Group:
    own = [member for member in members if member.fingerprint == fingerprint]
    shown = member_of((own or members)[0])
    by_state: dict[State, int] = figures["by_state"]
    first_seen = min(member.first_seen for member in members)
    return Group(
        fingerprint=fingerprint,
        shown=shown,
        category=marks.category or shown.category,
        status=marks.status(now),
        marks=marks,
        is_new=first_seen > now - NEW_FOR,
        count=sum(by_state.get(state, 0) for state in IN_DLQ),
        first_seen=first_seen,
        last_seen=members[0].last_seen,
        **figures,
    )


def members_of(connection: Connection, ids: Sequence[int]) -> dict[int, Rows]:
    """By group row: its causes, seen last first."""
    query = select(causes.c.id, causes.c.group_id, *_MEMBER).where(causes.c.group_id.in_(ids))
    found: defaultdict[int, list[Row[*tuple[Any, ...]]]] = defaultdict(list)
    for row in connection.execute(query.order_by(causes.c.last_seen.desc(), causes.c.id.desc())):
        found[row.group_id].append(row)
    return {**found}


def member_of(row: Any) -> Member:
    """One of `members_of`."""
    return Member(*row[2:])


def _counts(
    connection: Connection, ids: Sequence[int]
) -> tuple[dict[int, dict[State, int]], dict[int, dict[str, int]]]:
    """By state, and what is in the DLQ by service, each by group row."""
    column = cause_counts.c
    keys = (causes.c.group_id, services.c.name)
    states = [
        func.sum(case((column.state == state.value, column.count), else_=0)) for state in State
    ]
    query = (
        select(*keys, *states)
        .join(causes, causes.c.id == column.cause_id)
        .join(services, services.c.id == column.service_id)
        .where(causes.c.group_id.in_(ids))
        .group_by(*keys)
    )
    by_state: defaultdict[int, Counter[State]] = defaultdict(Counter)
    by_service: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for group_id, service, *counts in connection.execute(query):
        by_state[group_id].update(found := dict(zip(State, map(int, counts), strict=True)))
        by_service[group_id][service] += sum(found[state] for state in IN_DLQ)
    return (
        {key: {state: n for state, n in found.items() if n} for key, found in by_state.items()},
        {key: {name: n for name, n in c.most_common() if n} for key, c in by_service.items()},
    )


def _trends(connection: Connection, ids: Sequence[int], now: dt.datetime) -> dict[int, Trend]:
    running = hour_of(now)
    column = cause_hours.c

    def since(hours: int) -> ColumnElement[int]:
        return func.sum(case((column.hour > running - hours, column.failures), else_=0))

    query = (
        select(causes.c.group_id, since(1), since(DAY_HOURS), since(WEEK_HOURS))
        .join(cause_hours, column.cause_id == causes.c.id)
        .where(causes.c.group_id.in_(ids), column.hour > running - WEEK_HOURS)
        .group_by(causes.c.group_id)
    )
    return {key: Trend(*map(int, spans)) for key, *spans in connection.execute(query)}


def _outcomes(connection: Connection, ids: Sequence[int]) -> dict[int, OutcomeCounts]:
    column = cause_outcomes.c
    query = (
        select(causes.c.group_id, column.outcome, func.sum(column.count))
        .join(causes, causes.c.id == column.cause_id)
        .where(causes.c.group_id.in_(ids))
        .group_by(causes.c.group_id, column.outcome)
    )
    found: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for group_id, outcome, count in connection.execute(query):
        found[group_id][outcome] = int(count)
    return {group_id: OutcomeCounts(**counts) for group_id, counts in found.items()}
