"""A group's whole story, in the order in which it is asked for: what broke, since when, how
much, does it go on, where, will a replay help, what to do, and what people said of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from dlq.cli.figures import percent
from dlq.cli.group_tables import MEMBERS, RELEASES, marks, member_row, release_row, sparkline
from dlq.cli.output import print_fields, print_line, print_table
from dlq.cli.text import age_since, one_line

DAY_BAR_CHARS = 30
SHOWN_HISTORY = 10


def print_story(story: dict[str, Any]) -> None:
    print_line(one_line(story["title"]))
    print_line("")
    _print_facts(story)
    _print_trend(story)
    _print_counts("Services, in the DLQ", story["services"])
    if story["releases"]:
        print_line("\nReleases:")
        print_table(RELEASES, (release_row(release) for release in story["releases"]))
    if len(story["causes"]) > 1:
        print_line("\nCauses in it:")
        print_table(MEMBERS, (member_row(cause) for cause in story["causes"]))
    if story["sample_messages"]:
        print_line("\nNewest in the DLQ (dlq show ID):")
        for message_id in story["sample_messages"]:
            print_line(f"    {one_line(message_id)}")
    _print_what_to_do(story)
    _print_history(story["history"])


def _print_facts(story: dict[str, Any]) -> None:
    corrected = " (corrected by hand)" if story["category_corrected"] else ""
    facts = (
        ("Group", one_line(story["id"])),
        ("Marks", _marks(story)),
        ("Note", _note(story)),
        ("Category", one_line(story["category"]) + corrected),
        ("Why", one_line(f"{story['reason']} (rule {story['rule']})")),
        ("Provider", one_line(story["error_type"])),
        ("Error class", story["error_class"] and one_line(story["error_class"])),
        ("HTTP status", story["http_status"]),
        ("Since", _instant(story["first_seen"])),
        ("Last seen", _instant(story["last_seen"])),
        ("Goes on", _goes_on(story)),
        ("In the DLQ", story["count"]),
        ("By state", _counted(story["by_state"])),
        ("Replays", _replays(story)),
    )
    print_fields((name, value) for name, value in facts if value is not None)


def _marks(story: dict[str, Any]) -> str | None:
    told, said = one_line(marks(story)), story["marks"]
    if story["status"] == "muted":
        # Muted without a time is until the last year that there is.
        told += f" by {one_line(said['muted_by'])}"
        if not story["muted_until"].startswith("9999"):
            told += f" until {one_line(story['muted_until'])}"
    elif story["status"] != "open":
        told += f" by {one_line(said[story['status'] + '_by'])}"
    if story["fixed_in"]:
        told += f", fixed in {one_line(story['fixed_in'])}"
    return told or None


def _note(story: dict[str, Any]) -> str | None:
    if story["note"] is None:
        return None
    said = story["marks"]
    return f"{story['note']} ({said['noted_by']}, {age_since(said['noted_at'])} ago)"


def _goes_on(story: dict[str, Any]) -> str:
    if story["last_hour"]:
        return f"yes: {story['last_hour']} in this hour"
    if story["last_24h"]:
        return f"no failure in this hour, {story['last_24h']} in the last 24 h"
    return f"quiet for {age_since(story['last_seen'])}"


def _replays(story: dict[str, Any]) -> str:
    counts = {n: c for n, c in story["outcomes"].items() if n != "success_rate" and c}
    if not counts:
        return "none yet"
    return f"{percent(story['replay_success_rate'])} succeeded: {_counted(counts)}"


def _print_trend(story: dict[str, Any]) -> None:
    """Both end now: a character an hour, a bar a day."""
    print_line(f"\nLast 24 h, by the hour: {story['last_24h']}")
    print_line(f"    {sparkline(story['hourly'])}")
    print_line(f"Last 7 days: {story['last_7d']}")
    today = dt.datetime.now(dt.UTC)
    daily: Sequence[int] = story["daily"]
    most, width = max(daily, default=0), len(str(max(daily, default=0)))
    for back, count in zip(range(len(daily) - 1, -1, -1), daily, strict=True):
        name = f"{today - dt.timedelta(days=back):%a}"
        bar = "█" * (-(-count * DAY_BAR_CHARS // most) if most else 0)
        print_line(f"    {name}  {count:>{width}}  {bar}".rstrip())


def _print_counts(title: str, counts: dict[str, int]) -> None:
    if not counts:
        return
    print_line(f"\n{title}:")
    width = max(len(one_line(name)) for name in counts)
    for name, count in counts.items():
        print_line(f"    {one_line(name):<{width}}  {count:>8}")


def _print_what_to_do(story: dict[str, Any]) -> None:
    print_line("\nWhat to do:")
    print_line(f"    {one_line(story['hint'])}")
    for number, step in enumerate(story["steps"], 1):
        print_line(f"    {number}. {one_line(step)}")


def _print_history(entries: list[dict[str, Any]]) -> None:
    if not entries:
        return
    print_line("\nHistory:")
    for entry in entries[:SHOWN_HISTORY]:
        what = entry["action"].removeprefix("group_").replace("_", " ")
        detail = ", ".join(f"{name} {value}" for name, value in entry["detail"].items() if value)
        result = "" if entry["result"] == "ok" else f" ({entry['result']})"
        told = f"{entry['at']}  {entry['actor']}: {what}{f', {detail}' if detail else ''}{result}"
        print_line(f"    {one_line(told)}")


def _instant(at: str) -> str:
    return f"{one_line(at)} ({age_since(at)} ago)"


def _counted(counts: dict[str, int]) -> str | None:
    return ", ".join(f"{n} {one_line(name)}" for name, n in counts.items()) or None
