"""`dlq delete`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dlq.cli import options
from dlq.cli.exits import exit_code_for
from dlq.cli.output import Column, confirmed, print_json, print_line, print_table
from dlq.errors import DLQError, IllegalTransition, NotFound

if TYPE_CHECKING:
    from dlq.cli.manager import Manager


def delete(
    message_ids: Annotated[list[str], typer.Argument(metavar="ID", help="The message_ids.")],
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Delete dead letters for good. Needs the role admin where there are tokens.

    \b
    Example:
      dlq delete 550e8400-e29b-41d4-a716-446655440000
    """
    from dlq.cli.manager import Manager

    ids = list(dict.fromkeys(message_ids))
    what = ids[0] if len(ids) == 1 else f"{len(ids)} dead letters"
    if not confirmed(f"Delete {what} for good?", yes=yes):
        raise typer.Abort
    with Manager.from_environment() as manager:
        tried = [(message_id, _delete(manager, message_id)) for message_id in ids]
    failed = [(message_id, error) for message_id, error in tried if error is not None]
    deleted = len(ids) - len(failed)
    if as_json:
        errors = [{"message_id": i, "code": e.code, "error": str(e)} for i, e in failed]
        print_json({"deleted_count": deleted, "failed_count": len(failed), "errors": errors})
    else:
        print_line(f"Deleted {deleted} of {len(ids)}.")
        if failed:
            columns = (Column("ID", whole=True), Column("CODE"), Column("WHY"))
            print_table(columns, ((i, e.code, e) for i, e in failed))
    raise typer.Exit(exit_code_for((e.code for _, e in failed), done=deleted))


def _delete(manager: Manager, message_id: str) -> DLQError | None:
    """Only what concerns this one is kept; an unreachable manager ends the command."""
    try:
        manager.delete(message_id)
    except (NotFound, IllegalTransition) as error:
        return error
    return None
