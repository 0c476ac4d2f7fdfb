"""The counters beside the dead letters: by cause, service and state, by hour, by outcome.

To count a million rows takes a tenth of a second, to read a counter nothing. What a transaction
changes is added up here and written once, just before it commits, in the order of the keys: two
managers meet at a counter only for that moment, and never each holding what the other wants.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from sqlalchemy import Column, Connection, Table, bindparam, case, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from dlq.ledger.columns import EPOCH
from dlq.ledger.schema import (
    age_hours,
    cause_counts,
    cause_groups,
    cause_hours,
    cause_outcomes,
    cause_releases,
    causes,
)
from dlq.states import IN_DLQ, Outcome, State

HOUR = dt.timedelta(hours=1)


class Counted(Protocol):
    """What a dead letter is counted by."""

    @property
    def cause_id(self) -> int: ...
    @property
    def service_id(self) -> int: ...
    @property
    def failed_at(self) -> dt.datetime: ...


def hour_of(instant: dt.datetime) -> int:
    """Whole hours since 1970."""
    return (instant - EPOCH) // HOUR


class Tally:
    """Of one transaction."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[int, int, str]] = Counter()
        self._ages: Counter[int] = Counter()
        self._hours: Counter[tuple[int, int]] = Counter()
        self._outcomes: Counter[tuple[int, str]] = Counter()
        self._releases: dict[tuple[int, str], tuple[int, dt.datetime, dt.datetime]] = {}
        self._seen: dict[int, tuple[dt.datetime, dt.datetime]] = {}
        self._resolved: set[int] = set()

    def moved(self, row: Counted, source: State | None, target: State | None) -> None:
        """From state to state; None: it was not there before, or is no more."""
        if source is target:
            return
        hour = hour_of(row.failed_at)
        for state, step in ((source, -1), (target, 1)):
            if state is not None:
                self._counts[row.cause_id, row.service_id, state.value] += step
                if state in IN_DLQ:
                    self._ages[hour] += step
        if target is State.RESOLVED:
            self._resolved.add(row.cause_id)

    def failed(self, cause_id: int, at: dt.datetime, release: str | None) -> None:
        """A failure arrived: a new dead letter's, or of a replay."""
        self._hours[cause_id, hour_of(at)] += 1
        first, last = self._seen.get(cause_id, (at, at))
        self._seen[cause_id] = (min(first, at), max(last, at))
        if release:
            count, first, last = self._releases.get((cause_id, release), (0, at, at))
            self._releases[cause_id, release] = (count + 1, min(first, at), max(last, at))

    def moved_cause(self, row: Counted, cause_id: int) -> None:
        """The newest failure of a dead letter, and it itself, are of another cause than was
        thought."""
        hour = hour_of(row.failed_at)
        self._hours[row.cause_id, hour] -= 1
        self._hours[cause_id, hour] += 1
        first, last = self._seen.get(cause_id, (row.failed_at, row.failed_at))
        self._seen[cause_id] = (min(first, row.failed_at), max(last, row.failed_at))

    def closed(self, cause_id: int, outcome: Outcome) -> None:
        self._outcomes[cause_id, outcome.value] += 1

    def write(self, connection: Connection, now: dt.datetime) -> None:
        """Add it to the counters."""
        self._see(connection)
        _add(connection, cause_counts, ("cause_id", "service_id", "state"), "count", self._counts)
        _add(connection, cause_hours, ("cause_id", "hour"), "failures", self._hours)
        _add(connection, cause_outcomes, ("cause_id", "outcome"), "count", self._outcomes)
        self._add_releases(connection)
        ages = {(hour,): count for hour, count in self._ages.items()}
        _add(connection, age_hours, ("hour",), "count", ages)
        if self._resolved:
            _clear(connection, self._resolved, now)

    def _see(self, connection: Connection) -> None:
        if not self._seen:
            return
        rows = [
            {"cause": cause_id, "first": first, "last": last}
            for cause_id, (first, last) in sorted(self._seen.items())
        ]
        column = causes.c
        first, last = (bindparam(name, type_=column.first_seen.type) for name in ("first", "last"))
        connection.execute(
            update(causes)
            .where(column.id == bindparam("cause"))
            .values(
                first_seen=case((column.first_seen > first, first), else_=column.first_seen),
                last_seen=case((column.last_seen < last, last), else_=column.last_seen),
            ),
            rows,
        )

    def _add_releases(self, connection: Connection) -> None:
        rows = [
            {
                "cause_id": cause_id,
                "release": release,
                "failures": count,
                "first_seen": first,
                "last_seen": last,
            }
            for (cause_id, release), (count, first, last) in sorted(self._releases.items())
        ]
        if not rows:
            return
        statement = _insert(connection, cause_releases)
        old, new = cause_releases.c, statement.excluded
        statement = statement.on_conflict_do_update(
            index_elements=[old.cause_id, old.release],
            set_={
                "failures": old.failures + new.failures,
                "first_seen": case(
                    (old.first_seen > new.first_seen, new.first_seen), else_=old.first_seen
                ),
                "last_seen": case(
                    (old.last_seen < new.last_seen, new.last_seen), else_=old.last_seen
                ),
            },
        )
        connection.execute(statement, rows)


def tally_of(connection: Connection) -> Tally:
    """The one of the transaction that is open on this connection."""
    tally: Tally = connection.info.setdefault("tally", Tally())
    return tally


def take_tally(connection: Connection) -> Tally | None:
    """The same, of which nothing is left behind."""
    tally: Tally | None = connection.info.pop("tally", None)
    return tally


def _add(
    connection: Connection,
    table: Table,
    keys: tuple[str, ...],
    counter: str,
    counts: Mapping[Any, int],
) -> None:
    rows = [
        {**dict(zip(keys, key, strict=True)), counter: count}
        for key, count in sorted(counts.items())
        if count
    ]
    if not rows:
        return
    statement = _insert(connection, table)
    column: Column[int] = table.c[counter]
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[table.c[key] for key in keys],
            set_={counter: column + statement.excluded[counter]},
        ),
        rows,
    )


def _insert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    is_sqlite = connection.dialect.name == "sqlite"
    return sqlite.insert(table) if is_sqlite else postgresql.insert(table)


def _clear(connection: Connection, cause_ids: Iterable[int], now: dt.datetime) -> None:
    """Mark the groups of which the last has just left the DLQ resolved: what comes now has come
    back."""
    touched = select(causes.c.group_id).where(causes.c.id.in_(sorted(cause_ids)))
    still_in = (
        select(causes.c.group_id)
        .join(cause_counts, cause_counts.c.cause_id == causes.c.id)
        .where(causes.c.group_id.in_(touched))
        .where(cause_counts.c.state.in_([state.value for state in (*IN_DLQ, State.REPLAYING)]))
        .group_by(causes.c.group_id)
        .having(func.sum(cause_counts.c.count) > 0)
    )
    connection.execute(
        update(cause_groups)
        .where(cause_groups.c.id.in_(touched), cause_groups.c.id.not_in(still_in))
        .values(cleared_at=now)
    )


def forget_hours(connection: Connection, before: dt.datetime) -> None:
    """Drop counts by hour that nobody asks for any more, and emptied ones."""
    connection.execute(delete(cause_hours).where(cause_hours.c.hour < hour_of(before)))
    connection.execute(delete(age_hours).where(age_hours.c.count == 0))
