"""`dlq export`."""

from __future__ import annotations

import codecs
import gzip
import json
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlq.cli import options
from dlq.cli.output import as_json, note, output_trouble, progress, write
from dlq.cli.text import block
from dlq.errors import BrokerUnavailable, InvalidInput
from dlq.export.formats import Format, format_of_name

if TYPE_CHECKING:
    import httpx2

Write = Callable[[bytes], object]
KIB = 1024


def export(
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File to write: .jsonl, .csv, .parquet, .jsonl.gz or .csv.gz. Default, and -: "
            "stdout.",
            callback=options.not_empty,
        ),
    ] = None,
    as_format: Annotated[
        Format | None,
        typer.Option("--format", help="Default: as the file is named, else jsonl."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    state: options.States = None,
    error_type: options.ErrorType = None,
    category: options.Category = None,
    fingerprint: options.Fingerprint = None,
    source_service: options.SourceService = None,
    matching: options.WhereText = None,
    json_lines: Annotated[
        bool, typer.Option("--json", help="Changes nothing: the default is JSON, one a line.")
    ] = False,
) -> None:
    """Write dead letters as JSON lines, CSV or Parquet, however many there are.

    A file is complete or not there: it gets its name only at the end.

    \b
    Examples:
      dlq export --output failures.jsonl
      dlq export --where 'category:auth failed_at>=2026-11-01' --output auth.csv
      dlq export --error-type spotify | jq -r .error_message | sort | uniq -c
    """
    from dlq.settings import Settings
    from dlq.worker.http import ManagerHttp

    where = options.where(state, error_type, category, fingerprint, source_service, matching)
    path = None if output in (None, "-") else Path(output)
    chosen, gzipped = _chosen(path, as_format)
    params = [*where.params(), ("format", chosen.value)]
    with closing(ManagerHttp(Settings.load())) as http:
        target = _stdout(chosen) if path is None else _whole_file(path, gzipped, force=force)
        with target as write_piece, http.stream("/dlq/export", params=params) as response:
            said = _copy(response, chosen, write_piece)
    note(f"Exported {said}." if path is None else f"Exported {said} to {path}.")


def _chosen(path: Path | None, as_format: Format | None) -> tuple[Format, bool]:
    """The format, and whether in gzip. Raises: InvalidInput."""
    if path is None:
        return as_format or Format.JSONL, False
    named, gzipped = format_of_name(path.name)
    if named is None and as_format is None:
        raise InvalidInput(
            f"Expected a file named .jsonl, .csv, .parquet, .jsonl.gz or .csv.gz, got {path}. "
            "To keep that name, pass --format."
        )
    if as_format and (named not in (None, as_format) or (gzipped and as_format is Format.PARQUET)):
        raise InvalidInput(f"--format {as_format.value} does not fit the name {path}.")
    return as_format or named or Format.JSONL, gzipped


# --- the stream --------------------------------------------------------------------------


def _copy(response: httpx2.Response, as_format: Format, write_piece: Write) -> str:
    """Returns: how much it was, for people.

    Raises: BrokerUnavailable: it broke off, so that it is not whole.
    """
    import httpx2

    lines_in = _line_counter(as_format)
    title, header = "Exporting", int(as_format is Format.CSV)
    total = response.headers.get("X-Total-Count")
    if lines_in is None:
        title, total = "Exporting, KiB", None
    line_count = byte_count = 0
    with progress(title, int(total) + header if total else None) as advance:
        try:
            for piece in response.iter_bytes():
                write_piece(piece)
                lines = lines_in(piece) if lines_in else 0
                advance(lines if lines_in else len(piece) // KIB)
                line_count += lines
                byte_count += len(piece)
        except httpx2.HTTPError as error:
            raise BrokerUnavailable(
                f"The manager's stream broke off after {byte_count:,} bytes, so the export is not "
                "whole. The manager's log says why; try again."
            ) from error
    return f"{line_count - header}" if lines_in else f"{byte_count:,} bytes"


def _line_counter(as_format: Format) -> Callable[[bytes], int] | None:
    """Counts the lines that end in the next piece; None: the format has none."""
    if as_format is Format.PARQUET:
        return None
    if as_format is Format.JSONL:
        return lambda piece: piece.count(b"\n")
    is_quoted = False

    def lines_in(piece: bytes) -> int:
        """A line break inside quotes belongs to its cell."""
        nonlocal is_quoted
        ended = 0
        for index, part in enumerate(piece.split(b'"')):
            is_quoted ^= index > 0
            ended += 0 if is_quoted else part.count(b"\n")
        return ended

    return lines_in


# --- where it goes -----------------------------------------------------------------------


def _stdout(as_format: Format) -> nullcontext[Write]:
    """Raises: InvalidInput: Parquet on a terminal."""
    if not sys.stdout.isatty():
        return nullcontext(_to_pipe)
    if as_format is Format.PARQUET:
        raise InvalidInput("Parquet is not for a terminal: pass --output FILE.")
    return nullcontext(_Terminal(as_format).write)


def _to_pipe(piece: bytes) -> None:
    try:
        sys.stdout.buffer.write(piece)
    except OSError as error:
        raise output_trouble(error) from error


class _Terminal:
    """Shows lines so that what came from failures cannot act on it."""

    def __init__(self, as_format: Format) -> None:
        self._is_json = as_format is Format.JSONL
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._begun = ""

    def write(self, piece: bytes) -> None:
        *lines, self._begun = (self._begun + self._decoder.decode(piece)).split("\n")
        for line in lines:
            shown = as_json(json.loads(line)) if self._is_json else block(line.removesuffix("\r"))
            write(shown + "\n")


@contextmanager
def _whole_file(path: Path, gzipped: bool, *, force: bool) -> Iterator[Write]:
    if path.exists() and not path.is_file():
        raise InvalidInput(
            f"{path} is not a file that could be replaced. Without --output: stdout."
        )
    if path.exists() and not force:
        raise InvalidInput(f"{path} is there already. To replace it, pass --force.")
    # A name of its own: two exports at once, or a file that is there, must not mix.
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            # No name and time of making in it: the same export gives the same bytes.
            packed = gzip.GzipFile("", "wb", fileobj=file, mtime=0) if gzipped else None
            with packed or nullcontext(file) as sink:
                yield sink.write
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)
