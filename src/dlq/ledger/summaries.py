"""Counts and ages over the DLQ, exact, read from the counters."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from sqlalchemy import Connection, func, select

from dlq.ledger.base import LedgerStats
from dlq.ledger.columns import EPOCH, MICROSECOND
from dlq.ledger.schema import age_hours, cause_counts, causes, dead_letters, in_dlq, services
from dlq.ledger.tally import HOUR
from dlq.states import IN_DLQ, State


def stats(connection: Connection) -> LedgerStats:
    column = cause_counts.c
    keys = (column.state, causes.c.error_type, services.c.name)
    counts = connection.execute(
        select(*keys, func.sum(column.count))
        .join(causes, causes.c.id == column.cause_id)
        .join(services, services.c.id == column.service_id)
        .group_by(*keys)
    )
    by_error_type: Counter[str] = Counter()
    by_service: Counter[str] = Counter()
    by_state: Counter[State] = Counter(dict.fromkeys(State, 0))
    for state, error_type, service, total in counts:
        by_state[State(state)] += int(total)
        if state in IN_DLQ and total:
            by_error_type[error_type] += int(total)
            by_service[service] += int(total)
    failed_at = dead_letters.c.failed_at
    oldest_at, newest_at = (
        connection.execute(select(failed_at).where(in_dlq()).order_by(order).limit(1)).scalar()
        for order in (failed_at.asc(), failed_at.desc())
    )
    return LedgerStats(
        by_error_type=dict(by_error_type.most_common()),
        by_service=dict(by_service.most_common()),
        by_state=dict(by_state),
        oldest_at=oldest_at,
        newest_at=newest_at,
    )


def ages(connection: Connection, quantiles: Sequence[float], now: dt.datetime) -> list[float]:
    """Nearest rank: the smallest age that at least that share of the ages does not exceed.

    The counts by hour tell in which hour it lies; only that hour is looked into.
    """
    youngest_first = connection.execute(
        select(age_hours.c.hour, age_hours.c.count)
        .where(age_hours.c.count > 0)
        .order_by(age_hours.c.hour.desc())
    ).all()
    total = sum(count for _, count in youngest_first)
    if total == 0:
        return []
    result = []
    for quantile in quantiles:
        # By its decimal digits: 0.07 * 100 as floats is more than 7.
        rank = math.ceil(Fraction(str(quantile)) * total)
        place = min(max(rank, 1), total) - 1
        for hour, count in youngest_first:
            if place < count:
                failed_at = _within(connection, hour, place)
                # A producer's clock may run ahead of ours.
                result.append(max((now - failed_at).total_seconds(), 0.0))
                break
            place -= count
    return result


def _within(connection: Connection, hour: int, place: int) -> dt.datetime:
    column = dead_letters.c.failed_at
    begins = EPOCH + hour * HOUR
    ends = begins + (HOUR - MICROSECOND)  # in the last hour of the year 9999 there is none after
    query = (
        select(column)
        .where(in_dlq(), column.between(begins, ends))
        .order_by(column.desc())
        .offset(place)
        .limit(1)
    )
    found: dt.datetime = connection.execute(query).scalar_one()
    return found
