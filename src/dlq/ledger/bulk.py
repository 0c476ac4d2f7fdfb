"""Many rows in one statement, as each database likes it best.

SQLite takes `VALUES` lists. PostgreSQL is sent one array per column: with thousands of
single parameters its driver spends more time on the text of the statement than the server
does on the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Row,
    Table,
    bindparam,
    func,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

ARRAYS_MAX_BYTES = 32 * 1024 * 1024
"""PostgreSQL takes no statement over 1 GiB, which a batch of large bodies could be."""

Values = Mapping[str, Any]


def insert_rows(
    connection: Connection,
    table: Table,
    rows: Sequence[Values],
    *,
    unless_known: Column[Any] | None = None,
    returning: Sequence[Column[Any]] = (),
) -> list[Row[*tuple[Any, ...]]]:
    """Insert `rows`, all with the same keys, in their order.

    Args:
        rows: at least one.
        unless_known: leave out rows whose value in this unique column exists.
        returning: columns to give back.
    Returns: `returning` of each row that was inserted, in no particular order.
    """
    returned: list[Row[*tuple[Any, ...]]] = []
    for statement, values in _statements(connection.dialect.name, table, rows):
        if unless_known is not None:
            statement = statement.on_conflict_do_nothing(index_elements=[unless_known])
        if returning:
            returned += connection.execute(statement.returning(*returning), values)
        else:
            connection.execute(statement, values)
    return returned


def _statements(dialect: str, table: Table, rows: Sequence[Values]) -> Iterator[tuple[Any, Any]]:
    """Statements with their parameters."""
    if dialect == "sqlite":
        yield sqlite.insert(table), [dict(row) for row in rows]
        return
    for chunk in _chunks(rows):
        names = list(chunk[0])
        arrays = [_unnested(table.c[name], [row[name] for row in chunk]) for name in names]
        yield postgresql.insert(table).from_select(names, select(*arrays)), None


def _unnested(column: Column[Any], values: list[Any]) -> Any:
    return func.unnest(bindparam(None, values, type_=postgresql.ARRAY(column.type)))


def _chunks(rows: Sequence[Values]) -> Iterator[list[Values]]:
    """Cut so that each chunk stays below ARRAYS_MAX_BYTES, or is a single row."""
    chunk: list[Values] = []
    size = 0
    for row in rows:
        row_size = sum(len(value) for value in row.values() if isinstance(value, str | bytes))
        if chunk and size + row_size > ARRAYS_MAX_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(row)
        size += row_size
    yield chunk
