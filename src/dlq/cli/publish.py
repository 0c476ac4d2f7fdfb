"""`dlq publish`."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from dlq.cli import options
from dlq.cli.exits import ExitCode
from dlq.cli.output import note, print_error, print_json, print_line
from dlq.cli.text import one_line
from dlq.errors import InvalidInput


def publish(
    error: Annotated[str, typer.Option("--error", help="What went wrong, in words.")],
    item: Annotated[
        str, typer.Argument(metavar="ITEM", help="The item as JSON; default: from stdin.")
    ] = "-",
    error_type: Annotated[
        str | None, typer.Option("--error-type", help="Default: found from the error.")
    ] = None,
    source_service: Annotated[str, typer.Option("--source-service")] = "dlq-cli",
    retry_count: Annotated[int, typer.Option(min=0, help="Tries made before.")] = 0,
    metadata: Annotated[str | None, typer.Option(help="A JSON object.")] = None,
    correlation_id: Annotated[str | None, typer.Option()] = None,
    message_id: Annotated[
        str | None, typer.Option(help="Publishing it again under the same id changes nothing.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Publish a failure by hand, or from a script that has no Python.

    With the broker (or the manager) down it is kept in this host's spool; see `dlq spool`.

    \b
    Examples:
      dlq publish '{"artist": "Deadmau5", "title": "Strobe"}' --error "429 Too Many Requests"
      jq -c .track item.json | dlq publish --error "no match" --error-type musicbrainz
    """
    from dlq.client import DLQClient
    from dlq.settings import Settings

    payload = _json("the item", sys.stdin.read() if item == "-" else item)
    described = None if metadata is None else _json("--metadata", metadata)
    if described is not None and not isinstance(described, dict):
        raise InvalidInput("--metadata: expected a JSON object.")
    client = DLQClient(Settings.load(), source_service=source_service)
    try:
        receipt = client.publish_to_dlq(
            payload,
            error,
            retry_count=retry_count,
            metadata=described,
            correlation_id=correlation_id,
            error_type=error_type,
            message_id=message_id,
        )
    finally:
        client.close()
    if as_json:
        print_json({"message_id": receipt.message_id, "state": receipt.state.value})
    else:
        print_line(one_line(receipt.message_id))
    if not receipt:
        print_error(f"Nobody holds this failure: {receipt.reason}")
        raise typer.Exit(ExitCode.FAILED)
    if receipt.state.value == "spooled" and receipt.reason is not None:
        note(
            f"Kept in this host's spool, and not sent by itself: {receipt.reason} "
            "See: dlq spool list --rejected"
        )
    elif receipt.state.value == "spooled":
        note("Kept in this host's spool, and sent when the other side is back: `dlq spool`.")


def _json(what: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{what} is not JSON: {error}. Quote it for your shell.") from None
