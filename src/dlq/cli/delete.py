"""`dlq delete`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from dlq.cli import options
from dlq.cli.exits import exit_code_for, exit_code_of_stop
from dlq.cli.output import Column, confirmed, note, print_error, print_json, print_line, print_table
from dlq.errors import DLQError, IllegalTransition, InvalidInput, NotFound

if TYPE_CHECKING:
    from dlq.cli.manager import Manager


@dataclass(slots=True)
class Done:
    """What became of each; `stopped` is what ended the command early."""

    deleted: int = 0
    failed: list[tuple[str, DLQError]] = field(default_factory=list)
    stopped: DLQError | KeyboardInterrupt | None = None


def delete(
    message_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Or choose by --where.", callback=options.not_empty),
    ] = None,
    matching: options.WhereText = None,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Delete dead letters for good. Needs the role admin where there are tokens.

    \b
    Examples:
      dlq delete 550e8400-e29b-41d4-a716-446655440000
      dlq delete --where 'category:invalid_data age>30d'
    """
    from dlq.cli.manager import Manager

    if bool(message_ids) == (matching is not None):
        raise InvalidInput("Expected message ids, or --where with a filter: one of the two.")
    where = options.where(text=matching)
    with Manager.from_environment() as manager:
        ids = list(dict.fromkeys(message_ids or ())) or manager.message_ids(where)
        if not ids and not as_json:
            note("Nothing to delete.")
            return
        what = ids[0] if len(ids) == 1 else f"{len(ids)} dead letters"
        if ids and not confirmed(f"Delete {what} for good?", yes=yes):
            raise typer.Abort
        done = _delete(manager, ids)
    _report(done, len(ids), as_json=as_json)


def _delete(manager: Manager, ids: Sequence[str]) -> Done:
    """An error that concerns one id is kept; an unreachable manager ends the command."""
    done = Done()
    try:
        for message_id in ids:
            try:
                manager.delete(message_id)
                done.deleted += 1
            except (NotFound, IllegalTransition) as error:
                done.failed.append((message_id, error))
    except (DLQError, KeyboardInterrupt) as stopped:
        done.stopped = stopped
    return done


def _report(done: Done, asked: int, *, as_json: bool) -> None:
    if as_json:
        errors = [{"message_id": i, "code": e.code, "error": str(e)} for i, e in done.failed]
        print_json(
            {
                "deleted_count": done.deleted,
                "failed_count": asked - done.deleted,
                "errors": errors,
            }
        )
    else:
        print_line(f"Deleted {done.deleted} of {asked}.")
        if done.failed:
            columns = (Column("ID", whole=True), Column("CODE"), Column("WHY"))
            print_table(columns, ((i, e.code, e) for i, e in done.failed))
    if done.stopped is not None:
        rest = asked - done.deleted - len(done.failed)
        print_error(f"{str(done.stopped) or 'Interrupted.'} {rest} may not have been deleted.")
        raise typer.Exit(exit_code_of_stop(done.stopped))
    raise typer.Exit(exit_code_for((e.code for _, e in done.failed), done=done.deleted))
