"""Which dead letters a command is about, and what is wrong with a filter, shown under it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlq.cli.text import one_line

if TYPE_CHECKING:
    from dlq.query import Filter, FilterError

BEFORE, AFTER = 40, 30
"""Characters shown on either side of the one that a filter failed at."""


@dataclass(frozen=True, slots=True)
class Where:
    """A filter as a command sends it to the manager."""

    filter: Filter

    @property
    def is_empty(self) -> bool:
        return self.filter.is_empty

    def params(self) -> list[tuple[str, str]]:
        return [] if self.is_empty else [("where", self.filter.text())]


def pointed(error: FilterError) -> str:
    """The error, the part of the filter that it is about, and a caret under the character."""
    from rich.cells import cell_len

    start, end = max(0, error.position - BEFORE), error.position + AFTER
    before = ("…" if start else "") + one_line(error.text[start : error.position])
    after = one_line(error.text[error.position : end]) + ("…" if end < len(error.text) else "")
    return f"{error}\n  {before}{after}\n  {' ' * cell_len(before)}^"
