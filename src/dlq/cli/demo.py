"""`dlq demo`."""

from __future__ import annotations

from typing import Annotated

import typer


def demo(
    leave: Annotated[
        bool, typer.Option("--exit", help="Stop at the end instead of serving on.")
    ] = False,
    tracks: Annotated[
        int | None, typer.Option(min=10, help="How many tracks to crawl.", show_default="all 278")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port of its manager.", show_default="8024"),
    ] = None,
) -> None:
    """See the whole story on this machine in a minute: fail, look, mend, replay.

    \b
    Example:
      dlq demo --exit
    """
    from dlq.demo.story import run

    raise typer.Exit(run(exit_after=leave, tracks=tracks, port=port))
