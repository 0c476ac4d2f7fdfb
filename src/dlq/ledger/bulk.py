"""Many rows in one statement, as each database likes it best.

SQLite takes `VALUES` lists. PostgreSQL is sent one array per column: with thousands of
single parameters its driver spends more time on the text of the statement than the server
does on the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Row, Table, bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite


def insert_rows(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    unless_known: Column[Any] | None = None,
    returning: Sequence[Column[Any]] = (),
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Insert `rows`, all with the same keys, in their order.

    Args:
        unless_known: leave out rows whose value in this unique column exists.
        returning: columns to give back.
    Returns: `returning` of each row that was inserted, in no particular order.
    """
    on_postgresql = connection.dialect.name == "postgresql"
    build = _postgresql if on_postgresql else _sqlite
    statement = build(table, rows, unless_known, returning)
    result = connection.execute(statement, None if on_postgresql else [dict(row) for row in rows])
    return result.all() if returning else ()


def _sqlite(
    table: Table,
    _rows: Sequence[Mapping[str, Any]],
    unless_known: Column[Any] | None,
    returning: Sequence[Column[Any]],
) -> Any:
    statement = sqlite.insert(table)
    if unless_known is not None:
        statement = statement.on_conflict_do_nothing(index_elements=[unless_known])
    return statement.returning(*returning) if returning else statement


def _postgresql(
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    unless_known: Column[Any] | None,
    returning: Sequence[Column[Any]],
) -> Any:
    names = list(rows[0])
    columns = [
        func.unnest(
            bindparam(
                None,
                [row[name] for row in rows],
                type_=postgresql.ARRAY(table.c[name].type),
            )
        )
        for name in names
    ]
    statement = postgresql.insert(table).from_select(names, select(*columns))
    if unless_known is not None:
        statement = statement.on_conflict_do_nothing(index_elements=[unless_known])
    return statement.returning(*returning) if returning else statement
