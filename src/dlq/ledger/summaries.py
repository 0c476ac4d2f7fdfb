"""Counts, ages and groups over the DLQ, each read from an index alone."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from sqlalchemy import Column, Connection, ScalarSelect, func, select

from dlq.ledger.base import Group, LedgerStats
from dlq.ledger.schema import DELETED, dead_letters, in_dlq
from dlq.states import IN_DLQ, State

SAMPLES = 3


def stats(connection: Connection) -> LedgerStats:
    table = dead_letters.c
    keys = (table.state, table.error_type, table.source_service)
    counts = connection.execute(
        select(*keys, func.count()).where(table.state != DELETED).group_by(*keys)
    )
    by_error_type: Counter[str] = Counter()
    by_service: Counter[str] = Counter()
    by_state: Counter[State] = Counter(dict.fromkeys(State, 0))
    for state, error_type, source_service, count in counts:
        by_state[State(state)] += count
        if state in IN_DLQ:
            by_error_type[error_type] += count
            by_service[source_service] += count
    ages = select(func.min(table.failed_at), func.max(table.failed_at)).where(in_dlq())
    oldest_at, newest_at = connection.execute(ages).one()
    return LedgerStats(
        by_error_type=dict(by_error_type.most_common()),
        by_service=dict(by_service.most_common()),
        by_state=dict(by_state),
        oldest_at=oldest_at,
        newest_at=newest_at,
    )


def ages(connection: Connection, quantiles: Sequence[float], now: dt.datetime) -> list[float]:
    """Nearest rank: the smallest age that at least that share of the ages does not exceed."""
    total = connection.execute(
        select(func.count()).select_from(dead_letters).where(in_dlq())
    ).scalar_one()
    if total == 0:
        return []
    youngest_first = select(dead_letters.c.failed_at).where(in_dlq())
    youngest_first = youngest_first.order_by(dead_letters.c.failed_at.desc()).limit(1)
    result = []
    for quantile in quantiles:
        # By its decimal digits: 0.07 * 100 as floats is more than 7.
        rank = math.ceil(Fraction(str(quantile)) * total)
        offset = min(max(rank, 1), total) - 1
        failed_at = connection.execute(youngest_first.offset(offset)).scalar_one()
        # A producer's clock may run ahead of ours.
        result.append(max((now - failed_at).total_seconds(), 0.0))
    return result


def groups(connection: Connection, key: Column[str]) -> list[Group]:
    """Group by `key` (error_type or fingerprint), largest first."""
    found = (
        select(
            key.label("key"),
            func.count().label("total"),
            func.min(dead_letters.c.failed_at).label("first_seen"),
            func.max(dead_letters.c.failed_at).label("last_seen"),
        )
        .where(in_dlq())
        .group_by(key)
        .subquery("found")
    )
    newest = dead_letters.alias("newest")

    def nth_newest(number: int, column: str) -> ScalarSelect[Any]:
        member = dead_letters.alias()
        return (
            select(member.c[column])
            .where(in_dlq(member), member.c[key.name] == found.c.key)
            .order_by(member.c.failed_at.desc(), member.c.id.desc())
            .limit(1)
            .offset(number)
            .correlate(found)
            .scalar_subquery()
        )

    samples = [
        nth_newest(number, "message_id").label(f"sample_{number}") for number in range(SAMPLES)
    ]
    query = (
        select(found, newest.c.title, newest.c.category, newest.c.error_type, *samples)
        .select_from(found.join(newest, newest.c.id == nth_newest(0, "id")))
        .order_by(found.c.total.desc(), found.c.key)
    )
    return [
        Group(
            key=row.key,
            title=row.title,
            category=row.category,
            error_type=row.error_type,
            count=row.total,
            sample_messages=tuple(s for s in row[-SAMPLES:] if s is not None),
            first_seen=row.first_seen,
            last_seen=row.last_seen,
        )
        for row in connection.execute(query)
    ]
