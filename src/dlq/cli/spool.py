"""`dlq spool`: what waits on this host because the other side had not confirmed it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlq.cli import options
from dlq.cli.exits import ExitCode
from dlq.cli.output import Column, note, print_error, print_json, print_line, print_table
from dlq.cli.text import age_since
from dlq.payload import iso_z

if TYPE_CHECKING:
    from dlq.client.spool import Spool

DESTINATION = Column("DESTINATION", whole=True, widest=48)

app = typer.Typer()


@app.callback(invoke_without_command=True)
def summary(context: typer.Context, as_json: options.Json = False) -> None:
    """Show what waits in this host's spool, by destination.

    \b
    Examples:
      dlq spool
      dlq spool list --rejected
      dlq spool flush
    """
    if context.invoked_subcommand is not None:
        return
    spool = _spool()
    found = spool.summary()
    if as_json:
        print_json(
            [
                {
                    "destination": s.destination,
                    "waiting": s.waiting,
                    "rejected": s.rejected,
                    "bytes": s.bytes,
                    "oldest_at": None if s.oldest_at is None else iso_z(s.oldest_at),
                }
                for s in found
            ]
        )
    elif not found:
        note(f"Nothing waits. ({spool.path})")
    else:
        names = ("WAITING", "REJECTED", "BYTES", "OLDEST")
        print_table(
            [DESTINATION, *(Column(name) for name in names)],
            ((s.destination, s.waiting, s.rejected, s.bytes, _age(s.oldest_at)) for s in found),
        )


@app.command("list")
def list_entries(
    rejected: Annotated[
        bool, typer.Option("--rejected", help="Only what the other side will not take.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    as_json: options.Json = False,
) -> None:
    """List spooled messages, oldest first, with the reason why each is still here."""
    entries = _spool().entries(limit, rejected=True if rejected else None)
    rows: list[dict[str, Any]] = [
        {
            "message_id": e.message_id,
            "destination": e.destination,
            "created_at": iso_z(e.created_at),
            "attempts": e.attempts,
            "rejected": e.rejected,
            "last_error": e.last_error,
        }
        for e in entries
    ]
    if as_json:
        print_json(rows)
        return
    if not rows:
        note("No message of this host was rejected." if rejected else "Nothing waits.")
        return
    names = ("AGE", "ATTEMPTS", "REJECTED", "WHY")
    print_table(
        [Column("ID", whole=True), DESTINATION, *(Column(name) for name in names)],
        (
            (
                row["message_id"],
                row["destination"],
                age_since(row["created_at"]),
                row["attempts"],
                "yes" if row["rejected"] else "no",
                row["last_error"],
            )
            for row in rows
        ),
    )


@app.command()
def flush(
    timeout: Annotated[
        float, typer.Option(min=0.1, max=3600, help="Seconds.", callback=options.a_number)
    ] = 30.0,
    rejected: Annotated[
        bool, typer.Option("--rejected", help="Also what was rejected, after mending the cause.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Send what waits, now. Exits 1 if something is left.

    \b
    Example:
      dlq spool flush --timeout 60
    """
    from dlq.client import flush_spool
    from dlq.settings import Settings

    flushed = flush_spool(Settings.load(), timeout, rejected=rejected)
    if as_json:
        print_json(dataclasses.asdict(flushed))
    else:
        print_line(f"Sent {flushed.sent} to {flushed.destination}.")
        if rejected:
            note(f"Rejected before, tried again: {flushed.retried}")
    if flushed.left or flushed.rejected:
        print_error(
            f"{flushed.left} are left and {flushed.rejected} were rejected. See why: "
            "dlq spool list; dlq doctor"
        )
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def readdress(
    old: Annotated[str, typer.Argument(metavar="OLD", help="As `dlq spool` shows it.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="As `dlq spool` shows it.")],
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Give the messages of a broker that is no more to another one.

    \b
    Example:
      dlq spool readdress amqp://app@old:5672/musicdb amqp://app@new:5672/musicdb
    """
    from dlq.cli.output import confirmed

    if not confirmed(f"Send all that waits for {old} to {new}?", yes=yes):
        raise typer.Abort
    count = _spool().readdress(old, new)
    if as_json:
        print_json({"readdressed": count})
    else:
        print_line(f"Readdressed: {count}")


def _spool() -> Spool:
    from dlq.client.spool import Spool
    from dlq.settings import Settings

    return Spool(Settings.load())


def _age(instant: Any) -> str:
    return age_since(None if instant is None else iso_z(instant))
