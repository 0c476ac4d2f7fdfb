"""Groups with their figures, read from the counters: as many statements for many as for one.

What they cost depends on the groups that are shown, never on the number of dead letters. Only
samples look at these, each by index. Every statement is made once, with parameters: to put one
together takes longer than to run it.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Integer, Select, bindparam, func, select

from dlq.ledger.base import OutcomeCounts
from dlq.ledger.cause_book import NEW_FOR, Group, Marks, Member, Trend
from dlq.ledger.group_samples import SAMPLED_CAUSES, SAMPLES, newest
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


@dataclass(slots=True)
class CauseRow:
    """One cause of a group, and how much is there of it."""

    id: int
    member: Member
    by_state: Counter[State] = field(default_factory=Counter)  # without zeros
    services: Counter[str] = field(default_factory=Counter)  # in the DLQ; without zeros
    count: int = 0  # in the DLQ

    def add(self, service: str, state: State, count: int) -> None:
        self.by_state[state] += count
        if state in IN_DLQ:
            self.services[service] += count
            self.count += count


@dataclass(slots=True)
class GroupRow:
    """A row of `cause_groups` with the causes in it, seen last first: at least one."""

    id: int
    fingerprint: str
    marks: Marks
    causes: list[CauseRow] = field(default_factory=list)

    def shown(self) -> Member:
        """Of the causes that hold dead letters, or of all if none does: its own, or else the
        one seen last. New rules may have given all that it began with another cause."""
        holding = [cause for cause in self.causes if cause.by_state] or self.causes
        own = [cause for cause in holding if cause.member.fingerprint == self.fingerprint]
        return (own or holding)[0].member


# --- causes and what is there of them ----------------------------------------------------


def _of_groups(*columns: Any) -> Select[Any]:
    """Of the causes of these groups."""
    groups = bindparam("groups", expanding=True, type_=Integer())
    return select(*columns).select_from(causes).where(causes.c.group_id.in_(groups))


_CAUSES = (
    _of_groups(causes.c.group_id, cause_groups.c.fingerprint, causes.c.id, *_MARKS, *_MEMBER)
    .join(cause_groups, cause_groups.c.id == causes.c.group_id)
    .order_by(causes.c.last_seen.desc(), causes.c.id.desc())
)
_COUNTS = (
    _of_groups(causes.c.id, services.c.name, cause_counts.c.state, cause_counts.c.count)
    .join(cause_counts, cause_counts.c.cause_id == causes.c.id)
    .join(services, services.c.id == cause_counts.c.service_id)
    .where(cause_counts.c.count > 0)
)


def rows_of(connection: Connection, ids: Sequence[int]) -> list[GroupRow]:
    """These rows of `cause_groups`, in their order; those without causes are left out."""
    groups: dict[int, GroupRow] = {}
    by_id: dict[int, CauseRow] = {}
    for group_id, fingerprint, cause_id, *values in _rows(connection, _CAUSES, ids):
        marks, member = values[: len(_MARKS)], values[len(_MARKS) :]
        if group_id not in groups:
            groups[group_id] = GroupRow(group_id, fingerprint, Marks(*marks))
        by_id[cause_id] = CauseRow(cause_id, Member(*member))
        groups[group_id].causes.append(by_id[cause_id])
    for cause_id, service, state, count in _rows(connection, _COUNTS, ids):
        if cause_id in by_id:  # not one that came between the two, while this is a write
            by_id[cause_id].add(service, State(state), count)
    return [groups[key] for key in ids if key in groups]


def _rows(
    connection: Connection, query: Select[Any], ids: Sequence[int], **given: Any
) -> Sequence[Any]:
    return connection.execute(query, {"groups": list(ids), **given}).all()


# --- all that is told of them ------------------------------------------------------------


def described(
    connection: Connection, rows: Sequence[GroupRow], now: dt.datetime, *, samples: int = SAMPLES
) -> list[Group]:
    """Rows as people see them, in the same order."""
    ids = [row.id for row in rows]
    holding = {row.id: [cause.id for cause in row.causes if cause.count] for row in rows}
    sampled = newest(connection, {k: v[:SAMPLED_CAUSES] for k, v in holding.items()}, samples)
    trends, outcomes = _trends(connection, ids, now), _outcomes(connection, ids)
    return [
        _group_of(
            row,
            now,
            trend=trends[row.id],
            outcomes=OutcomeCounts(**outcomes[row.id]),
            sample_messages=sampled[row.id],
        )
        for row in rows
    ]


def _group_of(row: GroupRow, now: dt.datetime, **figures: Any) -> Group:
    shown = row.shown()
    by_state: Counter[State] = Counter()
    by_service: Counter[str] = Counter()
    for cause in row.causes:
        by_state.update(cause.by_state)
        by_service.update(cause.services)
    first_seen = min(cause.member.first_seen for cause in row.causes)
    return Group(
        fingerprint=row.fingerprint,
        shown=shown,
        category=row.marks.category or shown.category,
        status=row.marks.status(now),
        marks=row.marks,
        is_new=first_seen > now - NEW_FOR,
        count=sum(cause.count for cause in row.causes),
        by_state={state: by_state[state] for state in State if state in by_state},
        services=dict(sorted(by_service.items(), key=lambda item: (-item[1], item[0]))),
        first_seen=first_seen,
        last_seen=row.causes[0].member.last_seen,
        **figures,
    )


# --- failures by the hour ----------------------------------------------------------------

_RECENT = (
    _of_groups(causes.c.group_id)
    .join(cause_hours, cause_hours.c.cause_id == causes.c.id)
    .where(cause_hours.c.hour >= bindparam("first_hour"))
    .group_by(causes.c.group_id)
)
_FAILURES = func.sum(cause_hours.c.failures)
_TOTALS = _RECENT.add_columns(_FAILURES)
_BY_HOUR = _RECENT.add_columns(cause_hours.c.hour, _FAILURES).group_by(cause_hours.c.hour)


def hours_of(
    connection: Connection, ids: Sequence[int], span: int, now: dt.datetime
) -> dict[int, list[int]]:
    """By group row: failures of each of so many clock hours, the running one last."""
    running = hour_of(now)
    first = running - span + 1
    hours = {key: [0] * span for key in ids}
    for key, hour, failures in _rows(connection, _BY_HOUR, ids, first_hour=first):
        # A producer's clock may run ahead of ours.
        hours[key][min(hour, running) - first] += int(failures)
    return hours


def _trends(connection: Connection, ids: Sequence[int], now: dt.datetime) -> dict[int, Trend]:
    first_hour = hour_of(now) - WEEK_HOURS + 1
    totals = dict.fromkeys(ids, 0)
    for key, failures in _rows(connection, _TOTALS, ids, first_hour=first_hour):
        totals[key] = int(failures)
    hours = hours_of(connection, ids, DAY_HOURS, now)
    return {key: Trend(tuple(hours[key]), totals[key]) for key in ids}


_OUTCOMES = (
    _of_groups(causes.c.group_id, cause_outcomes.c.outcome, func.sum(cause_outcomes.c.count))
    .join(cause_outcomes, cause_outcomes.c.cause_id == causes.c.id)
    .group_by(causes.c.group_id, cause_outcomes.c.outcome)
)


def _outcomes(connection: Connection, ids: Sequence[int]) -> defaultdict[int, dict[str, int]]:
    found: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for key, outcome, count in _rows(connection, _OUTCOMES, ids):
        found[key][outcome] = int(count)
    return found
