"""`dlq stats` and `dlq groups`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from dlq.cli import options
from dlq.cli.figures import percent
from dlq.cli.output import Column, note, print_fields, print_json, print_line, print_table
from dlq.cli.text import age, age_since, one_line

CAUSE_COLUMNS = (
    Column("FINGERPRINT", whole=True),
    Column("COUNT", right=True),
    Column("TYPE", whole=True, widest=16, from_width=96),
    Column("CATEGORY", whole=True, widest=16),
    Column("FIRST", right=True, from_width=96),
    Column("LAST", whole=True, right=True),
    Column("CAUSE"),
)
TYPE_COLUMNS = (
    Column("TYPE", whole=True, widest=16),
    Column("COUNT", right=True),
    Column("FIRST", right=True),
    Column("LAST", right=True),
    Column("SAMPLE", whole=True),
)


class By(StrEnum):
    CAUSE = "cause"
    ERROR_TYPE = "error-type"


def show_stats(as_json: options.Json = False) -> None:
    """Show how many dead letters there are, of what, how old, and how their replays fare.

    \b
    Examples:
      dlq stats
      dlq stats --json | jq .total_messages
    """
    from dlq.cli.manager import Manager

    with Manager.from_environment() as manager:
        stats = manager.stats()
    if as_json:
        print_json(stats)
        return
    print_fields(
        [
            ("In the DLQ", stats["total_messages"]),
            ("Oldest", age(stats["oldest_message_age_seconds"])),
            ("Newest", age(stats["newest_message_age_seconds"])),
        ]
    )
    _print_counts("By error type", stats["by_error_type"])
    _print_counts("By service", stats["by_service"])
    _print_counts("By state", stats.get("by_state") or {})
    _print_counts("Queues", stats["queue_stats"])
    _print_replays(stats)


def show_groups(
    by: Annotated[By, typer.Option(help="What makes a group.")] = By.CAUSE,
    as_json: options.Json = False,
) -> None:
    """Show what broke: dead letters grouped by cause, largest group first.

    \b
    Examples:
      dlq groups
      dlq groups --by error-type
      dlq replay --fingerprint 3f1c0a9be2d47a55
    """
    from dlq.cli.manager import Manager

    with Manager.from_environment() as manager:
        groups = manager.groups(by.value.replace("-", "_"))
    if as_json:
        print_json(groups)
    elif not groups:
        note("The DLQ is empty.")
    elif by is By.CAUSE:
        print_table(CAUSE_COLUMNS, (_cause(group) for group in groups))
    else:
        print_table(TYPE_COLUMNS, (_type(group) for group in groups))


def _print_counts(title: str, counts: dict[str, int | None]) -> None:
    if not counts:
        return
    print_line(f"\n{title}:")
    width = max(len(one_line(name)) for name in counts)
    for name, count in counts.items():
        shown = "not known" if count is None else f"{count:>8}"
        print_line(f"    {one_line(name):<{width}}  {shown}")


def _print_replays(stats: dict[str, Any]) -> None:
    """Jobs that are not over, circuits that are not closed, and what replays have come to."""
    live = ("preparing", "running", "paused")
    _print_counts("Jobs", {s: n for s, n in stats["jobs"].items() if s in live and n})
    opened = {name: state for name, state in stats["circuits"].items() if state != "closed"}
    if opened:
        print_line("\nCircuits (dlq providers):")
        width = max(len(one_line(name)) for name in opened)
        for name, state in opened.items():
            print_line(f"    {one_line(name):<{width}}  {one_line(state.replace('_', ' '))}")
    outcomes = {name: n for name, n in stats["by_outcome"].items() if n}
    _print_counts("Replays by outcome", outcomes)
    if outcomes:
        rate = outcomes.get("succeeded", 0) / sum(outcomes.values())
        print_line(f"    Success rate: {percent(rate)}")


def _cause(group: dict[str, Any]) -> tuple[Any, ...]:
    return (
        group["fingerprint"],
        group["count"],
        group["error_type"],
        group["category"],
        age_since(group["first_seen"]),
        age_since(group["last_seen"]),
        group["title"],
    )


def _type(group: dict[str, Any]) -> tuple[Any, ...]:
    return (
        group["error_type"],
        group["count"],
        age_since(group["first_seen"]),
        age_since(group["last_seen"]),
        next(iter(group["sample_messages"]), None),
    )
