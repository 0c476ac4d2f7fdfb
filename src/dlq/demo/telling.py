"""How the demo speaks: plain lines and tables. Texts of failures are shown, never obeyed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from dlq.cli.text import one_line

TITLE_CHARS = 78


class Teller:
    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(markup=False, highlight=False, emoji=False)

    def chapter(self, title: str) -> None:
        self._console.print()
        self._console.print(Text(title, style="bold cyan"))

    def say(self, text: str) -> None:
        self._console.print(Text(f"  {text}"))

    def command(self, line: str) -> None:
        self._console.print(Text(f"    {line}", style="green"), soft_wrap=True)

    def verdict(self, holds: bool, text: str) -> None:
        mark, style = ("✓", "green") if holds else ("✗", "bold red")
        self._console.print(Text(f"  {mark} {text}", style=style))

    def waiting(self, text: str) -> AbstractContextManager[Status]:
        return self._console.status(Text(text))

    def causes(self, causes: Iterable[Mapping[str, Any]]) -> None:
        """The answer of GET /dlq/errors/grouped?by=cause."""
        table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=True)
        table.add_column("count", justify="right")
        for name in ("category", "provider", "cause"):
            table.add_column(name)
        for cause in causes:
            table.add_row(
                str(cause["count"]),
                Text(one_line(cause["category"])),
                Text(one_line(cause["error_type"])),
                Text(_short(one_line(cause["title"]))),
            )
        self._console.print(table)


def _short(text: str) -> str:
    return text if len(text) <= TITLE_CHARS else f"{text[: TITLE_CHARS - 1]}…"
