"""`dlq demo`: the whole system on one machine, with providers that misbehave by a plan.

Everything is real except the providers: the manager and the worker are processes of their
own, the crawl is Scrapy's with the pipeline of this repository, and the four stand-ins
(`providers/`) answer over HTTP as the originals are documented to.
"""

from __future__ import annotations

from pathlib import Path


def run(
    *,
    exit_after: bool = False,
    tracks: int | None = None,
    port: int | None = None,
    folder: Path | None = None,
) -> int:
    """Tell the story on stdout; see `dlq.demo.story.run`."""
    # Imported late: the demo's parts need what only the extras bring.
    from dlq.demo.story import run as tell

    return tell(exit_after=exit_after, tracks=tracks, port=port, folder=folder)
