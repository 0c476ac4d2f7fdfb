"""`dlq replay`: a few by id at once, anything more as a job."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from dlq.cli import job_options, options
from dlq.cli.batch import MAX_RETRIES, MOST_AT_ONCE, replay_batch
from dlq.cli.exits import ExitCode
from dlq.cli.figures import letters
from dlq.cli.follow import follow, note_running_on
from dlq.cli.output import confirmed, note, print_error, print_json, print_line
from dlq.cli.preview import note_preview, note_unknown, print_preview
from dlq.cli.text import one_line
from dlq.errors import BrokerUnavailable, InvalidInput

if TYPE_CHECKING:
    from dlq.cli.manager import Manager
    from dlq.cli.where import Where

EVERYTHING = "state:dlq"
MAX_FILE_CHARS = 4 * 1024 * 1024


def replay(
    message_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Or choose by the options.", callback=options.not_empty),
    ] = None,
    ids_from: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Ids, one a line; - is stdin.", callback=options.not_empty
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that is in the DLQ.")] = False,
    matching: options.WhereText = None,
    state: options.States = None,
    error_type: options.ErrorType = None,
    category: options.Category = None,
    fingerprint: options.Fingerprint = None,
    source_service: options.SourceService = None,
    max_retries: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100,
            help="Tries granted to the worker. Default: 3 for a few by id, else the worker's.",
        ),
    ] = None,
    rate: job_options.Rate = None,
    canary: job_options.Canary = None,
    canary_share: job_options.CanaryShare = None,
    concurrency: job_options.Concurrency = None,
    routing_key: job_options.To = None,
    skip_superseded: job_options.SkipSuperseded = None,
    ordered_by: job_options.OrderedBy = None,
    limit: job_options.Limit = None,
    at: job_options.At = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell how many and which; change nothing.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Print the job's id and do not follow it.")
    ] = False,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Send dead letters through again, once the cause is mended.

    Up to 10 ids go out at once; `dlq show ID` tells what became of each.
    Anything else becomes a job: it asks first, goes at the pace that each
    provider allows, tries a canary if it is large, and is followed to its
    end. Ctrl-C leaves it running.

    \b
    Examples:
      dlq replay 550e8400-e29b-41d4-a716-446655440000
      dlq replay --fingerprint 3f1c0a9be2d47a55 --dry-run
      dlq replay --where 'category:rate_limit age>1h' --rate 1/s
      dlq replay --error-type musicbrainz --canary 5 --canary-share 80%
      dlq replay --all --at 02:00 --detach --yes
      dlq list --category auth | cut -f1 | tail -n +2 > ids
      dlq replay --ids-from ids --ordered-by payload.playlist_id
    \b
    Exit codes of a job:
      0    each succeeded, or was skipped since it need not be sent
      1    some did not succeed, or the job was stopped or cancelled
      130  Ctrl-C; the job goes on
    """
    from dlq.cli.manager import Manager

    where = options.where(state, error_type, category, fingerprint, source_service, matching)
    ids = _ids(message_ids or (), ids_from)
    check_choice(ids, everything, where)
    job = job_options.checked(
        {
            "rate": rate,
            "canary": canary,
            "canary_share": canary_share,
            "concurrency": concurrency,
            "routing_key": routing_key,
            "skip_superseded": skip_superseded,
            "ordered_by": ordered_by,
            "limit": limit,
        }
    )
    if at is not None:
        job["start_at"] = job_options.start_at(at, dt.datetime.now(dt.UTC)).isoformat()
    with Manager.from_environment() as manager:
        if message_ids and not (ids_from or job or dry_run or detach) and len(ids) <= MOST_AT_ONCE:
            replay_batch(manager, ids, max_retries=max_retries or MAX_RETRIES, as_json=as_json)
        job |= {"message_ids": ids} if ids else {"where": where.filter.text() or EVERYTHING}
        job |= {} if max_retries is None else {"max_retries": max_retries}
        _replay_by_job(manager, job, dry_run=dry_run, detach=detach, yes=yes, as_json=as_json)


def check_choice(ids: Sequence[str], everything: bool, where: Where) -> None:
    """Ids, or --all, or a filter: exactly one of them, so that nobody replays all by mistake.

    Raises: InvalidInput.
    """
    chosen = [bool(ids), everything, not where.is_empty]
    if sum(chosen) != 1:
        raise InvalidInput(
            "Expected message ids (or --ids-from), or --all, or a filter (--where, --state, "
            "--error-type, --category, --fingerprint, --source-service): one of the three."
        )


def _ids(given: Sequence[str], ids_from: str | None) -> list[str]:
    """The ids, each once.

    Raises: InvalidInput: the file cannot be read or has none, or there are too many.
    """
    from dlq.job import MAX_IDS

    ids = list(dict.fromkeys([*given, *(_ids_in(ids_from) if ids_from else ())]))
    if len(ids) > MAX_IDS:
        raise InvalidInput(f"Expected {MAX_IDS} ids at most, got {len(ids)}. Choose by --where.")
    return ids


def _ids_in(name: str) -> list[str]:
    try:
        with nullcontext(sys.stdin) if name == "-" else Path(name).open(encoding="utf-8") as file:
            text = file.read(MAX_FILE_CHARS + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"--ids-from {name} cannot be read: {error}.") from error
    found = [line.strip() for line in text.splitlines() if line.strip()]
    if not found or len(text) > MAX_FILE_CHARS:
        got = f"more than {MAX_FILE_CHARS} characters" if found else "none"
        raise InvalidInput(f"--ids-from {name}: expected ids, one a line; got {got}.")
    return found


def _replay_by_job(
    manager: Manager, job: dict[str, Any], *, dry_run: bool, detach: bool, yes: bool, as_json: bool
) -> None:
    preview = manager.preview_job(job)
    if dry_run and as_json:
        print_json(preview)
        return
    if not preview["total"]:
        _end_with_nothing(preview, as_json=as_json)
    if dry_run:
        print_preview(preview)
        return
    if not yes:
        note_preview(preview)
    if not confirmed(f"Replay {letters(preview['total'])}?", yes=yes):
        raise typer.Abort
    made = _made(manager, job)
    if not detach:
        if not as_json:
            note(f"Job {one_line(made['job_id'])}: {letters(made['total'])}.")
        follow(manager, made, as_json=as_json)
    if as_json:
        print_json(made)
    else:
        print_line(one_line(made["job_id"]))
        note_running_on(made)
    if made["unknown_ids"]:
        note_unknown(made["unknown_ids"])
        raise typer.Exit(ExitCode.FAILED)


def _end_with_nothing(preview: dict[str, Any], *, as_json: bool) -> NoReturn:
    if as_json:
        print_json(preview)
    else:
        note("Nothing to replay.")
        note_unknown(preview["unknown_ids"])
    raise typer.Exit(ExitCode.NOT_FOUND if preview["unknown_ids"] else ExitCode.OK)


def _made(manager: Manager, job: dict[str, Any]) -> dict[str, Any]:
    """The new job. Who is not told that it was made is told where to look."""
    try:
        return manager.create_job(job)
    except BrokerUnavailable as error:
        raise BrokerUnavailable(
            f"{error} The job may have been made: see `dlq jobs` before you ask again."
        ) from error
    except KeyboardInterrupt:
        print_error("Interrupted. The job may have been made: see `dlq jobs`.")
        raise
