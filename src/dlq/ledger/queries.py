"""Dead letters by id, by filter, page by page.

A filter has two halves. Its columns are compared by the database (`conditions.py`). Its texts,
words anywhere and values inside payload and metadata, are looked up in the index of words, which
gives candidates; each of those is read and compared as a whole (`Searchable`).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, func, or_, select

from dlq.errors import InvalidInput
from dlq.ledger import word_index
from dlq.ledger.base import DeadLetter, Page
from dlq.ledger.conditions import conditions
from dlq.ledger.moves import unknown
from dlq.ledger.rows import DEAD_LETTER_COLUMNS, dead_letters_of
from dlq.ledger.schema import DELETED, dead_letters
from dlq.query import Contains, Filter, Searchable

MIN_CANDIDATES, MAX_CANDIDATES = 50, 1000
"""How many are read at once: more each time, since those before did not do."""

_ALL = select(*DEAD_LETTER_COLUMNS)
_CURSOR = re.compile(r"([an])([0-9]{1,18})")


def get(connection: Connection, message_id: str) -> DeadLetter:
    """Raises: NotFound."""
    query = _ALL.where(dead_letters.c.message_id == message_id, dead_letters.c.state != DELETED)
    rows = connection.execute(query).mappings().all()
    if not rows:
        raise unknown(message_id)
    return dead_letters_of(connection, rows)[0]


def page(
    connection: Connection, where: Filter, *, limit: int, offset: int, newest_first: bool
) -> list[DeadLetter]:
    if where.text_terms:
        found = _searched(connection, where, _now(), newest_first=newest_first)
        return [letter for _, letter in _cut(found, limit, offset)]
    # Skip over index entries, not over rows with their bodies.
    ids = select(dead_letters.c.id).where(*conditions(connection, where, _now()))
    ids = ids.order_by(_order(newest_first=newest_first)).limit(limit).offset(offset)
    query = _ALL.where(dead_letters.c.id.in_(connection.execute(ids).scalars().all()))
    rows = connection.execute(query.order_by(_order(newest_first=newest_first))).mappings().all()
    return dead_letters_of(connection, rows)


def scroll(
    connection: Connection,
    where: Filter,
    *,
    limit: int,
    cursor: str | None,
    newest_first: bool,
) -> Page:
    """Raises: InvalidInput: no such cursor."""
    reached = _reached(cursor, newest_first=newest_first)
    rows = _rows_from(connection, where, reached, limit, newest_first=newest_first)
    next_cursor = None
    if len(rows) == limit and rows:
        next_cursor = f"{'n' if newest_first else 'a'}{rows[-1][0]}"
    return Page([letter for _, letter in rows], next_cursor)


def _rows_from(
    connection: Connection,
    where: Filter,
    reached: int | None,
    limit: int,
    *,
    newest_first: bool,
) -> list[tuple[int, DeadLetter]]:
    if where.text_terms:
        found = _searched(connection, where, _now(), newest_first=newest_first, reached=reached)
        return _cut(found, limit, 0)
    query = _ALL.where(*conditions(connection, where, _now()))
    query = query.where(*_beyond(reached, newest_first=newest_first))
    query = query.order_by(_order(newest_first=newest_first)).limit(limit)
    rows = connection.execute(query).mappings().all()
    letters = dead_letters_of(connection, rows)
    return [(row[dead_letters.c.id], letter) for row, letter in zip(rows, letters, strict=True)]


def newest_id(connection: Connection) -> int:
    """The row that arrived last; 0 in an empty ledger."""
    return connection.execute(select(func.max(dead_letters.c.id))).scalar() or 0


def after(
    connection: Connection,
    where: Filter,
    *,
    row_id: int,
    up_to: int,
    limit: int,
    now: dt.datetime,
) -> tuple[int, list[DeadLetter]]:
    """The next dead letters by key, at most `limit`. Returns: how far it looked (`up_to`: to the
    end), and what it found."""
    looked_to, found = _next(connection, where, row_id=row_id, up_to=up_to, limit=limit, now=now)
    return looked_to, [letter for _, letter in found]


def chosen_ids(
    connection: Connection,
    where: Filter,
    *,
    after_id: int,
    up_to: int,
    limit: int,
    now: dt.datetime,
) -> tuple[int, list[int]]:
    """The ids of the next rows that match, in order of arrival, at most `limit`.

    Returns: how far it looked (`up_to`: to the end), and the ids.
    """
    if where.text_terms:
        looked_to, found = _next(
            connection, where, row_id=after_id, up_to=up_to, limit=limit, now=now
        )
        return looked_to, [row_id for row_id, _ in found]
    query = select(dead_letters.c.id).where(*conditions(connection, where, now))
    query = query.where(dead_letters.c.id > after_id, dead_letters.c.id <= up_to)
    ids = list(connection.execute(query.order_by(dead_letters.c.id).limit(limit)).scalars())
    return (ids[-1] if len(ids) == limit else up_to), ids


def count(connection: Connection, where: Filter) -> int:
    if where.text_terms:
        return sum(1 for _ in _searched(connection, where, _now(), newest_first=False))
    query = select(func.count()).select_from(dead_letters)
    return connection.execute(
        query.where(*conditions(connection, where, _now(), is_counted=True))
    ).scalar_one()


# --- columns alone -----------------------------------------------------------------------


def _next(
    connection: Connection,
    where: Filter,
    *,
    row_id: int,
    up_to: int,
    limit: int,
    now: dt.datetime,
) -> tuple[int, list[tuple[int, DeadLetter]]]:
    if where.text_terms:
        return _next_searched(connection, where, row_id=row_id, up_to=up_to, limit=limit, now=now)
    query = _ALL.where(*conditions(connection, where, now))
    query = query.where(dead_letters.c.id > row_id, dead_letters.c.id <= up_to)
    rows = connection.execute(query.order_by(dead_letters.c.id).limit(limit)).mappings().all()
    letters = dead_letters_of(connection, rows)
    ids = [row[dead_letters.c.id] for row in rows]
    looked_to = ids[-1] if len(ids) == limit else up_to
    return looked_to, list(zip(ids, letters, strict=True))


def _reached(cursor: str | None, *, newest_first: bool) -> int | None:
    if cursor is None:
        return None
    found = _CURSOR.fullmatch(cursor)
    if found is None or (found[1] == "n") != newest_first:
        raise InvalidInput(
            "Expected a cursor as the page before gave it, with the same order; got "
            f"{cursor[:40]!r}. Begin again without one."
        )
    return int(found[2])


def _beyond(reached: int | None, *, newest_first: bool) -> list[ColumnElement[bool]]:
    if reached is None:
        return []
    column = dead_letters.c.id
    return [column < reached if newest_first else column > reached]


def _order(*, newest_first: bool) -> ColumnElement[int]:
    return dead_letters.c.id.desc() if newest_first else dead_letters.c.id.asc()


# --- texts -------------------------------------------------------------------------------


def _next_searched(
    connection: Connection,
    where: Filter,
    *,
    row_id: int,
    up_to: int,
    limit: int,
    now: dt.datetime,
) -> tuple[int, list[tuple[int, DeadLetter]]]:
    """One batch of candidates: what came of it, however little."""
    candidates = _candidates(connection, where, now, newest_first=False)
    rows = _read(connection, candidates, row_id, limit, newest_first=False, up_to=up_to)
    looked_to = rows[-1][dead_letters.c.id] if len(rows) == limit else up_to
    return looked_to, _matching(connection, where, rows)


def _searched(
    connection: Connection,
    where: Filter,
    now: dt.datetime,
    *,
    newest_first: bool,
    reached: int | None = None,
) -> Iterator[tuple[int, DeadLetter]]:
    """All that match, by key."""
    candidates = _candidates(connection, where, now, newest_first=newest_first)
    size = MIN_CANDIDATES
    while rows := _read(connection, candidates, reached, size, newest_first=newest_first):
        yield from _matching(connection, where, rows)
        if len(rows) < size:
            return
        reached = rows[-1][dead_letters.c.id]
        size = min(2 * size, MAX_CANDIDATES)


def _candidates(
    connection: Connection, where: Filter, now: dt.datetime, *, newest_first: bool
) -> Select[tuple[int]]:
    """The ids of rows of which the columns match, and of which the texts may."""
    found = word_index.needs(connection, [term for term in where.text_terms if not term.negated])
    columns = conditions(connection, where, now)
    named = _named(connection, where)
    if not found:
        query = select(dead_letters.c.id).where(*columns)
    elif connection.dialect.name == "postgresql":
        overlapping = word_index.overlaps(found)
        query = select(dead_letters.c.id).where(*columns)
        query = query.where(or_(_all_of(overlapping), dead_letters.c.id.in_(named)))
    elif named:
        matching = word_index.fts_ids(found).union_all(
            select(dead_letters.c.id).where(dead_letters.c.id.in_(named))
        )
        query = select(dead_letters.c.id).where(*columns, dead_letters.c.id.in_(matching))
    else:
        # Begun at the index of words, which gives its rows in their order.
        query = select(word_index.fts.c.rowid.label("id"))
        query = query.select_from(word_index.fts).join(
            dead_letters, dead_letters.c.id == word_index.fts.c.rowid
        )
        query = query.where(word_index.fts_matches(found), *columns)
        order = word_index.fts.c.rowid
        return query.order_by(order.desc() if newest_first else order)
    return query.order_by(_order(newest_first=newest_first))


def _named(connection: Connection, where: Filter) -> list[int]:
    """Ids are not in the index of words: there is one for them."""
    phrases = [term.phrase for term in where.text_terms if isinstance(term, Contains)]
    query = select(dead_letters.c.id).where(dead_letters.c.message_id.in_(phrases))
    return list(connection.execute(query).scalars()) if phrases else []


def _all_of(parts: Sequence[ColumnElement[bool]]) -> ColumnElement[bool]:
    joined = parts[0]
    for part in parts[1:]:
        joined = joined & part
    return joined


def _read(
    connection: Connection,
    candidates: Select[tuple[int]],
    reached: int | None,
    limit: int,
    *,
    newest_first: bool,
    up_to: int | None = None,
) -> Sequence[RowMapping]:
    key = candidates.selected_columns[0]
    if reached is not None:
        candidates = candidates.where(key < reached if newest_first else key > reached)
    if up_to is not None:
        candidates = candidates.where(key <= up_to)
    ids = connection.execute(candidates.limit(limit)).scalars().all()
    query = _ALL.where(dead_letters.c.id.in_(ids)).order_by(_order(newest_first=newest_first))
    return connection.execute(query).mappings().all()


def _matching(
    connection: Connection, where: Filter, rows: Sequence[RowMapping]
) -> list[tuple[int, DeadLetter]]:
    found = []
    for row, letter in zip(rows, dead_letters_of(connection, rows), strict=True):
        searched = Searchable.of(letter.message, letter.title)
        if all(searched.matches(term) is not term.negated for term in where.text_terms):
            found.append((row[dead_letters.c.id], letter))
    return found


def _cut(
    found: Iterator[tuple[int, DeadLetter]], limit: int, offset: int
) -> list[tuple[int, DeadLetter]]:
    taken = []
    for number, one in enumerate(found):
        if number >= offset:
            taken.append(one)
        if len(taken) == limit:
            break
    return taken


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
