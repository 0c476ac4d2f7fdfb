"""What the commands print: tables for people, tab-separated lines for pipes, JSON for programs.

Results go to stdout; progress, notes and errors to stderr. Colours only on a terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dlq.cli.exits import ExitCode
from dlq.cli.text import block, one_line
from dlq.errors import DLQError, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console


UUID_WIDTH = 36


@dataclass(frozen=True, slots=True)
class Column:
    """`whole`: never cut, since people copy it (ids) or it is short anyway; what has more
    than `widest` characters goes on in the next line, so that the other columns keep room.
    `from_width`: left out on terminals with fewer characters in a line."""

    name: str
    whole: bool = False
    right: bool = False
    from_width: int = 0
    widest: int = UUID_WIDTH


def console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> None:
    """A table on a terminal; else lines of tab-separated values under a header."""
    if sys.stdout.isatty():
        _print_rich(columns, rows)
        return
    print_line("\t".join(column.name for column in columns))
    for row in rows:
        print_line("\t".join(one_line(value) for value in row))


def _print_rich(columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    screen = console()
    shown = [i for i, column in enumerate(columns) if column.from_width <= screen.width]
    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    cells = [[_cell(row[i], columns[i]) for i in shown] for row in rows]
    for index, column in enumerate(columns[i] for i in shown):
        widest = max(
            (cell_len(line) for row in cells for line in row[index].split("\n")), default=0
        )
        table.add_column(
            column.name,
            no_wrap=column.whole,
            min_width=widest if column.whole else None,
            justify="right" if column.right else "left",
            overflow="ellipsis",
        )
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    screen.print(table)


def _cell(value: Any, column: Column) -> str:
    """Folded here: Rich cuts what may not wrap, and takes the room of what may."""
    from rich.cells import chop_cells

    text = one_line(value)
    return "\n".join(chop_cells(text, column.widest)) if column.whole else text


def print_fields(fields: Iterable[tuple[str, Any]]) -> None:
    """Name and value, a line each; longer texts indented below their name."""
    for name, value in fields:
        text = block("–" if value is None else value)
        if "\n" in text:
            print_line(f"{name}:")
            for line in text.split("\n"):
                print_line(f"    {line}")
        else:
            print_line(f"{name + ':':<16}{text}")


def print_line(line: str) -> None:
    """`line` as it is: what comes from elsewhere must have been through `one_line`."""
    write(line + "\n")


def print_json(value: Any) -> None:
    write(as_json(value, indent=2) + "\n")


def write(text: str) -> None:
    """To stdout. Raises: what `output_trouble` makes of an error there."""
    try:
        sys.stdout.write(text)
    except OSError as error:
        raise output_trouble(error) from error


def output_trouble(error: OSError) -> Exception:
    """What to raise: a quiet end if the reader has gone, as other tools of a pipe do."""
    import typer

    if isinstance(error, BrokenPipeError):
        return typer.Exit(ExitCode.READER_GONE)
    return DLQError(f"Standard output cannot be written: {error.strerror or error}.")


def as_json(value: Any, *, indent: int | None = None) -> str:
    """JSON; pure ASCII on a terminal, where other characters might act on it."""
    return json.dumps(value, indent=indent, ensure_ascii=sys.stdout.isatty())


def note(text: str) -> None:
    """A remark beside the result, on stderr."""
    sys.stderr.write(block(text) + "\n")


def print_error(text: str) -> None:
    styled = f"\x1b[31mError:\x1b[0m {block(text)}" if _colours(sys.stderr) else None
    sys.stderr.write((styled or f"Error: {block(text)}") + "\n")


def _colours(stream: Any) -> bool:
    import os

    return bool(stream.isatty()) and not os.environ.get("NO_COLOR")


@contextmanager
def progress(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr while the block runs, if that is a terminal; yields "advance by"."""
    if not sys.stderr.isatty():
        yield lambda _count: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda count: bar.advance(task, count)


def confirmed(question: str, *, yes: bool) -> bool:
    """Ask on a terminal; without one, only `--yes` counts.

    Raises: InvalidInput: nobody is there to answer.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise InvalidInput(f"{question} There is no terminal to ask on: pass --yes.")
    import typer

    return typer.confirm(block(question), default=False, err=True)
