"""What a job would replay, told before it is made: by `--dry-run`, and above the question."""

from __future__ import annotations

from typing import Any

from dlq.cli.figures import letters, pace
from dlq.cli.output import Column, note, print_line, print_table
from dlq.cli.text import age, one_line

CAUSES_ASKED = 3
CAUSES_SHOWN = 10
IDS_SHOWN = 10

CAUSES = (
    Column("COUNT", right=True, whole=True),
    Column("FINGERPRINT", whole=True, from_width=76),
    Column("CATEGORY", whole=True, widest=16),
    Column("CAUSE"),
)
PACE = (
    Column("PROVIDER"),
    Column("COUNT", right=True, whole=True),
    Column("PACE", right=True, whole=True),
    Column("TAKES", right=True, whole=True),
)


def print_preview(preview: dict[str, Any]) -> None:
    """How many and which, as a dry run's result."""
    states = ", ".join(f"{count} {state}" for state, count in preview["by_state"].items())
    print_line(one_line(f"Would replay {letters(preview['total'])}: {states}."))
    causes = preview["causes"]
    print_line("\nCauses:")
    print_table(
        CAUSES,
        (
            (cause["count"], cause["fingerprint"], cause["category"], cause["title"])
            for cause in causes[:CAUSES_SHOWN]
        ),
    )
    _print_rest(causes, CAUSES_SHOWN, preview["total"])
    print_line("\nPace:")
    print_table(
        PACE,
        (
            (each["provider"], each["count"], pace(each["rate_per_s"]), age(each["seconds"]))
            for each in preview["pace"]
        ),
    )
    print_line(f"\n{_duration(preview)}{_canary(preview)}")
    ids = preview["message_ids"]
    print_line(f"\nThe first {min(len(ids), IDS_SHOWN)}:")
    for message_id in ids[:IDS_SHOWN]:
        print_line(f"    {one_line(message_id)}")
    note_unknown(preview["unknown_ids"])


def note_preview(preview: dict[str, Any]) -> None:
    """The same in a few lines, for who is about to be asked."""
    causes = preview["causes"]
    width = max((len(str(cause["count"])) for cause in causes), default=0)
    for cause in causes[:CAUSES_ASKED]:
        told = one_line(f"{cause['title']} ({cause['category']})")
        note(f"  {cause['count']:>{width}}  {_cut(told)}")
    if len(causes) > CAUSES_ASKED:
        rest = preview["total"] - sum(cause["count"] for cause in causes[:CAUSES_ASKED])
        note(f"  {rest:>{width}}  of other causes; all of them: --dry-run")
    paces = ", ".join(f"{each['provider']} {pace(each['rate_per_s'])}" for each in preview["pace"])
    note(one_line(f"Pace: {paces}. {_duration(preview)}{_canary(preview)}"))
    note_unknown(preview["unknown_ids"])


def note_unknown(ids: list[str]) -> None:
    if ids:
        more = f" and {len(ids) - IDS_SHOWN} more" if len(ids) > IDS_SHOWN else ""
        note(f"Not in the ledger: {one_line(', '.join(ids[:IDS_SHOWN]))}{more}.")


def _print_rest(causes: list[dict[str, Any]], shown: int, total: int) -> None:
    rest = total - sum(cause["count"] for cause in causes[:shown])
    if rest > 0:
        print_line(f"and {letters(rest)} of other causes.")


def _duration(preview: dict[str, Any]) -> str:
    if preview["eta_s"] is None:
        return "How long it takes cannot be said."
    return f"Takes about {age(preview['eta_s'])} if a worker keeps up."


def _canary(preview: dict[str, Any]) -> str:
    count = preview["canary"]
    return f" A canary of {count} goes first." if count else ""


def _cut(text: str) -> str:
    from rich.text import Text

    from dlq.cli.output import console

    line = Text(text)
    line.truncate(max(console(stderr=True).width - 12, 20), overflow="ellipsis")
    return line.plain
