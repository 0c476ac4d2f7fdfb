"""`dlq export`."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from dlq.cli import options
from dlq.cli.output import as_json, note, progress, write
from dlq.errors import InvalidInput

Write = Callable[[str], object]


def export(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; default stdout.")
    ] = None,
    state: options.States = None,
    error_type: options.ErrorType = None,
    category: options.Category = None,
    fingerprint: options.Fingerprint = None,
    source_service: options.SourceService = None,
    matching: options.WhereText = None,
    json_lines: Annotated[
        bool, typer.Option("--json", help="Changes nothing: it is JSON already, one a line.")
    ] = False,
) -> None:
    """Write dead letters as JSON, one a line, however many there are.

    A file is complete or not there: it gets its name only at the end.

    \b
    Examples:
      dlq export --output failures.jsonl
      dlq export --where 'category:auth failed_at>=2026-11-01' --output auth.jsonl
      dlq export --error-type spotify | jq -r .error_message | sort | uniq -c
    """
    from dlq.cli.manager import Manager

    where = options.where(state, error_type, category, fingerprint, source_service, matching)
    with (
        Manager.from_environment() as manager,
        manager.export(where) as found,
        progress("Exporting", found.total) as advance,
    ):
        if output is None:
            count = _copy(found.lines, _to_stdout, advance)
        else:
            with _whole_file(output) as write_line:
                count = _copy(found.lines, write_line, advance)
    note(f"Exported {count}." if output is None else f"Exported {count} to {output}.")


def _copy(lines: Iterable[str], write_line: Write, advance: Callable[[int], None]) -> int:
    count = 0
    for line in lines:
        write_line(line + "\n")
        advance(1)
        count += 1
    return count


def _to_stdout(line: str) -> None:
    # On a terminal, what came from failures must not act on it.
    write(as_json(json.loads(line)) + "\n" if sys.stdout.isatty() else line)


@contextmanager
def _whole_file(path: Path) -> Iterator[Write]:
    if path.exists() and not path.is_file():
        raise InvalidInput(
            f"{path} is not a file that could be replaced. Without --output: stdout."
        )
    # A name of its own: two exports at once, or a file that is there, must not mix.
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("x", encoding="utf-8") as file:
            yield file.write
        part.replace(path)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)
