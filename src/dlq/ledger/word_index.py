"""Which dead letters a word may stand in: FTS5 on SQLite, on PostgreSQL a GIN index over the
hashes of the words of some rows together.

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
    and_,
    any_,
    column,
    delete,
    insert,
    literal,
    literal_column,
    or_,
    select,
    table,
)
from sqlalchemy.dialects import postgresql

from dlq.ledger.schema import DELETED, causes, dead_letters, shapes, word_blocks
from dlq.query import TextTerm

CUT = "#cut"
"""On a message of which not all words are kept: always a candidate."""
BLOCK = 16
"""Rows that share an entry on PostgreSQL. Words that many messages have are kept once for all of
them; a hit means sixteen rows to look at, which is cheap."""
HASH_MASK = 0xFFFFF
FARTHEST = 100_000
"""Rows between the first and the last of a block, at most: of one batch, and of what others
stored meanwhile."""
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
    """Of each word, 20 bits: few enough that rare words share the lists of an index."""
    return sorted({zlib.crc32(w.encode("utf-8", "surrogatepass")) & HASH_MASK for w in words})


# --- writing -----------------------------------------------------------------------------


def index(connection: Connection, entries: Sequence[Entry]) -> None:
    """Args: entries: in the order of their rows, which have none."""
    if not entries:
        return
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(
            "INSERT INTO word_index(rowid, own) VALUES (?, ?)",
            [(e.row_id, e.text) for e in entries],
        )
        return
    blocks = [entries[start : start + BLOCK] for start in range(0, len(entries), BLOCK)]
    connection.execute(
        insert(word_blocks),
        [
            {
                "first_id": block[0].row_id,
                "last_id": block[-1].row_id,
                "row_ids": [entry.row_id for entry in block],
                "words": hashes(set().union(*(entry.words for entry in block))),
            }
            for block in blocks
        ],
    )


def unindex(connection: Connection, entries: Sequence[Entry]) -> None:
    """On SQLite; in a block old words may stay, since candidates are looked at anyway.

    Args: entries: just as they were indexed: FTS5 keeps no copy to take away by.
    """
    if entries and connection.dialect.name == "sqlite":
        connection.exec_driver_sql(
            "INSERT INTO word_index(word_index, rowid, own) VALUES ('delete', ?, ?)",
            [(e.row_id, e.text) for e in entries],
        )


def forget(connection: Connection, row_ids: Sequence[int]) -> None:
    """Let go of the blocks of which all rows are emptied, among those of these rows."""
    if connection.dialect.name == "sqlite":
        return
    block, letters = word_blocks.c, dead_letters
    still_there = (
        select(letters.c.id)
        .where(letters.c.id == any_(block.row_ids), letters.c.state != DELETED)
        .exists()
    )
    connection.execute(
        delete(word_blocks).where(
            block.first_id.between(min(row_ids) - FARTHEST, max(row_ids)),
            block.last_id >= min(row_ids),
            ~still_there,
        )
    )


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


def fts_ids(found: Sequence[Need]) -> Select[int]:
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
    """PostgreSQL's conditions for all of them, on `word_blocks`."""
    conditions: list[ColumnElement[bool]] = []
    for need in found:
        ways = [
            and_(*(_overlap({*choices, CUT}) for choices in words)) for words in need.alternatives
        ]
        conditions.append(or_(*ways))
    return conditions


def _overlap(choices: set[str]) -> ColumnElement[bool]:
    wanted = literal(hashes(choices), postgresql.ARRAY(Integer()))
    overlapping: ColumnElement[bool] = word_blocks.c.words.overlap(wanted)
    return overlapping
