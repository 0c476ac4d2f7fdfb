"""A filter's columns as conditions of SQL; every value is a bound parameter.

Provider, category, class, status and marks are of the cause, so they become a choice of causes.
Whether the database should begin with those causes, or walk the dead letters in their order and
look at each one's cause, depends on how many there are: the counters know, the database does not.
"""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
)

from dlq.ledger import groups
from dlq.ledger.columns import id_spans
from dlq.ledger.schema import (
    ELSEWHERE,
    cause_counts,
    cause_groups,
    causes,
    dead_letters,
    in_dlq,
    services,
    spelled,
)
from dlq.query import AnyOf, Compare, Filter, Operator, Term
from dlq.query.fields import NO_OUTCOME
from dlq.states import IN_DLQ, State

FEW = 2000
"""Dead letters of some causes that are sooner sorted than met by walking."""

FEW_RESOLVED = 20_000
MOST_CAUSES = 5000
"""That are named one by one in a statement."""

_COLUMNS: dict[str, ColumnElement[Any]] = {
    "outcome": func.coalesce(dead_letters.c.last_outcome, NO_OUTCOME),
    "age": dead_letters.c.failed_at,
    "failed_at": dead_letters.c.failed_at,
    "ingested_at": dead_letters.c.ingested_at,
    "next_replay_at": dead_letters.c.next_replay_at,
    "replay_count": dead_letters.c.replay_count,
    "retry_count": dead_letters.c.retry_count,
}
_OF_THE_CAUSE: dict[str, ColumnElement[Any]] = {
    "error_type": causes.c.error_type,
    "category": func.coalesce(cause_groups.c.category, causes.c.category),
    "http_status": causes.c.http_status,
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


def conditions(
    connection: Connection, where: Filter, now: dt.datetime, *, is_counted: bool = False
) -> list[ColumnElement[bool]]:
    """What must hold in `dead_letters` for the columns of a filter.

    Args:
        now: what ages are counted back from.
        is_counted: all are asked for, in no order.
    """
    found = _state_conditions(connection, where.states)
    of_causes: list[ColumnElement[bool]] = []
    for term in where.column_terms:
        if isinstance(term, AnyOf) and term.field == "state":
            continue
        holds, is_of_cause = _holds(term, now)
        # Of a null (no next_replay_at) nothing holds, so that its negation does.
        condition = not_(func.coalesce(holds, false())) if term.negated else holds
        (of_causes if is_of_cause else found).append(condition)
    if of_causes:
        found.append(_among_causes(connection, of_causes, where.states, is_counted=is_counted))
    return found


def counted(connection: Connection, where: Filter, now: dt.datetime) -> int | None:
    """How many match, from the counters; None: they do not tell of all that is asked."""
    of_causes: list[ColumnElement[bool]] = []
    for term in where.column_terms:
        if isinstance(term, AnyOf) and term.field == "state":
            continue
        if isinstance(term, AnyOf) and term.field == "service":
            holds: ColumnElement[bool] = _is_any(term, services.c.name)
        else:
            holds, is_of_cause = _holds(term, now)
            if not is_of_cause:
                return None
        of_causes.append(not_(func.coalesce(holds, false())) if term.negated else holds)
    query = (
        select(func.coalesce(func.sum(cause_counts.c.count), 0))
        .join(causes, causes.c.id == cause_counts.c.cause_id)
        .join(cause_groups, cause_groups.c.id == causes.c.group_id)
        .join(services, services.c.id == cause_counts.c.service_id)
        .where(cause_counts.c.state.in_([state.value for state in where.states]), *of_causes)
    )
    return int(connection.execute(query).scalar_one())


def _among_causes(
    connection: Connection,
    of_causes: Sequence[ColumnElement[bool]],
    states: tuple[State, ...],
    *,
    is_counted: bool,
) -> ColumnElement[bool]:
    chosen = (
        select(causes.c.id)
        .join(cause_groups, cause_groups.c.id == causes.c.group_id)
        .where(*of_causes)
    )
    if is_counted:
        return dead_letters.c.cause_id.in_(chosen)
    total = select(func.coalesce(func.sum(cause_counts.c.count), 0)).where(
        cause_counts.c.cause_id.in_(chosen),
        cause_counts.c.state.in_([state.value for state in states]),
    )
    ids = connection.execute(chosen.limit(MOST_CAUSES + 1)).scalars().all()
    if connection.execute(total).scalar_one() <= FEW and len(ids) <= MOST_CAUSES:
        return dead_letters.c.cause_id.in_(ids)
    # The plus keeps the database from beginning with the causes, and sorting what it finds.
    cause_id: ColumnElement[int] = literal_column("+dead_letters.cause_id")
    # Named, they tell the planner how many they are; of a subquery it would think they are few.
    return cause_id.in_(ids if len(ids) <= MOST_CAUSES else chosen)


def _state_conditions(
    connection: Connection, states: tuple[State, ...]
) -> list[ColumnElement[bool]]:
    """Spelled as the partial indexes are where one of them helps."""
    wanted = set(states)
    column = dead_letters.c.state
    if wanted == set(IN_DLQ):
        return [in_dlq()]
    if wanted == {State.RESOLVED}:
        # In the order of arrival they are met by walking, unless they are few.
        resolved = select(func.coalesce(func.sum(cause_counts.c.count), 0)).where(
            cause_counts.c.state == State.RESOLVED.value
        )
        if connection.execute(resolved).scalar_one() <= FEW_RESOLVED:
            few = select(dead_letters.c.id).where(spelled(column, State.RESOLVED))
            return [dead_letters.c.id.in_(few.correlate(None))]
    exact = column.in_([state.value for state in states])
    if wanted <= set(ELSEWHERE):
        return [spelled(column, *ELSEWHERE), exact]
    return [in_dlq(), exact] if wanted <= set(IN_DLQ) else [exact]


def _holds(term: Term, now: dt.datetime) -> tuple[ColumnElement[bool], bool]:
    """Whether it holds, and whether that is said of the cause."""
    if isinstance(term, Compare):
        if term.field in _OF_THE_CAUSE:
            return _compared(term, _OF_THE_CAUSE[term.field], now), True
        return _compared(term, _COLUMNS[term.field], now), False
    if not isinstance(term, AnyOf):
        raise TypeError(f"expected a term of columns, got {type(term).__name__}")
    if term.field == "id":
        return _of_ids(term), False
    if term.field == "service":
        chosen = select(services.c.id).where(_is_any(term, services.c.name))
        return literal_column("+dead_letters.service_id").in_(chosen), False
    if term.field == "is":
        return or_(*(groups.marked(name, now) for name in term.values)), True
    if term.field == "group":
        named = select(causes.c.group_id).where(_is_any(term, causes.c.fingerprint))
        return or_(_is_any(term, cause_groups.c.fingerprint), causes.c.group_id.in_(named)), True
    if term.field == "error_class":
        return _of_class(term), True
    if term.field in _OF_THE_CAUSE:
        return _is_any(term, _OF_THE_CAUSE[term.field]), True
    return _is_any(term, _COLUMNS[term.field]), False


def _is_any(term: AnyOf, column: ColumnElement[Any]) -> ColumnElement[bool]:
    exact = [column.in_(term.values)] if term.values else []
    # Not LIKE: on SQLite it would not tell upper from lower case.
    starts = [func.substr(column, 1, len(start)) == start for start in term.starts]
    return or_(*exact, *starts)


def _of_ids(term: AnyOf) -> ColumnElement[bool]:
    column = dead_letters.c.message_id
    exact = [column.in_(term.values)] if term.values else []
    starts = [
        and_(column >= low, column < high) for start in term.starts for low, high in id_spans(start)
    ]
    return or_(*exact, *starts)


def _of_class(term: AnyOf) -> ColumnElement[bool]:
    """Qualified, or by its last name where no dot is given."""
    column = causes.c.error_class
    length = func.length
    last_names = [
        func.substr(column, length(column) - len(value)) == f".{value}"
        for value in term.values
        if "." not in value
    ]
    return or_(_is_any(term, column), *last_names)


def _compared(term: Compare, column: ColumnElement[Any], now: dt.datetime) -> ColumnElement[bool]:
    if isinstance(term.value, dt.timedelta):  # older is earlier
        return _COMPARE[_MIRRORED[term.operator]](column, now - term.value)
    return _COMPARE[term.operator](column, term.value)
