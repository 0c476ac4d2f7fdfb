"""What a rehearsal of policies found, as tables and a bar chart."""

from __future__ import annotations

import datetime as dt
from typing import Any

from dlq.cli.figures import letters
from dlq.cli.output import Column, note, print_line, print_table
from dlq.cli.text import one_line

COLUMNS = (
    Column("RULE"),
    Column("LETTERS", right=True, whole=True),
    Column("TRIED", right=True, whole=True, from_width=90),
    Column("TRIES", right=True, whole=True),
    Column("FAILED", right=True, whole=True, from_width=90),
    Column("RIGHT", right=True, whole=True),
    Column("UNKNOWN", right=True, whole=True),
    Column("PARKED", right=True, whole=True, from_width=72),
    Column("WAITING", right=True, whole=True, from_width=80),
    Column("NEVER", right=True, whole=True, from_width=90),
    Column("FIRST TRY", whole=True, from_width=130),
    Column("LAST TRY", whole=True, from_width=130),
)
DAYS_SHOWN = 31
BAR_WIDTH = 40
EXPLAINED = """\
Unknown: the past does not show what a try at that moment would have come to. A try is known
to come right after the start of a real replay that succeeded, and to fail before the start
of one that failed."""


def print_rehearsal(found: dict[str, Any], policies: str) -> None:
    """found: as the manager answers. policies: what was rehearsed, in words."""
    total = found["total"]
    print_line(
        one_line(
            f"{letters(total['letters'])} failed first from {_day(found['since'])} to "
            f"{_day(found['now'])}; by {policies}: {total['tries']} tries."
        )
    )
    if found.get("truncated"):
        note("There are more than were looked at: give a shorter --since.")
    rows = [*found["rules"], {"rule": "all", **total}]
    print_table(COLUMNS, (_row(row) for row in rows))
    _print_chart(found["tries_per_day"])
    print_line(f"\n{_verdict(total)}")
    note(EXPLAINED)


def _verdict(total: dict[str, Any]) -> str:
    """The sums that a narrow table leaves out; every dead letter has one end."""
    ends = (
        ("came_right", "right"),
        ("unknown", "unknown"),
        ("parked", "parked, their budget spent"),
        ("waiting", "waiting for their next try or for somebody"),
        ("never", "never tried"),
    )
    told = "\n".join(f"    {total[name]:>8}  {words}" for name, words in ends)
    return (
        f"In the end, of {letters(total['letters'])}:\n{told}\nTries that failed: {total['failed']}"
    )


def _row(count: dict[str, Any]) -> tuple[Any, ...]:
    return (
        count["rule"],
        count["letters"],
        count["would_replay"],
        count["tries"],
        count["failed"],
        count["came_right"],
        count["unknown"],
        count["parked"],
        count["waiting"],
        count["never"],
        _minute(count["first_at"]),
        _minute(count["last_at"]),
    )


def _print_chart(tries_per_day: list[dict[str, Any]]) -> None:
    """A bar a day; a bar a week if there are more than fit a screen."""
    days = {dt.date.fromisoformat(each["day"]): each["tries"] for each in tries_per_day}
    if not days:
        return
    by_week = len(days) > DAYS_SHOWN
    bars: dict[dt.date, int] = {}
    for day, tries in days.items():
        start = day - dt.timedelta(days=day.weekday()) if by_week else day
        bars[start] = bars.get(start, 0) + tries
    most, width = max(bars.values()), len(str(max(bars.values())))
    print_line(f"\nTries a {'week, from its Monday' if by_week else 'day'} (UTC):")
    for start, tries in bars.items():
        print_line(
            f"    {start}  {tries:>{width}}  {'█' * max(round(tries / most * BAR_WIDTH), 1)}"
        )


def _day(instant: str) -> str:
    return instant[:10]


def _minute(instant: str | None) -> str | None:
    return instant and instant[:16].replace("T", " ")
