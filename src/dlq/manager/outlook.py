"""What will be lost next if nobody does anything, and when.

There are two ways to lose a dead letter by rule. By age: retention takes it out of the ledger, and
the broker what waits in its main queue past its TTL. By length: the main queue drops its oldest
message to take one more. While the manager takes messages in, that queue is all but empty; it
grows when the ledger is away, and then its growth tells how much time there is.
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from dataclasses import dataclass

from dlq.keeping import show_span
from dlq.ledger.retention_book import MOST_COUNTED, AgeOutlook
from dlq.settings import Settings

DAY = dt.timedelta(days=1)
SAMPLES = 30
"""Depths that a rate is taken from: half an hour of the usual rounds."""
MOST_DAYS = 36_500.0
"""What grows more slowly than to fill up in a century does not grow."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """Days until the first loss, 0 if it is due; None: none is to come, or it is not known."""

    days_left_by_age: float | None
    days_left_by_length: float | None
    next_loss_at: dt.datetime | None  # by age
    at_risk_count: int  # will be lost by age within the days that are warned of
    at_risk_is_more: bool  # than that
    warnings: tuple[str, ...]  # with what to do; empty: nothing is near


class MainQueue:
    """The depths of the broker's main queue over the last rounds."""

    def __init__(self, *, max_length: int, ttl_ms: int) -> None:
        self._max_length = max_length
        self._ttl = dt.timedelta(milliseconds=ttl_ms)
        self._samples: deque[tuple[dt.datetime, int]] = deque(maxlen=SAMPLES)
        self._waiting_since: dt.datetime | None = None

    def note(self, depth: int | None, now: dt.datetime) -> None:
        """depth: None: not known."""
        if depth is None:
            return
        self._samples.append((now, depth))
        if depth == 0:
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = now

    @property
    def depth(self) -> int:
        return self._samples[-1][1] if self._samples else 0

    @property
    def full_at(self) -> dt.datetime | None:
        """When it drops its first message, if it goes on growing as it did; None: it does not
        grow."""
        if not self._samples:
            return None
        (then, before), (now, depth) = self._samples[0], self._samples[-1]
        if depth >= self._max_length:
            return now
        elapsed, grown = now - then, depth - before
        if grown <= 0 or not elapsed:
            return None
        left = (self._max_length - depth) / grown * (elapsed / DAY)
        return now + min(left, MOST_DAYS) * DAY if left < MOST_DAYS else None

    @property
    def expires_at(self) -> dt.datetime | None:
        """When the first message that has been seen waiting is past the queue's TTL."""
        return None if self._waiting_since is None else self._waiting_since + self._ttl


def outlook_of(
    age: AgeOutlook, queue: MainQueue, settings: Settings, *, now: dt.datetime
) -> Outlook:
    """Both ways together, with a warning for each that is near."""
    within = settings.retention_warn_days
    by_age = _days_to(age.next_loss_at, now)
    by_ttl = _days_to(queue.expires_at, now)
    by_length = _days_to(queue.full_at, now)
    warnings = []
    if _is_near(by_age, within):
        warnings.append(_ageing(age, by_age, settings))
    if _is_near(by_ttl, within):
        warnings.append(
            f"{queue.depth} messages wait in {settings.main_queue}, and its TTL drops the first "
            f"{_in(by_ttl)}. The manager is not taking them in: see `dlq doctor`."
        )
    if _is_near(by_length, within):
        warnings.append(
            f"{settings.main_queue} has {queue.depth} of at most {settings.main_max_length} "
            f"messages and drops its oldest {_in(by_length)} at this rate. The manager is not "
            "taking them in fast enough: see `dlq doctor`."
        )
    losses = [at for at in (age.next_loss_at, queue.expires_at) if at is not None]
    return Outlook(
        days_left_by_age=min((d for d in (by_age, by_ttl) if d is not None), default=None),
        days_left_by_length=by_length,
        next_loss_at=min(losses, default=None),
        at_risk_count=age.at_risk_count,
        at_risk_is_more=age.at_risk_is_more,
        warnings=tuple(warnings),
    )


def _ageing(age: AgeOutlook, days: float | None, settings: Settings) -> str:
    count = f"more than {MOST_COUNTED}" if age.at_risk_is_more else str(age.at_risk_count)
    keep = settings.retention.dlq
    oldest = min(keep.spans()) - settings.retention_warn_days * DAY
    listed = f": dlq list --where 'age>{oldest // (DAY / 24)}h'" if oldest > DAY else ""
    return (
        f"Dead letters that nobody replayed will be let go, the first {_in(days)}; "
        f"{count} within {show_span(settings.retention_warn_days * DAY)}{listed}. Replay or "
        "export them, or keep them longer with DLQ_RETENTION_DLQ "
        f"(now {settings.retention_dlq})."
    )


def _days_to(instant: dt.datetime | None, now: dt.datetime) -> float | None:
    return None if instant is None else max((instant - now) / DAY, 0.0)


def _is_near(days: float | None, within: float) -> bool:
    return days is not None and days <= within


def _in(days: float | None) -> str:
    if not days:
        return "now"
    return f"in {days:.1f} days" if days >= 2 else f"in {days * 24:.0f} hours"
