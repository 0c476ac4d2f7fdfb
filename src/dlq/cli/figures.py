"""Counts, shares, rates and instants, as people read them; pure."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

from dlq.cli.text import age


def letters(count: int) -> str:
    return f"{count} dead letter{'' if count == 1 else 's'}"


def percent(share: float | None) -> str:
    """`98.3%`, cut and not rounded: 100% is all of them. A dash for None."""
    if share is None:
        return "–"
    return f"{math.floor(share * 1000 + 1e-6) / 10:g}%"


def pace(rate_per_s: float | None) -> str:
    """`12/s`, `0.9/s`, `3/min`, `2/h`; a dash for None."""
    if rate_per_s is None:
        return "–"
    for per_unit, unit in ((1, "s"), (60, "min")):
        if rate_per_s * per_unit >= (0.1 if unit == "s" else 1):
            rate = rate_per_s * per_unit
            return f"{rate:,.0f}/{unit}" if rate >= 100 else f"{rate:.3g}/{unit}"
    return f"{rate_per_s * 3600:.3g}/h"


def time_to(instant: Any, now: dt.datetime | None = None) -> str:
    """How long it is to an ISO instant: `5 min`; a dash if it is none, or past."""
    try:
        left_s = (
            dt.datetime.fromisoformat(instant) - (now or dt.datetime.now(dt.UTC))
        ).total_seconds()
    except (TypeError, ValueError):
        return "–"
    return age(left_s) if left_s > 0 else "–"
