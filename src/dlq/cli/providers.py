"""`dlq providers`: how fast each may be asked, and whether it can be."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from dlq.cli import options
from dlq.cli.figures import letters, pace, percent, time_to
from dlq.cli.output import Column, note, print_json, print_line, print_table
from dlq.cli.text import one_line

COLUMNS = (
    Column("PROVIDER", whole=True, widest=20),
    Column("RATE NOW", right=True, whole=True),
    Column("LIMIT", right=True, whole=True, from_width=70),
    Column("CIRCUIT", whole=True),
    Column("HELD FOR", right=True, whole=True, from_width=70),
    Column("SCHEDULED", right=True, whole=True, from_width=90),
    Column("NEXT IN", right=True, whole=True, from_width=110),
    Column("CREDENTIALS", right=True, whole=True, from_width=110),
    Column("ON THE WAY", right=True, whole=True, from_width=90),
    Column("OK", right=True, whole=True),
    Column("LAST ERROR", from_width=140),
)

app = typer.Typer()


@app.callback(invoke_without_command=True)
def list_providers(context: typer.Context, as_json: options.Json = False) -> None:
    """Show each provider: its pace and limit, its circuit, what waits for it, its success rate.

    CREDENTIALS counts the dead letters that wait until its credentials are mended, ON THE WAY the
    replays on their way, OK how many of those that came back succeeded. A circuit opens when
    replays fail in a row: nothing goes by itself until a probe succeeds.

    \b
    Examples:
      dlq providers
      dlq providers mended spotify
    """
    from dlq.cli.manager import Manager

    if context.invoked_subcommand is not None:
        return
    with Manager.from_environment() as manager:
        found = manager.providers()
    if as_json:
        print_json(found)
    elif not found:
        note("No provider has failed yet.")
    else:
        print_table(COLUMNS, (_row(provider) for provider in found))


@app.command()
def mended(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="An error_type, as spotify.", callback=options.not_empty
        ),
    ],
    as_json: options.Json = False,
) -> None:
    """Say that a provider's credentials are mended: what waited for them flows, at its pace.

    \b
    Example:
      dlq providers mended spotify
    """
    from dlq.cli.manager import Manager

    with Manager.from_environment() as manager:
        provider = manager.mended(name)
    if as_json:
        print_json(provider)
        return
    print_line(one_line(f"The credentials of {provider['provider']} are said to be mended."))
    waiting = provider["waiting_for_credentials"]
    if waiting:
        note(f"{letters(waiting)} still to be scheduled; see: dlq providers")
    elif provider["scheduled"]:
        note(f"Scheduled: {letters(provider['scheduled'])}, at {pace(provider['rate_per_s'])}.")
    else:
        note("Nothing waited for them.")


def _row(provider: dict[str, Any]) -> tuple[Any, ...]:
    circuit = provider["circuit"]
    state = circuit["state"].replace("_", " ")
    probe = time_to(circuit["probe_at"])
    return (
        provider["provider"],
        pace(provider["rate_per_s"]),
        pace(provider["limit_per_s"]),
        f"{state}, probe in {probe}" if state == "open" and probe != "–" else state,
        time_to(provider["hold_until"]),
        provider["scheduled"],
        time_to(provider["next_replay_at"]),
        provider["waiting_for_credentials"],
        provider["in_flight"],
        percent(provider["outcomes"]["success_rate"]),
        provider["last_error"],
    )
