"""`dlq topology`: the broker's exchange and queues, as they should be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

from dlq.cli import options
from dlq.cli.output import note, print_json, print_line
from dlq.cli.text import one_line
from dlq.errors import InvalidInput

if TYPE_CHECKING:
    from dlq.settings import Settings

CONTROL_TIMEOUT_S = 10.0

app = typer.Typer(help="Show or declare the broker's exchange and queues.", no_args_is_help=True)


@app.command()
def show(as_json: options.Json = False) -> None:
    """Show what exchange and queues there should be. Asks no broker.

    \b
    Example:
      dlq topology show
    """
    from dlq.settings import Settings
    from dlq.topology import EXCHANGE_TYPE, topology_of

    topology = topology_of(Settings.load())
    queues: list[dict[str, Any]] = [
        {"name": q.name, "bound_to": q.pattern, "arguments": q.arguments} for q in topology.queues
    ]
    if as_json:
        print_json({"exchange": topology.exchange, "type": EXCHANGE_TYPE, "queues": queues})
        return
    print_line(f"Exchange {topology.exchange} ({EXCHANGE_TYPE}, durable)")
    for queue in queues:
        print_line(f"\n{queue['name']}  bound to {queue['bound_to']}")
        for name, value in queue["arguments"].items():
            print_line(f"    {name:<28}{json.dumps(value)}")


@app.command()
def apply(as_json: options.Json = False) -> None:
    """Declare what lacks; what exists is used as it is, and never deleted.

    Where a queue exists with other arguments, the policy that brings it in line is shown.

    \b
    Example:
      dlq topology apply
    """
    from dlq.settings import Settings
    from dlq.transport.amqp import AmqpControl

    settings = Settings.load()
    need_broker(settings)
    control = AmqpControl(settings)
    try:
        mismatches = control.ensure_topology(CONTROL_TIMEOUT_S)
    finally:
        control.close(CONTROL_TIMEOUT_S)
    if as_json:
        found = [{"queue": m.queue, "problem": m.problem, "policy": m.policy} for m in mismatches]
        print_json({"mismatches": found})
        return
    print_line("Exchange, queues and bindings are there.")
    if mismatches:
        note("Some queues existed with other arguments and are used as they are:")
        for mismatch in mismatches:
            print_line(f"{one_line(mismatch.queue)}: {one_line(mismatch.problem)}")
            print_line(f"    {one_line(mismatch.policy)}")


def need_broker(settings: Settings) -> None:
    """Raises: InvalidInput: no broker is configured."""
    if settings.amqp_url is None:
        raise InvalidInput(
            "No broker is configured (embedded shape: the ledger is the queue). "
            "Set DLQ_BROKER_URL or RABBITMQ_HOST to use one."
        )
