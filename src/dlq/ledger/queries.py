"""Dead letters by id, by filter, page by page."""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Connection, false, func, not_, or_, select

from dlq.ledger.base import DeadLetter
from dlq.ledger.moves import unknown
from dlq.ledger.rows import DEAD_LETTER_COLUMNS, dead_letter_of
from dlq.ledger.schema import DELETED, dead_letters, in_dlq
from dlq.query import AnyOf, Compare, Contains, Filter, Operator, Term
from dlq.query.fields import NO_OUTCOME
from dlq.states import IN_DLQ, State

_ALL = select(*DEAD_LETTER_COLUMNS)
_COLUMNS: dict[str, ColumnElement[Any]] = {
    "error_type": dead_letters.c.error_type,
    "category": dead_letters.c.category,
    "group": dead_letters.c.fingerprint,
    "service": dead_letters.c.source_service,
    "outcome": func.coalesce(dead_letters.c.last_outcome, NO_OUTCOME),
    "id": dead_letters.c.message_id,
    "age": dead_letters.c.failed_at,
    "failed_at": dead_letters.c.failed_at,
    "ingested_at": dead_letters.c.ingested_at,
    "next_replay_at": dead_letters.c.next_replay_at,
    "replay_count": dead_letters.c.replay_count,
}
_COMPARE: dict[Operator, Callable[[Any, Any], ColumnElement[bool]]] = {
    Operator.EQUALS: operator.eq,
    Operator.LESS: operator.lt,
    Operator.AT_MOST: operator.le,
    Operator.MORE: operator.gt,
    Operator.AT_LEAST: operator.ge,
}
_MIRRORED = {
    Operator.LESS: Operator.MORE,
    Operator.AT_MOST: Operator.AT_LEAST,
    Operator.MORE: Operator.LESS,
    Operator.AT_LEAST: Operator.AT_MOST,
}


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
    ids = select(dead_letters.c.id).where(*_conditions_now(where)).order_by(order)
    query = _ALL.where(dead_letters.c.id.in_(ids.limit(limit).offset(offset))).order_by(order)
    return [dead_letter_of(row) for row in connection.execute(query).mappings()]


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
    """The next rows by key. Returns: the last one's key, and the dead letters."""
    query = (
        _ALL.where(*conditions(where, now))
        .where(dead_letters.c.id > row_id, dead_letters.c.id <= up_to)
        .order_by(dead_letters.c.id)
        .limit(limit)
    )
    rows = connection.execute(query).mappings().all()
    last = rows[-1][dead_letters.c.id] if rows else up_to
    return last, [dead_letter_of(row) for row in rows]


def count(connection: Connection, where: Filter) -> int:
    query = select(func.count()).select_from(dead_letters).where(*_conditions_now(where))
    return connection.execute(query).scalar_one()


def _conditions_now(where: Filter) -> list[ColumnElement[bool]]:
    return conditions(where, dt.datetime.now(dt.UTC))


def conditions(where: Filter, now: dt.datetime) -> list[ColumnElement[bool]]:
    """What must hold in `dead_letters`; every value is a bound parameter.

    `now` is what ages are counted back from.
    """
    found = _state_conditions(where.states)
    for term in where.terms:
        if isinstance(term, AnyOf) and term.field == "state":
            continue
        holds = _holds(term, now)
        # Of a null (no next_replay_at) nothing holds, so that its negation does.
        found.append(not_(func.coalesce(holds, false())) if term.negated else holds)
    return found


def _state_conditions(states: tuple[State, ...]) -> list[ColumnElement[bool]]:
    found = []
    if set(states) <= set(IN_DLQ):
        found.append(in_dlq())
    if set(states) != set(IN_DLQ):
        found.append(dead_letters.c.state.in_([state.value for state in states]))
    return found


def _holds(term: Term, now: dt.datetime) -> ColumnElement[bool]:
    if isinstance(term, Contains):
        return dead_letters.c.search_text.contains(term.phrase.casefold(), autoescape=True)
    column = _COLUMNS[term.field]
    if isinstance(term, Compare):
        return _compared(term, column, now)
    exact = [column.in_(term.values)] if term.values else []
    # Not LIKE: on SQLite it would not tell upper from lower case.
    starts = [func.substr(column, 1, len(start)) == start for start in term.starts]
    return or_(*exact, *starts)


def _compared(term: Compare, column: ColumnElement[Any], now: dt.datetime) -> ColumnElement[bool]:
    if isinstance(term.value, dt.timedelta):  # older is earlier
        return _COMPARE[_MIRRORED[term.operator]](column, now - term.value)
    return _COMPARE[term.operator](column, term.value)
