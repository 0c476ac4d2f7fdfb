"""`dlq rebuild`, on the host of the manager's ledger."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Annotated

import typer

from dlq.cli import options
from dlq.cli.exits import ExitCode
from dlq.cli.output import confirmed, note, print_json, progress
from dlq.errors import InvalidInput


def rebuild(
    from_analysis: Annotated[
        bool,
        typer.Option("--from-analysis", help="Out of the analysis queue; must be given."),
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN",
            help="Only what failed since: 7d, 12h, 2026-11-01 or 2026-11-01T12:00:00Z.",
            callback=options.not_empty,
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(help="Read at most so many, from the oldest.", min=1, max=65_535)
    ] = 50_000,
    with_id_only: Annotated[
        bool,
        typer.Option(
            "--with-id-only",
            help="Leave out messages without message_id, which a ledger that has them already "
            "could not recognise.",
        ),
    ] = False,
    max_returns: Annotated[
        int,
        typer.Option(
            help="Stop at a message that was returned to the queue this often already.", min=1
        ),
    ] = 10,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Refill a lost ledger from the analysis queue, which keeps all that it has.

    Reads DLQ_LEDGER_URL and the broker's settings as the manager does, and asks no manager; one
    may run meanwhile. Safe to run again, and Ctrl-C leaves everything in the queue.

    What comes back is pending, whatever had become of it before the loss: resolved, deleted and
    purged dead letters too, as far as the queue still has them. Set DLQ_AUTO_RETRY=false before
    the manager starts if the policies must not replay them by themselves.

    \b
    Examples:
      dlq rebuild --from-analysis
      dlq rebuild --from-analysis --since 2d --yes
    """
    from dlq.cli.topology import need_broker
    from dlq.ledger import open_ledger
    from dlq.manager.rebuild import Choice, waiting_in
    from dlq.manager.rebuild import rebuild as refill
    from dlq.manager.service import rules_of
    from dlq.settings import Settings, without_password

    if not from_analysis:
        raise InvalidInput("Say out of what: dlq rebuild --from-analysis.")
    choice = Choice(limit, _instant(since), with_id_only, max_returns)
    settings = Settings.load()
    need_broker(settings)
    depth = waiting_in(settings)
    if depth.consumers:
        note(f"Others consume the analysis queue ({depth.consumers}): what they hold is not seen.")
    if not depth.ready:
        note("Nothing is ready in the analysis queue, or it has no leader just now.")
    ledger_url = without_password(settings.resolved_ledger_url)
    question = (
        f"Read {min(depth.ready, limit):,} of {depth.ready:,} messages of "
        f"{settings.analysis_queue} into {ledger_url}? They come back as pending, also those that "
        "were resolved or deleted."
    )
    if depth.ready and not confirmed(question, yes=yes):
        raise typer.Abort
    ledger = open_ledger(settings.resolved_ledger_url, rules=rules_of(settings))
    try:
        with progress("Rebuilding", min(depth.ready, limit)) as advance:
            rebuilt = refill(settings, ledger, choice, ready=depth.ready, on_progress=advance)
    finally:
        ledger.close()
    if as_json:
        print_json({"ready": depth.ready, **dataclasses.asdict(rebuilt)})
    note(
        f"Read {rebuilt.read:,} of {depth.ready:,}: {rebuilt.stored:,} stored, "
        f"{rebuilt.known:,} known already, {rebuilt.left_out:,} left out."
    )
    if rebuilt.made_up_ids:
        note(f"{rebuilt.made_up_ids:,} came without message_id and got one made of their content.")
    if rebuilt.read < rebuilt.expected:
        note(
            f"{rebuilt.expected - rebuilt.read:,} less than waited when it began: they expired, "
            "others took them, or the time was over. Run it again to see what is there."
        )
        raise typer.Exit(ExitCode.FAILED)


def _instant(text: str | None) -> dt.datetime | None:
    """An age, or an ISO 8601 instant in UTC unless it says otherwise. Raises: InvalidInput."""
    from dlq.message import utc
    from dlq.query.values import duration

    if text is None:
        return None
    try:
        return utc(dt.datetime.fromisoformat(text))
    except ValueError:
        pass
    try:
        return dt.datetime.now(dt.UTC) - duration(text)
    except ValueError:
        raise InvalidInput(
            f"--since: expected an age as 7d or 12h, or a date or time in UTC as 2026-11-01 or "
            f"2026-11-01T12:00:00Z, got {text!r}."
        ) from None
