"""Windows of the wall clock in which nothing is sent; pure.

A week of minutes on the wall is cut into quiet spans once, when the file is read; each is then
laid onto the real time of a given week. Where daylight saving makes the wall clock ambiguous,
quiet is the longer of the two: it starts at the first and ends at the second occurrence of a
repeated time. A time that is skipped is the instant of the skip.
"""

from __future__ import annotations

import datetime as dt
import re
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from zoneinfo import ZoneInfo

from dlq.policy.problems import expected

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DAY_MIN = 24 * 60
WEEK_MIN = 7 * DAY_MIN
WEEK = dt.timedelta(weeks=1)

Span = tuple[int, int]
"""Minutes of the wall's week from Monday 00:00; the end is past 10,080 if it is next week's."""

Instance = tuple[dt.datetime, dt.datetime]
"""A span in the real time of one week: from, and up to but not including; UTC."""

_WINDOW = re.compile(
    r"(?:([A-Za-z]{3})(?:\s*-\s*([A-Za-z]{3}))?\s+)?(\d\d?):(\d\d)\s*[-–]\s*(\d\d?):(\d\d)",
    re.ASCII,
)
_EXPECTED = 'a window such as "22:00-06:00" or "Mon-Fri 07:00-23:00"'


def parse_window(text: object) -> tuple[Span, ...]:
    """The spans of `HH:MM-HH:MM`, with or without days before it (those on which it starts).

    Raises:
        ValueError: says what was expected.
    """
    found = _WINDOW.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise expected(_EXPECTED, text)
    start, end = (_minute(found, each) for each in (3, 5))
    if start in (end, DAY_MIN):
        raise expected(f"{_EXPECTED}, with an end that is not its start", text)
    length = (end - start) % DAY_MIN or DAY_MIN
    return tuple((day * DAY_MIN + start, day * DAY_MIN + start + length) for day in _days(found))


def _minute(found: re.Match[str], group: int) -> int:
    hours, minutes = int(found[group]), int(found[group + 1])
    if minutes > 59 or hours * 60 + minutes > DAY_MIN:
        raise expected(f"{_EXPECTED}, with times from 00:00 to 24:00", found[0])
    return hours * 60 + minutes


def _days(found: re.Match[str]) -> list[int]:
    if found[1] is None:
        return list(range(7))
    named = [name.capitalize() for name in (found[1], found[2] or found[1])]
    if not set(named) <= set(DAYS):
        raise expected(f"{_EXPECTED}, with days from {', '.join(DAYS)}", found[0])
    first, last = (DAYS.index(name) for name in named)
    return [day % 7 for day in range(first, first + (last - first) % 7 + 1)]


def merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same minutes of the week in the fewest spans, in order."""
    is_quiet = bytearray(WEEK_MIN)
    for start, end in spans:
        for minute in range(start, end):
            is_quiet[minute % WEEK_MIN] = 1
    if all(is_quiet):
        return ((0, WEEK_MIN),)
    starts = [m for m in range(WEEK_MIN) if is_quiet[m] and not is_quiet[m - 1]]
    return tuple((start, _end(is_quiet, start)) for start in starts)


def _end(is_quiet: bytearray, start: int) -> int:
    return next(m for m in range(start, start + WEEK_MIN) if not is_quiet[m % WEEK_MIN])


def outside(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The rest of the week."""
    taken = merged(spans)
    gaps = zip(taken, (*taken[1:], *((s + WEEK_MIN, 0) for s, _ in taken[:1])), strict=True)
    return merged((end, following) for (_, end), (following, _) in gaps)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """When nothing is sent. `spans` are merged, and leave some time of the week."""

    spans: tuple[Span, ...]
    zone: ZoneInfo

    def free_from(self, at: dt.datetime) -> dt.datetime:
        """`at` itself, or the end of the quiet that it lies in; UTC."""
        at = at.astimezone(dt.UTC)
        # A skip of the clock may swallow what is free between two spans, hence on to the next;
        # two weeks hold more free time than any skip.
        for _ in range(2 * len(self.spans) + 1):
            monday = _monday(at.astimezone(self.zone).date())
            weeks = (monday - WEEK, monday, monday + WEEK)
            instances = (each for week in weeks for each in _instances(self, week))
            end = max((end for start, end in instances if start <= at < end), default=at)
            if end == at:
                break
            at = end
        return at

    def shown(self) -> list[str]:
        """`Mon 07:00 - Mon 23:00`, one a span."""
        return [f"{_shown(start)} - {_shown(end)}" for start, end in self.spans]


def _shown(minute: int) -> str:
    day, of_day = divmod(minute % WEEK_MIN, DAY_MIN)
    return f"{DAYS[day]} {of_day // 60:02}:{of_day % 60:02}"


def _monday(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time()) - dt.timedelta(days=day.weekday())


@lru_cache(maxsize=1024)
def _instances(hours: QuietHours, monday: dt.datetime) -> tuple[Instance, ...]:
    """The real time of the quiet spans that start in the week of `monday` (naive, on the wall)."""
    return tuple(
        (
            _instant(monday + dt.timedelta(minutes=start), hours.zone, fold=0),
            _instant(monday + dt.timedelta(minutes=end), hours.zone, fold=1),
        )
        for start, end in hours.spans
    )


def _instant(wall: dt.datetime, zone: ZoneInfo, *, fold: int) -> dt.datetime:
    """The instant at which the wall clock shows this; of a repeated time the first (fold 0) or
    second; of a skipped time the instant of the skip."""
    first, second = (wall.replace(tzinfo=zone, fold=each).astimezone(dt.UTC) for each in (0, 1))
    if first <= second:
        return second if fold else first
    # Skipped: the skip is between the two (PEP 495), where the offset changes.
    before = second.astimezone(zone).utcoffset()
    seconds = range(int((first - second).total_seconds()) + 1)
    skip = bisect_left(
        seconds,
        True,
        key=lambda s: (second + dt.timedelta(seconds=s)).astimezone(zone).utcoffset() != before,
    )
    return second + dt.timedelta(seconds=skip)
