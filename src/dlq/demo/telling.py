"""How the demo speaks: plain lines and tables. Texts of failures are shown, never obeyed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text


class Teller:
    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(markup=False, highlight=False, emoji=False)

    def chapter(self, title: str) -> None:
        self._console.print()
        self._console.print(Text(title, style="bold cyan"))

    def say(self, text: str) -> None:
        self._console.print(Text(f"  {text}"), soft_wrap=True)

    def command(self, line: str) -> None:
        self._console.print(Text(f"    {line}", style="green"), soft_wrap=True)

    def verdict(self, holds: bool, text: str) -> None:
        mark, style = ("✓", "green") if holds else ("✗", "bold red")
        self._console.print(Text(f"  {mark} {text}", style=style))

    def waiting(self, text: str) -> AbstractContextManager[Status]:
        return self._console.status(Text(text))

    def causes(self, causes: Sequence[Mapping[str, Any]]) -> None:
        """Of GET /dlq/errors/grouped?by=cause, or of a job's preview, which names no provider."""
        name_provider = any("error_type" in cause for cause in causes)
        table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=True)
        table.add_column("count", justify="right")
        table.add_column("category")
        if name_provider:
            table.add_column("provider")
        table.add_column("cause")
        for cause in causes:
            table.add_row(
                str(cause["count"]),
                Text(printable(cause["category"])),
                *([Text(printable(cause["error_type"]))] if name_provider else []),
                # Cut to the terminal's width: the other columns must stay whole.
                Text(printable(cause["title"]), no_wrap=True, overflow="ellipsis"),
            )
        self._console.print(table)


def printable(text: str) -> str:
    """`text` on one line, without anything that a terminal would act on."""
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))
