"""The marks of groups: what they mean in SQL, how they are set, and what an arrival does to them.

A mark that waits for something to come back (resolved, fixed, acknowledged) ends here, in the
transaction of the ingest that brings it.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    bindparam,
    case,
    or_,
    select,
    update,
)

from dlq.ledger import audits
from dlq.ledger.base import AuditEntry
from dlq.ledger.cause_book import CAME_BACK, NEW_FOR, Status
from dlq.ledger.schema import cause_groups, cause_releases, causes

TIMESTAMP_STEP = dt.timedelta(seconds=1)
"""The specified `timestamp` has whole seconds: a failure may be so much newer than it says."""

NOT_FIXED: dict[str, Any] = {"fixed_at": None, "fixed_by": None, "fixed_in": None}
NOT_ACKNOWLEDGED: dict[str, Any] = {"acknowledged_at": None, "acknowledged_by": None}
NOT_ARCHIVED: dict[str, Any] = {"archived_at": None, "archived_by": None}

_group = cause_groups.c


def mark(connection: Connection, row_id: int, **values: Any) -> None:
    connection.execute(update(cause_groups).where(_group.id == row_id).values(**values))


# --- what they mean ----------------------------------------------------------------------


STATUS = case(
    (_group.archived_at.is_not(None), Status.ARCHIVED.value),
    (_group.muted_until > bindparam("now"), Status.MUTED.value),
    (_group.fixed_at.is_not(None), Status.FIXED.value),
    (_group.acknowledged_at.is_not(None), Status.ACKNOWLEDGED.value),
    else_=Status.OPEN.value,
)
"""Of a row of `cause_groups`, at the instant `now`; the same as `Marks.status`."""


def marked(name: str, now: dt.datetime) -> ColumnElement[bool]:
    """Of a row of `causes` joined with its row of `cause_groups`: its group is `new`,
    `regressed`, `muted`, `archived`, `acknowledged` or `fixed`. Unlike the status, of which a
    group has one, several of these may hold."""
    return _MARKED[name](now)


def _is_new(now: dt.datetime) -> ColumnElement[bool]:
    older = causes.alias("older")
    seen_before = select(older.c.group_id).where(older.c.first_seen <= now - NEW_FOR)
    return causes.c.group_id.not_in(seen_before)


_MARKED: dict[str, Callable[[dt.datetime], ColumnElement[bool]]] = {
    "new": _is_new,
    "regressed": lambda _: _group.came_back_at.is_not(None),
    "muted": lambda now: _group.muted_until > now,
    "archived": lambda _: _group.archived_at.is_not(None),
    "acknowledged": lambda _: _group.acknowledged_at.is_not(None),
    "fixed": lambda _: _group.fixed_at.is_not(None),
}


# --- what an arrival does to them --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Met:
    """Failures of one cause that a batch brought.

    Attributes:
        at: `failed_at` of the newest.
        releases: `metadata.release` of each; an empty text for one that names none.
    """

    cause_id: int
    at: dt.datetime
    releases: frozenset[str]


@dataclass(slots=True)
class _Sighting:
    """What a batch brought of one group."""

    group: Row[*tuple[Any, ...]]
    at: dt.datetime
    releases: set[str]

    def is_after(self, instant: dt.datetime | None) -> bool:
        """What failed before that and comes late has not come back."""
        return instant is not None and self.at + TIMESTAMP_STEP > instant


def met(connection: Connection, arrivals: Sequence[Met]) -> None:
    """Mark the groups that have come back: resolved ones, and fixed ones unless every failure
    is of a release that had failed so before the fix was announced: it still runs somewhere.

    One look-up for a batch, and mostly nothing more. Call it before the counters are written.
    """
    sightings = _of_closed_groups(connection, arrivals)
    if not sightings:
        return
    broken = _releases_before_the_fix(connection, [s.group for s in sightings])
    for sighting in sightings:
        group = sighting.group
        if sighting.releases and sighting.releases <= broken[group.id]:
            continue
        if sighting.is_after(group.fixed_at) or sighting.is_after(group.cleared_at):
            _come_back(connection, sighting)


def _of_closed_groups(connection: Connection, arrivals: Sequence[Met]) -> list[_Sighting]:
    """In the order of their rows, so that two managers cannot wait for each other."""
    by_cause = {each.cause_id: each for each in arrivals}
    query = (
        select(
            causes.c.id.label("cause_id"),
            *(_group.id, _group.fingerprint, _group.fixed_at, _group.fixed_in, _group.cleared_at),
        )
        .join(cause_groups, _group.id == causes.c.group_id)
        .where(causes.c.id.in_(by_cause))
        .where(or_(_group.cleared_at.is_not(None), _group.fixed_at.is_not(None)))
        .order_by(_group.id)
    )
    found: dict[int, _Sighting] = {}
    for row in connection.execute(query):
        each = by_cause[row.cause_id]
        sighting = found.setdefault(row.id, _Sighting(row, each.at, set()))
        sighting.at = max(sighting.at, each.at)
        sighting.releases |= each.releases
    return list(found.values())


def _releases_before_the_fix(
    connection: Connection, groups: Sequence[Row[*tuple[Any, ...]]]
) -> defaultdict[int, set[str]]:
    """By group: those that had failed when somebody said that it is fixed, but for the one
    that is said to have the fix."""
    release = cause_releases.c
    query: Select[int, str] = (
        select(_group.id, release.release)
        .join(causes, causes.c.group_id == _group.id)
        .join(cause_releases, release.cause_id == causes.c.id)
        .where(_group.id.in_([group.id for group in groups if group.fixed_at is not None]))
        .where(release.first_seen < _group.fixed_at, release.release != _group.fixed_in)
    )
    broken: defaultdict[int, set[str]] = defaultdict(set)
    for group_id, name in connection.execute(query):
        broken[group_id].add(name)
    return broken


def _come_back(connection: Connection, sighting: _Sighting) -> None:
    group = sighting.group
    closed = or_(_group.cleared_at.is_not(None), _group.fixed_at.is_not(None))
    marks = {"came_back_at": sighting.at, "cleared_at": None} | NOT_FIXED | NOT_ACKNOWLEDGED
    changed = connection.execute(
        update(cause_groups).where(_group.id == group.id, closed).values(marks)
    )
    if changed.rowcount == 0:  # another manager met it at the same time
        return
    detail: dict[str, Any] = {"releases": sorted(sighting.releases - {""})}
    if group.fixed_at is not None:
        detail["fixed_in"] = group.fixed_in
    entry = AuditEntry("ingest", CAME_BACK, group.fingerprint, "ok", detail=detail)
    audits.record(connection, entry)
