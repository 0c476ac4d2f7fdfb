"""The entries of dead letters in the index of words: what is indexed of a message, and again when
it changes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import Connection, select

from dlq.ledger import word_fts, word_segments
from dlq.ledger.causes import Cause, causes_by_id
from dlq.ledger.packing import Shape, shapes_by_id, split_trace
from dlq.ledger.rows import DEAD_LETTER_COLUMNS, Stored, dead_letters_of, stored
from dlq.ledger.schema import DELETED, dead_letters
from dlq.ledger.word_index import Entry, marks
from dlq.message import DLQMessage
from dlq.query import Searchable, words_of

MAX_TRACE_CHARS = 32_000


def own_words(
    message: DLQMessage, cause: Cause, shape: Shape | None, rest_of_trace: str
) -> frozenset[str]:
    """The words that only this message has, and marks for those that it shares.

    Args:
        rest_of_trace: what of its trace is not in the shape.
    """
    searched = Searchable.of(message)
    words = set(searched.own_words)
    # Most of the names are the cause's; not where one was shortened for its column.
    names = (
        message.source_service,
        message.routing_key,
        message.error_type,
        message.error_class or "",
    )
    words.update(words_of("\n".join((*names, rest_of_trace[:MAX_TRACE_CHARS]))))
    words -= cause.words
    if shape is not None:
        words -= shape.words
    is_cut = searched.is_cut or len(rest_of_trace) > MAX_TRACE_CHARS
    words |= marks(cause.id, None if shape is None else shape.id, is_cut=is_cut)
    return frozenset(words)


def entries_of(connection: Connection, row_ids: Iterable[int]) -> list[Entry]:
    """As these rows are indexed; emptied ones are not."""
    query = (
        select(*DEAD_LETTER_COLUMNS)
        .where(dead_letters.c.id.in_(list(row_ids)), dead_letters.c.state != DELETED)
        .order_by(dead_letters.c.id)
    )
    return _entries(connection, stored(connection.execute(query)))


def index_words(connection: Connection, entries: Sequence[Entry]) -> None:
    """Args: entries: in the order of their rows, which have none."""
    where = word_fts if connection.dialect.name == "sqlite" else word_segments
    where.index(connection, entries)


def unindex_words(connection: Connection, row_ids: Sequence[int]) -> None:
    """On SQLite. On PostgreSQL a row's bits stay until all of its segment are emptied:
    candidates are looked at anyway."""
    if connection.dialect.name == "sqlite":
        word_fts.unindex(connection, entries_of(connection, row_ids))


@contextlib.contextmanager
def reindexing(connection: Connection, row_ids: Sequence[int]) -> Iterator[None]:
    """What changes these rows meanwhile is found by its new words."""
    unindex_words(connection, row_ids)
    yield
    index_words(connection, entries_of(connection, row_ids))


def _entries(connection: Connection, rows: Sequence[Stored]) -> list[Entry]:
    causes = causes_by_id(connection, (row.cause_id for row in rows))
    shapes = shapes_by_id(connection, (row.shape_id for row in rows))
    found = []
    for row, letter in zip(rows, dead_letters_of(connection, rows), strict=True):
        # The shape is of the first failure's trace: of a newer one all words are its own.
        shape = None if row.latest_wire else shapes.get(row.shape_id)
        trace = letter.message.stack_trace or ""
        rest = trace if shape is None else split_trace(trace)[1]
        words = own_words(letter.message, causes[row.cause_id], shape, rest)
        found.append(Entry(row.id, words))
    return found
