"""`dlq regroup`: the causes of all dead letters, found anew by the rules of today."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlq.cli import options
from dlq.cli.exits import ExitCode, exit_code_of_stop
from dlq.cli.figures import letters
from dlq.cli.output import (
    Column,
    confirmed,
    note,
    print_error,
    print_json,
    print_line,
    print_table,
    progress,
)
from dlq.cli.text import one_line
from dlq.errors import DLQError

if TYPE_CHECKING:
    from dlq.cli.group_api import GroupManager

TITLES = {"reading": "Reading", "moving": "Moving"}
KINDS = {
    "split": ("split", "splits"),
    "merge": ("merge", "merges"),
    "mixed": ("rearrangement", "rearrangements"),
    "category": ("change of category", "changes of category"),
    "rename": ("new fingerprint", "new fingerprints"),
}
"""In the order in which they are shown: what people have to look at first."""
CHANGES = (
    Column("CHANGE", whole=True),
    Column("", whole=True),
    Column("COUNT", right=True, whole=True),
    Column("CAUSE", whole=True, from_width=76),
    Column("CATEGORY", whole=True, widest=14, from_width=96),
    Column("TITLE"),
)
SHOWN_GROUPS = 10


@dataclass(slots=True)
class Run:
    """One stream of the manager: how far it came, and its last word if it came to one."""

    done: int = 0
    total: int = 0
    moved: int = 0
    end: dict[str, Any] | None = None
    stopped: DLQError | KeyboardInterrupt | None = None


def regroup(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change; change nothing.")
    ] = False,
    limit: Annotated[
        int, typer.Option(min=1, help="Show at most so many changes; --json has all.")
    ] = 20,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Find the causes of all dead letters anew, and move those that have another one now.

    Needed after an upgrade that changes how causes are found, or after a change of your own
    rules; for what arrives, they hold at once. Try it with --dry-run, for which the role viewer
    does; to move needs the role admin. Ended early, what is moved stays moved: run it again.

    \b
    Examples:
      dlq regroup --dry-run
      dlq regroup
      dlq regroup --yes --json | jq .moved
    """
    from dlq.cli.group_api import GroupManager

    with GroupManager() as manager:
        if dry_run or not yes:
            found = _report_of(_run(manager, dry_run=True), as_json=as_json)
            if dry_run or not found["to_move"]:
                _tell(found, limit, as_json=as_json)
                return
            if not as_json:
                _print_report(found, limit)
            if not confirmed(f"Move {letters(found['to_move'])}?", yes=False):
                raise typer.Abort
        report = _report_of(_run(manager, dry_run=False), as_json=as_json)
    if not as_json and not yes:  # what changes was shown before the question
        print_line(f"Moved {letters(report['moved'])}.")
    else:
        _tell(report, limit, as_json=as_json)


def _tell(report: dict[str, Any], limit: int, *, as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    _print_report(report, limit)
    if not report["dry_run"]:
        print_line(f"Moved {letters(report['moved'])}.")


# --- the stream --------------------------------------------------------------------------


def _run(manager: GroupManager, *, dry_run: bool) -> Run:
    """Raises: DLQError: before it has begun."""
    run = Run()
    try:
        with manager.regroup(dry_run=dry_run) as events:
            _follow(events, run)
    except (DLQError, KeyboardInterrupt) as stopped:
        if not run.total and isinstance(stopped, DLQError):
            raise
        run.stopped = stopped
    return run


def _follow(events: Iterator[dict[str, Any]], run: Run) -> None:
    """With a bar for each phase."""
    phase = None
    with ExitStack() as bars:
        advance = None
        for event in events:
            if "done" not in event:
                run.end = event
                continue
            if advance is None or event["phase"] != phase:
                bars.close()
                phase = event["phase"]
                title = TITLES.get(phase, one_line(phase))
                advance = bars.enter_context(progress(title, event["total"]))
                run.done = 0
            advance(event["done"] - run.done)
            run.done, run.total, run.moved = event["done"], event["total"], event["moved"]


def _report_of(run: Run, *, as_json: bool) -> dict[str, Any]:
    """Raises: typer.Exit: it did not come to its end; that is told."""
    if run.end is not None and "report" in run.end:
        report: dict[str, Any] = run.end["report"]
        return report
    if run.end is not None:
        if as_json:
            print_json(run.end)
        print_error(run.end["detail"])
        raise typer.Exit(
            ExitCode.UNREACHABLE if run.end["code"] == "ledger_unavailable" else ExitCode.FAILED
        )
    why = str(run.stopped or "") or ("Interrupted." if run.stopped else "The manager broke off.")
    moved = f"At least {letters(run.moved)} moved, which stays so" if run.moved else "None moved"
    print_error(
        f"{why} {moved}; {run.done:,} of {run.total:,} were looked at. Run it again: it goes on "
        "with what is left."
    )
    raise typer.Exit(exit_code_of_stop(run.stopped) if run.stopped else ExitCode.FAILED)


# --- the report --------------------------------------------------------------------------


def _print_report(report: dict[str, Any], limit: int) -> None:
    changes = sorted(report["changes"], key=lambda change: _place(change["kind"]))
    print_line(
        f"Of {letters(report['total'])} {report['to_move']} have another cause; "
        f"{report['unchanged_causes']} causes stay as they are."
    )
    if not changes:
        return
    print_line(f"{_kinds(changes)}.\n")
    print_table(CHANGES, (row for change in changes[:limit] for row in _rows(change)))
    if len(changes) > limit:
        note(f"{len(changes) - limit} more changes: --limit {len(changes)}, or --json")
    left = [group for change in changes for group in change["left_marks"]]
    if left:
        more = " …" if len(left) > SHOWN_GROUPS else ""
        names = ", ".join(one_line(group) for group in left[:SHOWN_GROUPS])
        note(f"What leaves these groups leaves their notes and marks behind: {names}{more}")


def _rows(change: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    before, after = change["before"], change["after"]
    what = f"{len(before)} become{'s' if len(before) == 1 else ''} {len(after)}"
    for side, parts in (("was", before), ("is", after)):
        for part in parts:
            yield what, side, part["count"], part["fingerprint"], part["category"], part["title"]


def _kinds(changes: list[dict[str, Any]]) -> str:
    """`1 split, 2 merges`."""
    told = []
    for kind, (one, several) in KINDS.items():
        count = sum(change["kind"] == kind for change in changes)
        if count:
            told.append(f"{count} {one if count == 1 else several}")
    return ", ".join(told)


def _place(kind: str) -> int:
    return list(KINDS).index(kind) if kind in KINDS else len(KINDS)
