"""Which groups a page of the list shows, and in which order."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Integer, Select, Text, and_, bindparam, exists, func, select

from dlq.ledger.cause_book import GroupPage, Sort, Status
from dlq.ledger.group_figures import DAY_HOURS, described, rows_of
from dlq.ledger.group_samples import STATES, WAITING
from dlq.ledger.groups import STATUS
from dlq.ledger.schema import cause_counts, cause_groups, cause_hours, causes
from dlq.ledger.tally import hour_of
from dlq.states import IN_DLQ, State


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
    query = _choice(sort, by_state=bool(states), by_status=bool(statuses))
    given: dict[str, Any] = {
        "states": [state.value for state in states or IN_DLQ],
        "statuses": [status.value for status in statuses],
        "now": now,
        "first_hour": hour_of(now) - DAY_HOURS + 1,
    }
    rows = connection.execute(query, given | {"limit": limit, "offset": offset}).all()
    if not rows and offset:  # behind the last page
        first = connection.execute(query, given | {"limit": 1, "offset": 0}).first()
        return GroupPage([], first.total if first else 0)
    found = rows_of(connection, [row.id for row in rows])
    return GroupPage(described(connection, found, now), rows[0].total if rows else 0)


@functools.cache
def _choice(sort: Sort, *, by_state: bool, by_status: bool) -> Select[Any]:
    """Made once each: to put such a statement together takes longer than to run it."""
    row = cause_groups.c
    query: Select[Any] = (
        select(row.id, func.count().over().label("total"))
        .join(causes, causes.c.group_id == row.id)
        .group_by(row.id)
        .limit(bindparam("limit", type_=Integer()))
        .offset(bindparam("offset", type_=Integer()))
    )
    if by_status:
        statuses = bindparam("statuses", expanding=True, type_=Text())
        query = query.where(STATUS.in_(statuses))
    if sort is Sort.COUNT:
        query = query.join(WAITING, WAITING.c.cause_id == causes.c.id, isouter=not by_state)
        order = func.coalesce(func.sum(WAITING.c.count), 0)
        return query.order_by(order.desc(), row.id.desc())
    if by_state:
        query = query.where(_HOLDS_SOMETHING)
    return _in_order(query, sort)


def _in_order(query: Select[Any], sort: Sort) -> Select[Any]:
    newest_id = cause_groups.c.id.desc()
    if sort is Sort.LAST_SEEN:
        return query.order_by(func.max(causes.c.last_seen).desc(), newest_id)
    if sort is Sort.FIRST_SEEN:
        return query.order_by(func.min(causes.c.first_seen).desc(), newest_id)
    column = cause_hours.c
    recent = and_(column.cause_id == causes.c.id, column.hour >= bindparam("first_hour"))
    failures = func.coalesce(func.sum(column.failures), 0)
    return query.outerjoin(cause_hours, recent).order_by(failures.desc(), newest_id)


_member = causes.alias("member")
_HOLDS_SOMETHING = exists().where(
    _member.c.group_id == cause_groups.c.id,
    cause_counts.c.cause_id == _member.c.id,
    cause_counts.c.state.in_(STATES),
    cause_counts.c.count > 0,
)
