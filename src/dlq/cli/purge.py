"""`dlq purge`."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlq.cli import options
from dlq.cli.exits import ExitCode, exit_code_of_stop
from dlq.cli.figures import letters
from dlq.cli.output import (
    Column,
    note,
    print_error,
    print_json,
    print_line,
    print_table,
    progress,
)
from dlq.cli.text import one_line
from dlq.errors import DLQError, InvalidInput

if TYPE_CHECKING:
    from dlq.worker.http import ManagerHttp

PATH = "/dlq/purge"
LOOK_S = 180.0
"""For what looks at the whole ledger before it answers."""
CAUSES = (
    Column("COUNT", right=True, whole=True),
    Column("GROUP", whole=True, from_width=76),
    Column("CATEGORY", whole=True, widest=16),
    Column("CAUSE"),
)
SHOWN = 5


@dataclass(slots=True)
class Done:
    """What became of a purge; `end` is the manager's last word, if it came to one."""

    looked_at: int = 0
    end: dict[str, Any] | None = None
    stopped: DLQError | KeyboardInterrupt | None = None


def purge(
    matching: options.WhereText = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be purged; change nothing.")
    ] = False,
    yes_delete: Annotated[
        int | None,
        typer.Option(
            "--yes-delete",
            metavar="COUNT",
            min=0,
            help="Do not ask: purge if exactly so many match.",
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Delete all dead letters that match a filter, for good. Needs the role admin where there
    are tokens.

    It shows what would go, and asks for the count. What arrives meanwhile stays. Everything that
    is in the DLQ is state:dlq.

    \b
    Examples:
      dlq purge --where 'category:invalid_data age>30d' --dry-run
      dlq purge --where 'category:invalid_data age>30d'
      dlq purge --where 'state:resolved error_type:spotify' --yes-delete 1204
    """
    from dlq.settings import Settings
    from dlq.worker.http import ManagerHttp

    where = options.where(text=matching)
    if where.is_empty:
        raise InvalidInput(
            "Expected --where with a filter that says what to purge. Everything that is in the "
            "DLQ is --where state:dlq."
        )
    text = where.filter.text()
    with closing(ManagerHttp(Settings.load())) as http:
        if yes_delete is None or dry_run:
            plan = http.request(
                "POST", PATH, json={"where": text, "dry_run": True}, timeout_s=LOOK_S
            ).json()
            _show(plan, as_json=as_json, dry_run=dry_run)
            if dry_run or not plan["total"]:
                return
            yes_delete = _asked(plan["total"])
        done = _purge(http, text, yes_delete)
    _report(done, yes_delete, as_json=as_json)


def _show(plan: dict[str, Any], *, as_json: bool, dry_run: bool) -> None:
    """What would go: the result of a dry run, or what the question is about."""
    if as_json:
        if dry_run:
            print_json(plan)
        return
    say = print_line if dry_run else note
    if not plan["total"]:
        say("Nothing matches.")
        return
    states = ", ".join(f"{count} {state}" for state, count in plan["by_state"].items())
    types = ", ".join(f"{count} {name}" for name, count in plan["by_error_type"].items())
    say(one_line(f"Would delete {letters(plan['total'])} for good: {states}; {types}."))
    if not dry_run:
        for cause in plan["causes"][:SHOWN]:
            say(one_line(f"  {cause['count']}  {cause['title']} ({cause['category']})"))
        return
    rows = ((c["count"], c["fingerprint"], c["category"], c["title"]) for c in plan["causes"])
    print_line("\nCauses:")
    print_table(CAUSES, rows)
    ids = plan["message_ids"][:SHOWN]
    print_line(f"\nThe first {len(ids)}:")
    for message_id in ids:
        print_line(f"    {one_line(message_id)}")


def _asked(total: int) -> int:
    """The count, typed by a person. Raises: InvalidInput: nobody is there; typer.Abort."""
    if not sys.stdin.isatty():
        raise InvalidInput(
            f"{letters(total)} would be deleted, and there is no terminal to ask on: pass "
            f"--yes-delete {total}."
        )
    typed: str = typer.prompt(
        f"Type {total} to delete {'it' if total == 1 else 'them'}",
        default="",
        show_default=False,
        err=True,
    )
    if typed.strip() != str(total):
        raise typer.Abort
    return total


def _purge(http: ManagerHttp, where: str, count: int) -> Done:
    """Raises: DLQError: before anything was purged."""
    done = Done()
    body = {"where": where, "expected_count": count}
    try:
        with (
            http.stream(PATH, method="POST", json=body, timeout_s=LOOK_S) as answer,
            progress("Purging", count) as advance,
        ):
            for line in answer.iter_lines():
                event = json.loads(line)
                if "done" in event:
                    advance(event["done"] - done.looked_at)
                    done.looked_at = event["done"]
                else:
                    done.end = event
    except (DLQError, KeyboardInterrupt) as stopped:
        if not done.looked_at and isinstance(stopped, DLQError):
            raise
        done.stopped = stopped
    return done


def _report(done: Done, count: int, *, as_json: bool) -> None:
    """Ends the command with its exit code."""
    if done.end is None:
        why = str(done.stopped or "") or "Interrupted."
        print_error(
            f"{why} At least {done.looked_at} of {count} were gone through by then; the audit "
            "has how many were purged. What is done is done: look again with --dry-run."
        )
        if done.stopped is None:
            raise typer.Exit(ExitCode.FAILED)
        raise typer.Exit(exit_code_of_stop(done.stopped))
    purged = done.end["purged"]
    if as_json:
        print_json(done.end)
    else:
        print_line(f"Purged {purged} of {letters(count)}.")
    if "code" in done.end:
        print_error(f"{done.end['detail']} The other {count - purged} were not purged.")
    elif purged < count and not as_json:
        note(f"{letters(count - purged)} changed meanwhile, or the manager was stopped.")
    raise typer.Exit(ExitCode.OK if purged == count else ExitCode.FAILED)
