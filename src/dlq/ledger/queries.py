"""Dead letters by id, by filter, page by page."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, func, select

from dlq.ledger.base import DeadLetter, Filter
from dlq.ledger.moves import unknown
from dlq.ledger.rows import DEAD_LETTER_COLUMNS, dead_letter_of
from dlq.ledger.schema import DELETED, dead_letters, in_dlq
from dlq.states import IN_DLQ

_ALL = select(*DEAD_LETTER_COLUMNS)


def get(connection: Connection, message_id: str) -> DeadLetter:
    """Raises: NotFound."""
    query = _ALL.where(dead_letters.c.message_id == message_id, dead_letters.c.state != DELETED)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise unknown(message_id)
    return dead_letter_of(row)


def page(
    connection: Connection, where: Filter, *, limit: int, offset: int, newest_first: bool
) -> list[DeadLetter]:
    order = dead_letters.c.id.desc() if newest_first else dead_letters.c.id.asc()
    # Skip over index entries, not over rows with their bodies.
    ids = select(dead_letters.c.id).where(*_conditions(where)).order_by(order)
    query = _ALL.where(dead_letters.c.id.in_(ids.limit(limit).offset(offset))).order_by(order)
    return [dead_letter_of(row) for row in connection.execute(query).mappings()]


def newest_id(connection: Connection) -> int:
    """The row that arrived last; 0 in an empty ledger."""
    return connection.execute(select(func.max(dead_letters.c.id))).scalar() or 0


def after(
    connection: Connection, where: Filter, *, row_id: int, up_to: int, limit: int
) -> tuple[int, list[DeadLetter]]:
    """The next rows by key. Returns: the last one's key, and the dead letters."""
    query = (
        _ALL.where(*_conditions(where))
        .where(dead_letters.c.id > row_id, dead_letters.c.id <= up_to)
        .order_by(dead_letters.c.id)
        .limit(limit)
    )
    rows = connection.execute(query).mappings().all()
    last = rows[-1][dead_letters.c.id] if rows else up_to
    return last, [dead_letter_of(row) for row in rows]


def count(connection: Connection, where: Filter) -> int:
    query = select(func.count()).select_from(dead_letters).where(*_conditions(where))
    return connection.execute(query).scalar_one()


def _conditions(where: Filter) -> list[ColumnElement[bool]]:
    states = where.states or IN_DLQ
    conditions = []
    if set(states) <= set(IN_DLQ):
        conditions.append(in_dlq())
    if set(states) != set(IN_DLQ):
        conditions.append(dead_letters.c.state.in_([state.value for state in states]))
    for column, value in (
        (dead_letters.c.error_type, where.error_type),
        (dead_letters.c.category, where.category),
        (dead_letters.c.fingerprint, where.fingerprint),
        (dead_letters.c.source_service, where.source_service),
    ):
        if value is not None:
            conditions.append(column == value)
    return conditions
