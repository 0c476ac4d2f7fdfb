"""`dlq stats`."""

from __future__ import annotations

from typing import Any

from dlq.cli import options
from dlq.cli.figures import percent
from dlq.cli.output import print_fields, print_json, print_line
from dlq.cli.text import age, one_line


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
