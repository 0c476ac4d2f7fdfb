"""The direct replay of a few dead letters by id: sent at once, and answered as sent or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from dlq.cli.exits import exit_code_for, exit_code_of_stop
from dlq.cli.figures import letters
from dlq.cli.output import Column, print_error, print_json, print_line, print_table
from dlq.errors import DLQError

if TYPE_CHECKING:
    from dlq.cli.manager import Manager

MOST_AT_ONCE = 10
"""More than these are a job's work."""
MAX_RETRIES = 3


def replay_batch(
    manager: Manager, ids: Sequence[str], *, max_retries: int, as_json: bool
) -> NoReturn:
    """Send them and tell what went out; ends the command with its exit code."""
    answer: dict[str, Any] = {"replayed_count": 0, "errors": []}
    stopped: DLQError | KeyboardInterrupt | None = None
    try:
        answer = manager.replay(ids, max_retries)
    except (DLQError, KeyboardInterrupt) as error:
        stopped = error
    replayed, errors = answer["replayed_count"], answer["errors"]
    if as_json:
        print_json(_as_json(replayed, errors, len(ids)))
    else:
        _print(replayed, errors, len(ids))
    if stopped is not None:
        why = str(stopped) or "Interrupted."
        print_error(f"{why} {letters(len(ids))} may not have been replayed.")
        raise typer.Exit(exit_code_of_stop(stopped))
    raise typer.Exit(exit_code_for((error.get("code", "") for error in errors), done=replayed))


def _as_json(replayed: int, errors: list[dict[str, Any]], asked: int) -> dict[str, Any]:
    return {
        "success": replayed == asked,
        "replayed_count": replayed,
        "failed_count": asked - replayed,
        "errors": errors,
    }


def _print(replayed: int, errors: list[dict[str, Any]], asked: int) -> None:
    print_line(f"Replayed {replayed} of {letters(asked)}.")
    if errors:
        columns = (Column("ID", whole=True), Column("CODE"), Column("WHY"))
        print_table(columns, ((e["message_id"], e.get("code"), e["error"]) for e in errors))
