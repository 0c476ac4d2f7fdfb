"""Which dead letters a word may stand in: FTS5 on SQLite, a GIN index of hashes on PostgreSQL.

Kept are the words of the single message. Those that all messages of a cause share, or all with one
trace, are kept with the cause and the shape, and the message only says which it has (`#c7`,
`#s12`): half of what an index of all words would take. The index finds candidates; each is read
and compared as a whole before anybody sees it (`dlq.query.Searchable`).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Integer,
    Select,
    column,
    literal,
    literal_column,
    or_,
    select,
    table,
    true,
    update,
)
from sqlalchemy.dialects import postgresql

from dlq.ledger.schema import causes, dead_letters, shapes
from dlq.query import TextTerm

CUT = "#cut"
"""On a message of which not all words are kept: always a candidate."""
START = "*"
"""Behind what is only the start of a word: FTS5 finds those too."""
MAX_SHARED = 300
"""A word that more causes and shapes share tells nothing: everything is a candidate."""

fts = table("word_index", column("rowid"))


@dataclass(frozen=True, slots=True)
class Entry:
    """The words of one row."""

    row_id: int
    words: frozenset[str]

    @property
    def text(self) -> str:
        return " ".join(sorted(self.words))


def marks(cause_id: int | None, shape_id: int | None, *, is_cut: bool) -> set[str]:
    found = {CUT} if is_cut else set()
    if cause_id is not None:
        found.add(f"#c{cause_id}")
    if shape_id is not None:
        found.add(f"#s{shape_id}")
    return found


def hashes(words: Iterable[str]) -> list[int]:
    """Of each word, 32 bits, signed: PostgreSQL's `integer`."""
    return sorted({_hash(word) for word in words})


def _hash(word: str) -> int:
    code = zlib.crc32(word.encode("utf-8", "surrogatepass"))
    return code - 2**32 if code >= 2**31 else code


# --- writing -----------------------------------------------------------------------------


def index(connection: Connection, entries: Sequence[Entry]) -> None:
    """For rows that have no entry. (New rows on PostgreSQL come with theirs.)"""
    if not entries:
        return
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(
            "INSERT INTO word_index(rowid, own) VALUES (?, ?)",
            [(e.row_id, e.text) for e in entries],
        )
        return
    for entry in entries:
        connection.execute(
            update(dead_letters)
            .where(dead_letters.c.id == entry.row_id)
            .values(words=hashes(entry.words))
        )


def unindex(connection: Connection, entries: Sequence[Entry]) -> None:
    """Args: entries: just as they were indexed: FTS5 keeps no copy to take away by."""
    if not entries:
        return
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(
            "INSERT INTO word_index(word_index, rowid, own) VALUES ('delete', ?, ?)",
            [(e.row_id, e.text) for e in entries],
        )
        return
    ids = [entry.row_id for entry in entries]
    connection.execute(update(dead_letters).where(dead_letters.c.id.in_(ids)).values(words=None))


# --- reading -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Need:
    """What a candidate has of each word: the word itself, or a mark that stands for it."""

    alternatives: tuple[tuple[frozenset[str], ...], ...]  # any of; all of; any of


def needs(connection: Connection, terms: Sequence[TextTerm]) -> list[Need]:
    """Of the terms that the index can help with; [] if of none."""
    found = []
    for term in terms:
        alternatives = term.needs()
        if not alternatives:
            if term.start is not None and connection.dialect.name == "sqlite":
                choices = _choices(connection, term.start, is_start=True)
                found += [Need(((choices,),))] if choices is not None else []
            continue
        spelled_out = [
            tuple(
                choices
                for word in sorted(words)
                if (choices := _choices(connection, word)) is not None
            )
            for words in alternatives
        ]
        if all(spelled_out):
            found.append(Need(tuple(spelled_out)))
    return found


def _choices(connection: Connection, word: str, *, is_start: bool = False) -> frozenset[str] | None:
    """None: it stands nearly everywhere."""
    held = f"% {_escaped(word)}{'' if is_start else ' '}%"
    by_cause = select(causes.c.id).where(causes.c.words.like(held, escape="\\"))
    by_shape = select(shapes.c.id).where(shapes.c.words.like(held, escape="\\"))
    cause_ids = connection.execute(by_cause.limit(MAX_SHARED + 1)).scalars().all()
    shape_ids = connection.execute(by_shape.limit(MAX_SHARED + 1)).scalars().all()
    if len(cause_ids) + len(shape_ids) > MAX_SHARED:
        return None
    return frozenset(
        {
            f"{word}{START if is_start else ''}",
            *(f"#c{number}" for number in cause_ids),
            *(f"#s{number}" for number in shape_ids),
        }
    )


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")


def fts_matches(found: Sequence[Need]) -> ColumnElement[bool]:
    """FTS5's condition for all of them."""
    query = " AND ".join(f'({_fts(need)} OR "{CUT}")' for need in found)
    return literal_column("word_index").op("MATCH", return_type=Boolean())(query)


def fts_ids(found: Sequence[Need]) -> Select[tuple[int]]:
    return select(fts.c.rowid).where(fts_matches(found))


def _fts(need: Need) -> str:
    return " OR ".join(
        "(" + " AND ".join(f"({_any(choices)})" for choices in words) + ")"
        for words in need.alternatives
    )


def _any(choices: frozenset[str]) -> str:
    return " OR ".join(
        f'"{word.removesuffix(START)}"{"*" if word.endswith(START) else ""}'
        for word in sorted(choices)
    )


def overlaps(found: Sequence[Need]) -> list[ColumnElement[bool]]:
    """PostgreSQL's conditions for all of them."""
    conditions: list[ColumnElement[bool]] = []
    for need in found:
        ways = [[_overlap({*choices, CUT}) for choices in words] for words in need.alternatives]
        if len(ways) == 1:
            conditions += ways[0]
        else:
            conditions.append(or_(*(_all(way) for way in ways)))
    return conditions


def _all(conditions: Sequence[ColumnElement[bool]]) -> ColumnElement[bool]:
    joined: ColumnElement[bool] = true()
    for condition in conditions:
        joined = condition if joined is true() else joined & condition
    return joined


def _overlap(choices: set[str]) -> ColumnElement[bool]:
    column = literal_column("dead_letters.words", postgresql.ARRAY(Integer()))
    wanted = literal(hashes(choices), postgresql.ARRAY(Integer()))
    overlapping: ColumnElement[bool] = column.overlap(wanted)
    return overlapping
