"""`dlq replay`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlq.cli import options
from dlq.cli.exits import exit_code_for, exit_code_of_stop
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
from dlq.errors import DLQError, InvalidInput

if TYPE_CHECKING:
    from dlq.cli.manager import Manager
    from dlq.cli.where import Where


@dataclass(slots=True)
class Done:
    """What became of all batches; `stopped` is what ended them early."""

    replayed_count: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    stopped: DLQError | KeyboardInterrupt | None = None


def replay(
    message_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Or choose by the options.", callback=options.not_empty),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that is in the DLQ.")] = False,
    state: options.States = None,
    error_type: options.ErrorType = None,
    category: options.Category = None,
    fingerprint: options.Fingerprint = None,
    source_service: options.SourceService = None,
    max_retries: Annotated[
        int, typer.Option(min=1, max=100, help="Tries granted to the worker.")
    ] = 3,
    batch_size: Annotated[int, typer.Option(min=1, max=1000, help="Sent at once.")] = 50,
    pause: Annotated[
        float,
        typer.Option(min=0, max=3600, help="Seconds between batches.", callback=options.a_number),
    ] = 0.0,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Send dead letters through again, once the cause is mended.

    What became of each replay shows in `dlq show ID`.

    \b
    Examples:
      dlq replay 550e8400-e29b-41d4-a716-446655440000
      dlq replay --fingerprint 3f1c0a9be2d47a55 --yes
      dlq replay --error-type musicbrainz --batch-size 1 --pause 1
    """
    from dlq.cli.manager import Manager

    where = options.where(state, error_type, category, fingerprint, source_service)
    check_choice(message_ids, everything, where)
    with Manager.from_environment() as manager:
        ids = list(dict.fromkeys(message_ids or ())) or manager.message_ids(where)
        if not ids and not as_json:
            note("Nothing to replay.")
            return
        if not message_ids and not confirmed(f"Replay {_letters(len(ids))}?", yes=yes):
            raise typer.Abort
        done = _replay(manager, ids, max_retries=max_retries, batch_size=batch_size, pause_s=pause)
    _report(done, len(ids), as_json=as_json)


def check_choice(message_ids: Sequence[str] | None, everything: bool, where: Where) -> None:
    """Ids, or --all, or a filter: exactly one of them, so that nobody replays all by mistake.

    Raises: InvalidInput.
    """
    chosen = [bool(message_ids), everything, not where.is_empty]
    if sum(chosen) != 1:
        raise InvalidInput(
            "Expected message ids, or --all, or a filter (--state, --error-type, --category, "
            "--fingerprint, --source-service): one of the three."
        )


def _replay(
    manager: Manager, ids: Sequence[str], *, max_retries: int, batch_size: int, pause_s: float
) -> Done:
    done = Done()
    try:
        with progress("Replaying", len(ids)) as advance:
            for number, batch in enumerate(_batches(ids, batch_size)):
                if number and pause_s:
                    time.sleep(pause_s)
                answer = manager.replay(batch, max_retries)
                done.replayed_count += answer["replayed_count"]
                done.errors += answer["errors"]
                advance(len(batch))
    except (DLQError, KeyboardInterrupt) as stopped:
        done.stopped = stopped
    return done


def _batches(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def _report(done: Done, asked: int, *, as_json: bool) -> None:
    untouched = asked - done.replayed_count - len(done.errors)
    if as_json:
        print_json(
            {
                "success": done.replayed_count == asked,
                "replayed_count": done.replayed_count,
                "failed_count": asked - done.replayed_count,
                "errors": done.errors,
            }
        )
    else:
        print_line(f"Replayed {done.replayed_count} of {_letters(asked)}.")
        if done.errors:
            columns = (Column("ID", whole=True), Column("CODE"), Column("WHY"))
            rows = ((e["message_id"], e.get("code"), e["error"]) for e in done.errors)
            print_table(columns, rows)
    if done.stopped is not None:
        why = str(done.stopped) or "Interrupted."
        print_error(f"{why} {_letters(untouched)} may not have been replayed.")
        raise typer.Exit(exit_code_of_stop(done.stopped))
    codes = (error.get("code", "") for error in done.errors)
    raise typer.Exit(exit_code_for(codes, done=done.replayed_count))


def _letters(count: int) -> str:
    return f"{count} dead letter{'' if count == 1 else 's'}"
