"""`dlq jobs`: replays of many dead letters, as they run and as they ended."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Annotated, Any

import typer

from dlq.cli import job_options, options
from dlq.cli.follow import follow
from dlq.cli.job_report import phase, print_facts, what
from dlq.cli.job_tables import ITEMS, JOBS, done, item_row, job_row
from dlq.cli.output import confirmed, note, print_json, print_line, print_table
from dlq.cli.text import one_line

app = typer.Typer()

JobId = Annotated[
    str, typer.Argument(metavar="ID", help="As `dlq jobs` shows it.", callback=options.not_empty)
]


class JobStateName(StrEnum):
    PREPARING = "preparing"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    STOPPED = "stopped"
    CANCELLED = "cancelled"


class ItemStatusName(StrEnum):
    WAITING = "waiting"
    IN_FLIGHT = "in_flight"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RETURNED = "returned"
    PRESUMED = "presumed"
    SKIPPED = "skipped"
    REFUSED = "refused"
    CANCELLED = "cancelled"


@app.callback(invoke_without_command=True)
def list_jobs(
    context: typer.Context,
    state: Annotated[
        list[JobStateName] | None, typer.Option(help="Only these (repeatable). Default: all.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    as_json: options.Json = False,
) -> None:
    """List jobs, newest first; or follow, pause, resume, cancel, repeat one.

    `dlq replay` makes them.

    \b
    Examples:
      dlq jobs
      dlq jobs --state running --state paused
      dlq jobs follow 0b9c7f52-5f0e-4b4e-9f55-1c8c1b1d4c11
    """
    from dlq.cli.manager import Manager

    if context.invoked_subcommand is not None:
        return
    with Manager.from_environment() as manager:
        jobs = manager.jobs(state or (), limit=limit)
    if as_json:
        print_json(jobs)
    elif not jobs:
        note("No jobs. `dlq replay` makes them.")
    else:
        print_table(JOBS, (job_row(job) for job in jobs))


@app.command()
def show(
    job_id: JobId,
    items: Annotated[bool, typer.Option("--items", help="List its dead letters, too.")] = False,
    status: Annotated[
        ItemStatusName | None, typer.Option(help="Only the items that stand so.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many items.")] = 100,
    offset: Annotated[int, typer.Option(min=0, help="Skip so many items.")] = 0,
    as_json: options.Json = False,
) -> None:
    """Show one job: what was asked for, how far it is, what became of it and why it ended.

    \b
    Examples:
      dlq jobs show 0b9c7f52-5f0e-4b4e-9f55-1c8c1b1d4c11
      dlq jobs show 0b9c7f52-5f0e-4b4e-9f55-1c8c1b1d4c11 --items --status failed
    """
    from dlq.cli.manager import Manager

    found: list[dict[str, Any]] | None = None
    with Manager.from_environment() as manager:
        job = manager.job(job_id)
        if items or status:
            found = manager.job_items(job_id, status, limit=limit, offset=offset)
    if as_json:
        print_json(job if found is None else {**job, "items": found})
        return
    print_facts(job)
    if found is None:
        return
    print_line(f"\nItems{f' that are {status}' if status else ''}:")
    if found:
        print_table(ITEMS, (item_row(item) for item in found))
    else:
        note("None.")
    if len(found) == limit:
        note(f"There may be more: --offset {offset + limit}")


@app.command("follow")
def follow_job(job_id: JobId, as_json: options.Json = False) -> None:
    """Follow a job to its end. Ctrl-C leaves it running.

    Exits 0 if each succeeded or was skipped, else 1.

    \b
    Example:
      dlq jobs follow 0b9c7f52-5f0e-4b4e-9f55-1c8c1b1d4c11
    """
    from dlq.cli.manager import Manager

    with Manager.from_environment() as manager:
        follow(manager, manager.job(job_id), as_json=as_json)


@app.command()
def pause(job_id: JobId, as_json: options.Json = False) -> None:
    """Send nothing more of a job until it is resumed. What is on its way goes on.

    \b
    Example:
      dlq jobs pause 0b9c7f52-5f0e-4b4e-9f55-1c8c1b1d4c11
    """
    _change(job_id, "pause", as_json=as_json)


@app.command()
def resume(job_id: JobId, as_json: options.Json = False) -> None:
    """Let a paused job go on.

    \b
    Example:
      dlq jobs resume 0b9c7f52-5f0e-4b4e-9f55-1c8c1b1d4c11
    """
    _change(job_id, "resume", as_json=as_json)


@app.command()
def cancel(job_id: JobId, yes: options.Yes = False, as_json: options.Json = False) -> None:
    """End a job for good. What it has not sent stays in the DLQ as it is.

    \b
    Example:
      dlq jobs cancel 0b9c7f52-5f0e-4b4e-9f55-1c8c1b1d4c11
    """
    _change(job_id, "cancel", as_json=as_json, ask=not yes)


@app.command()
def repeat(
    job_id: JobId,
    at: job_options.At = None,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Make a job anew: the same choice among what is in the DLQ now, with the same options.

    \b
    Examples:
      dlq jobs repeat 0b9c7f52-5f0e-4b4e-9f55-1c8c1b1d4c11
      dlq jobs repeat 0b9c7f52-5f0e-4b4e-9f55-1c8c1b1d4c11 --at 02:00
    """
    from dlq.cli.manager import Manager

    start_at = None
    if at is not None:
        start_at = job_options.start_at(at, dt.datetime.now(dt.UTC)).isoformat()
    with Manager.from_environment() as manager:
        old = manager.job(job_id)
        if not confirmed(f"Repeat the job ({what(old)})?", yes=yes):
            raise typer.Abort
        made = manager.repeat_job(job_id, start_at)
    if as_json:
        print_json(made)
        return
    print_line(one_line(made["job_id"]))
    note(f"Chosen: {made['total']}. Follow it: dlq jobs follow {one_line(made['job_id'])}")


def _change(job_id: str, verb: str, *, as_json: bool, ask: bool = False) -> None:
    from dlq.cli.manager import Manager

    with Manager.from_environment() as manager:
        if ask:
            job = manager.job(job_id)
            left = job["waiting"]
            question = f"Cancel the job ({what(job)})? {left} of {job['total']} are not sent yet."
            if not confirmed(question, yes=False):
                raise typer.Abort
        job = manager.change_job(job_id, verb)
    if as_json:
        print_json(job)
        return
    print_line(one_line(f"Job {job['job_id']} is {job['state']}: {done(job)} done."))
    if job["in_flight"]:
        note(f"{job['in_flight']} are on their way; their outcomes are still taken.")
    if job["state"] == "running" and (now := phase(job)):
        note(now)
