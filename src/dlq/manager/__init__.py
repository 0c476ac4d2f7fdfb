"""The manager: ledger, ingest, replay and the HTTP API over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlq.settings import Settings


def serve(settings: Settings) -> None:
    """Run the manager until SIGTERM; see `dlq.manager.server.serve`."""
    # Imported late: the CLI asks for `serve` by this name, and only `dlq serve` needs it all.
    from dlq.manager.server import serve as run

    run(settings)
