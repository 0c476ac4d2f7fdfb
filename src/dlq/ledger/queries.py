"""Dead letters by id, by filter, page by page.

A filter has two halves. Its columns are compared by the database (`conditions.py`), its texts,
words anywhere and values inside payload and metadata, are searched for (`searching.py`).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator

from sqlalchemy import ColumnElement, Connection, func, select

from dlq.errors import InvalidInput
from dlq.ledger.base import DeadLetter, Page
from dlq.ledger.conditions import conditions, counted
from dlq.ledger.moves import unknown
from dlq.ledger.rows import DEAD_LETTER_COLUMNS, dead_letters_of, stored
from dlq.ledger.schema import DELETED, dead_letters
from dlq.ledger.searching import MAX_CANDIDATES, Search
from dlq.query import Filter

_ALL = select(*DEAD_LETTER_COLUMNS)
_CURSOR = re.compile(r"([an])([0-9]{1,18})")


def get(connection: Connection, message_id: str) -> DeadLetter:
    """Raises: NotFound."""
    query = _ALL.where(dead_letters.c.message_id == message_id, dead_letters.c.state != DELETED)
    rows = stored(connection.execute(query))
    if not rows:
        raise unknown(message_id)
    return dead_letters_of(connection, rows)[0]


def page(
    connection: Connection, where: Filter, *, limit: int, offset: int, newest_first: bool
) -> list[DeadLetter]:
    if where.text_terms:
        search = Search(connection, where, _now(), newest_first=newest_first)
        return [letter for _, letter in _cut(search.found(size=limit), limit, offset)]
    # Skip over index entries, not over rows with their bodies.
    ids = select(dead_letters.c.id).where(*conditions(connection, where, _now()))
    ids = ids.order_by(_order(newest_first=newest_first)).limit(limit).offset(offset)
    query = _ALL.where(dead_letters.c.id.in_(connection.execute(ids).scalars().all()))
    rows = connection.execute(query.order_by(_order(newest_first=newest_first)))
    return dead_letters_of(connection, stored(rows))


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
        search = Search(connection, where, _now(), newest_first=newest_first)
        return _cut(search.found(reached, size=limit), limit, 0)
    query = _ALL.where(*conditions(connection, where, _now()))
    query = query.where(*_beyond(reached, newest_first=newest_first))
    query = query.order_by(_order(newest_first=newest_first)).limit(limit)
    rows = stored(connection.execute(query))
    letters = dead_letters_of(connection, rows)
    return [(row.id, letter) for row, letter in zip(rows, letters, strict=True)]


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
        return sum(1 for _ in Search(connection, where, _now()).found())
    if (known := counted(connection, where, _now())) is not None:
        return known
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
        search = Search(connection, where, now)
        batch = next(search.batches(row_id, up_to=up_to, size=min(limit, MAX_CANDIDATES)))
        return up_to if batch.looked_to is None else batch.looked_to, list(batch.found)
    query = _ALL.where(*conditions(connection, where, now))
    query = query.where(dead_letters.c.id > row_id, dead_letters.c.id <= up_to)
    rows = stored(connection.execute(query.order_by(dead_letters.c.id).limit(limit)))
    letters = dead_letters_of(connection, rows)
    ids = [row.id for row in rows]
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
