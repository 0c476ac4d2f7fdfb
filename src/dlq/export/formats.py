"""Which formats there are, and which one a file's name asks for."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from enum import StrEnum
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from dlq.errors import InvalidInput

if TYPE_CHECKING:
    from pydantic import BaseModel  # slow to import, and `dlq --help` needs only the names here


class Format(StrEnum):
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"

    @property
    def media_type(self) -> str:
        return _MEDIA_TYPES[self]


class Named(NamedTuple):
    """What a file's name says of its content."""

    format: Format | None  # None: nothing
    gzipped: bool


_MEDIA_TYPES = {
    Format.JSONL: "application/x-ndjson",
    Format.CSV: "text/csv; charset=utf-8; header=present",
    Format.PARQUET: "application/vnd.apache.parquet",
}
_SUFFIXES = {
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".csv": Format.CSV,
    ".parquet": Format.PARQUET,
}


def format_of_name(name: str) -> Named:
    """Of `failures.csv`, `failures.jsonl.gz` …

    Raises: InvalidInput: Parquet, which compresses itself, in gzip.
    """
    path = PurePath(name.lower())
    gzipped = path.suffix == ".gz"
    found = _SUFFIXES.get(PurePath(path.stem).suffix if gzipped else path.suffix)
    if gzipped and found is Format.PARQUET:
        raise InvalidInput(
            f"Expected a name as failures.parquet, got {name!r}: Parquet is compressed inside, "
            "and in gzip nobody could read it."
        )
    return Named(found, gzipped)


def written(
    as_format: Format, row_class: type[BaseModel], rows: Iterable[BaseModel]
) -> Generator[bytes]:
    """The file in pieces, each made when it is asked for.

    Args:
        row_class: of every row; its fields are the columns.
    Raises:
        InvalidInput: at once, Parquet without its library.
    """
    if as_format is Format.JSONL:
        from dlq.export.jsonl import json_lines

        return json_lines(rows)
    from dlq.export.columns import columns_of

    if as_format is Format.CSV:
        from dlq.export.csv import csv_lines

        return csv_lines(columns_of(row_class), rows)
    try:  # an extra: the library is larger than all the others together
        from dlq.export.parquet import parquet_file
    except ModuleNotFoundError as error:
        raise InvalidInput(
            "Parquet needs its library where the manager runs: "
            "pip install 'songnodes-dlq[parquet]'. JSONL and CSV do without."
        ) from error
    return parquet_file(columns_of(row_class), rows)
