"""One group with all that is known of it."""

from __future__ import annotations

import datetime as dt
import json

from sqlalchemy import Connection, Text, bindparam, func, select

from dlq.ledger.base import AuditEntry
from dlq.ledger.cause_book import MARKING, GroupCause, GroupStory, Release
from dlq.ledger.group_figures import DAY_HOURS, WEEK_HOURS, described, hours_of, rows_of
from dlq.ledger.group_members import find
from dlq.ledger.schema import audit, cause_releases, causes, spelled

SAMPLES = 5
MOST_RELEASES = 100
MOST_HISTORY = 100

_last_seen = func.max(cause_releases.c.last_seen)
_RELEASES = (
    select(
        cause_releases.c.release,
        func.sum(cause_releases.c.failures),
        func.min(cause_releases.c.first_seen),
        _last_seen,
    )
    .join(causes, causes.c.id == cause_releases.c.cause_id)
    .where(causes.c.group_id == bindparam("group"))
    .group_by(cause_releases.c.release)
    .order_by(_last_seen.desc(), cause_releases.c.release)
    .limit(MOST_RELEASES)
)
_HISTORY = (
    select(*audit.c)
    .where(audit.c.target.in_(bindparam("targets", expanding=True, type_=Text())))
    .where(spelled(audit.c.action, *MARKING))
    .order_by(audit.c.id.desc())
    .limit(MOST_HISTORY)
)


def story(connection: Connection, group_id: str, now: dt.datetime) -> GroupStory:
    """Raises: NotFound; InvalidInput."""
    rows = rows_of(connection, [find(connection, group_id).id])
    [row], [group] = rows, described(connection, rows, now, samples=SAMPLES)
    hours = hours_of(connection, [row.id], WEEK_HOURS, now)[row.id]
    days = [sum(hours[start : start + DAY_HOURS]) for start in range(0, WEEK_HOURS, DAY_HOURS)]
    names = {cause.member.fingerprint for cause in row.causes}
    return GroupStory(
        group=group,
        daily=tuple(days),
        releases=_releases(connection, row.id),
        causes=tuple(GroupCause(cause.member, cause.count) for cause in row.causes),
        history=_history(connection, names | {group.fingerprint}),
    )


def _releases(connection: Connection, row_id: int) -> tuple[Release, ...]:
    return tuple(
        Release(name, int(failures), first, last)
        for name, failures, first, last in connection.execute(_RELEASES, {"group": row_id})
    )


def _history(connection: Connection, fingerprints: set[str]) -> tuple[AuditEntry, ...]:
    """Of the group, and of the causes in it while they stood elsewhere."""
    rows = connection.execute(_HISTORY, {"targets": sorted(fingerprints)})
    return tuple(
        AuditEntry(row.actor, row.action, row.target, row.result, row.at, json.loads(row.detail))
        for row in rows
    )
