"""`dlq serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; DLQ_HOST.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port; DLQ_PORT.", show_default="8024", min=0, max=65535)
    ] = None,
    ledger: Annotated[
        str | None,
        typer.Option(
            help="sqlite:///path or postgresql://…; DLQ_LEDGER_URL.",
            show_default="a file in your data folder",
        ),
    ] = None,
    broker: Annotated[
        str | None,
        typer.Option(help="amqp://user:pass@host/vhost; DLQ_BROKER_URL.", show_default="none"),
    ] = None,
    tokens_file: Annotated[
        Path | None, typer.Option(help="Where `dlq token` keeps tokens; DLQ_TOKENS_FILE.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Serve beyond this machine without any token.")
    ] = False,
) -> None:
    """Run the manager: ingest, replay, the API and the ledger.

    Without a broker it needs nothing else: clients and workers speak to it over HTTP.

    \b
    Examples:
      dlq serve
      dlq serve --broker amqp://musicdb:secret@rabbitmq/musicdb
      dlq serve --host 0.0.0.0 --ledger postgresql://dlq:secret@db/dlq
    """
    from dlq.cli.logs import log_to_stderr
    from dlq.settings import Settings

    settings = Settings.load(
        host=host,
        port=port,
        ledger_url=ledger,
        broker_url=broker,
        tokens_file=tokens_file,
        insecure=insecure or None,
    )
    log_to_stderr(settings.log_level)
    from dlq.manager.server import serve as serve_manager

    serve_manager(settings)
