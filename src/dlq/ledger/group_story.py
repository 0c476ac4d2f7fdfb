"""One group with all that is known of it."""

from __future__ import annotations

import datetime as dt
import json

from sqlalchemy import Connection, func, select

from dlq.ledger.base import AuditEntry
from dlq.ledger.cause_book import MARKING, GroupCause, GroupStory, Release
from dlq.ledger.group_figures import DAY_HOURS, WEEK_HOURS, described, member_of, members_of
from dlq.ledger.group_members import find
from dlq.ledger.schema import audit, cause_counts, cause_hours, cause_releases, causes, spelled
from dlq.ledger.tally import hour_of
from dlq.states import IN_DLQ

SAMPLES = 5
MOST_RELEASES = 100
MOST_HISTORY = 100


def story(connection: Connection, group_id: str, now: dt.datetime) -> GroupStory:
    """Raises: NotFound; InvalidInput."""
    row_id = find(connection, group_id).id
    (group,) = described(connection, [row_id], now, samples=SAMPLES)
    causes_of = _causes(connection, row_id)
    own = {cause.member.fingerprint for cause in causes_of}
    hours = _hours(connection, row_id, now)
    days = [sum(hours[start : start + DAY_HOURS]) for start in range(0, WEEK_HOURS, DAY_HOURS)]
    return GroupStory(
        group=group,
        hourly=tuple(hours[-DAY_HOURS:]),
        daily=tuple(days),
        releases=_releases(connection, row_id),
        causes=causes_of,
        history=_history(connection, own | {group.fingerprint}),
    )


def _causes(connection: Connection, row_id: int) -> tuple[GroupCause, ...]:
    column = cause_counts.c
    query = (
        select(column.cause_id, func.sum(column.count).label("total"))
        .join(causes, causes.c.id == column.cause_id)
        .where(causes.c.group_id == row_id)
        .where(column.state.in_([state.value for state in IN_DLQ]))
        .group_by(column.cause_id)
    )
    counts = {row.cause_id: int(row.total) for row in connection.execute(query)}
    members = members_of(connection, [row_id])[row_id]
    return tuple(GroupCause(member_of(row), counts.get(row.id, 0)) for row in members)


def _hours(connection: Connection, row_id: int, now: dt.datetime) -> list[int]:
    """Failures of each of 7 times 24 clock hours, the running one last."""
    column = cause_hours.c
    first = hour_of(now) - WEEK_HOURS + 1
    query = (
        select(column.hour, func.sum(column.failures))
        .join(causes, causes.c.id == column.cause_id)
        .where(causes.c.group_id == row_id, column.hour.between(first, first + WEEK_HOURS - 1))
        .group_by(column.hour)
    )
    hours = [0] * WEEK_HOURS
    for hour, failures in connection.execute(query):
        hours[hour - first] = int(failures)
    return hours


def _releases(connection: Connection, row_id: int) -> tuple[Release, ...]:
    column = cause_releases.c
    last_seen = func.max(column.last_seen)
    query = (
        select(column.release, func.sum(column.failures), func.min(column.first_seen), last_seen)
        .join(causes, causes.c.id == column.cause_id)
        .where(causes.c.group_id == row_id)
        .group_by(column.release)
        .order_by(last_seen.desc(), column.release)
        .limit(MOST_RELEASES)
    )
    return tuple(
        Release(name, int(failures), first, last)
        for name, failures, first, last in connection.execute(query)
    )


def _history(connection: Connection, fingerprints: set[str]) -> tuple[AuditEntry, ...]:
    """Of the group, and of the causes in it while they stood elsewhere."""
    column = audit.c
    query = (
        select(*column)
        .where(column.target.in_(fingerprints), spelled(column.action, *MARKING))
        .order_by(column.id.desc())
        .limit(MOST_HISTORY)
    )
    return tuple(
        AuditEntry(row.actor, row.action, row.target, row.result, row.at, json.loads(row.detail))
        for row in connection.execute(query)
    )
