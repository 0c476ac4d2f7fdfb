"""Which dead letters a word may stand in: FTS5 on SQLite (`word_fts.py`), on PostgreSQL signatures
(`word_segments.py`).

Kept are the words of the single message. Those that all messages of a cause share, or all with one
trace, are kept with the cause and the shape, and the message only says which it has (`#c7`,
`#s12`): half of what an index of all words would take. The index finds candidates; each is read
and compared as a whole before anybody sees it (`dlq.query.Searchable`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from dlq.ledger.schema import causes, shapes
from dlq.ledger.signatures import Alternatives
from dlq.query import TextTerm

CUT = "#cut"
"""On a message of which not all words are kept: always a candidate."""
START = "*"
"""Behind what is only the start of a word: FTS5 finds those too."""
MAX_SHARED = 300
"""A word that more causes and shapes share tells nothing: everything is a candidate."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The words of one row."""

    row_id: int
    words: frozenset[str]


def marks(cause_id: int | None, shape_id: int | None, *, is_cut: bool) -> set[str]:
    found = {CUT} if is_cut else set()
    if cause_id is not None:
        found.add(f"#c{cause_id}")
    if shape_id is not None:
        found.add(f"#s{shape_id}")
    return found


@dataclass(frozen=True, slots=True)
class Need:
    """What a candidate has of each word: the word itself, or a mark that stands for it."""

    alternatives: Alternatives


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
