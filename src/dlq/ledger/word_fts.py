"""The index of words on SQLite: FTS5, which keeps no text but where each word stands."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Select,
    column,
    literal_column,
    select,
    table,
)

from dlq.ledger.word_index import CUT, START, Entry, Need

fts = table("word_index", column("rowid"))


def index(connection: Connection, entries: Sequence[Entry]) -> None:
    """Args: entries: of rows that have none."""
    if entries:
        connection.exec_driver_sql(
            "INSERT INTO word_index(rowid, own) VALUES (?, ?)",
            [(entry.row_id, _text(entry)) for entry in entries],
        )


def unindex(connection: Connection, entries: Sequence[Entry]) -> None:
    """Args: entries: just as they were indexed: there is no copy to take away by."""
    if entries:
        connection.exec_driver_sql(
            "INSERT INTO word_index(word_index, rowid, own) VALUES ('delete', ?, ?)",
            [(entry.row_id, _text(entry)) for entry in entries],
        )


def matches(needs: Sequence[Need]) -> ColumnElement[bool]:
    """The condition for all of them."""
    query = " AND ".join(f'({_query(need)} OR "{CUT}")' for need in needs)
    return literal_column("word_index").op("MATCH", return_type=Boolean())(query)


def ids(needs: Sequence[Need]) -> Select[int]:
    return select(fts.c.rowid).where(matches(needs))


def _text(entry: Entry) -> str:
    return " ".join(sorted(entry.words))


def _query(need: Need) -> str:
    return " OR ".join(
        "(" + " AND ".join(f"({_any(choices)})" for choices in words) + ")"
        for words in need.alternatives
    )


def _any(choices: frozenset[str]) -> str:
    return " OR ".join(
        f'"{word.removesuffix(START)}"{"*" if word.endswith(START) else ""}'
        for word in sorted(choices)
    )
