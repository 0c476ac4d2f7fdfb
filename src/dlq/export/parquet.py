"""Parquet: typed columns in row groups, each sent as soon as it is full.

The footer, without which nobody can read the file, comes last: one that was cut off cannot be
taken for a whole one.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from dlq.export.columns import Column, Kind

GROUP_ROWS = 5000
GROUP_CHARS = 8 * 1024 * 1024
"""A row group ends here too: 5,000 bodies of the largest size would be all memory."""

_TYPES = {
    Kind.TEXT: pa.string(),
    Kind.INTEGER: pa.int64(),
    Kind.NUMBER: pa.float64(),
    Kind.FLAG: pa.bool_(),
    Kind.INSTANT: pa.timestamp("us", tz="UTC"),
    Kind.JSON: pa.string(),
}


class _Outbox:
    """A file that only grows, for a writer that never looks back."""

    def __init__(self) -> None:
        self.closed = False
        self._pieces: list[bytes] = []

    def write(self, piece: Any) -> int:
        self._pieces.append(bytes(piece))
        return len(self._pieces[-1])

    def flush(self) -> None:
        """What was written is there to be taken."""

    def close(self) -> None:
        self.closed = True

    def taken(self) -> bytes:
        piece = b"".join(self._pieces)
        self._pieces.clear()
        return piece


def parquet_file(columns: Sequence[Column], rows: Iterable[BaseModel]) -> Generator[bytes]:
    """A piece a row group, and one for the footer."""
    schema = pa.schema([pa.field(column.name, _TYPES[column.kind]) for column in columns])
    outbox = _Outbox()
    with pq.ParquetWriter(outbox, schema, compression="zstd") as writer:
        for group in _groups(columns, rows):
            writer.write_batch(pa.record_batch(group, schema=schema))
            yield outbox.taken()
    yield outbox.taken()


def _groups(columns: Sequence[Column], rows: Iterable[BaseModel]) -> Iterator[list[list[Any]]]:
    """The values by column, of as many rows as go into one row group."""
    group: list[list[Any]] = [[] for _ in columns]
    chars = 0
    for row in rows:
        fields = row.model_dump()
        for column, values in zip(columns, group, strict=True):
            value = _plain(column, fields[column.name])
            chars += len(value) if isinstance(value, str) else 8
            values.append(value)
        if len(group[0]) >= GROUP_ROWS or chars >= GROUP_CHARS:
            yield group
            group, chars = [[] for _ in columns], 0
    if group[0]:
        yield group


def _plain(column: Column, value: Any) -> Any:
    if value is None or column.kind is not Kind.JSON:
        return value
    return json.dumps(value, ensure_ascii=False)
