"""Which cause stands in which group: finding a group, merging two, and splitting them again.

A group is a row that causes point to. Merged into another it keeps its row and its marks,
without causes, and everything that names it leads to where its causes went. Causes with one
fingerprint always stand together.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, Select, bindparam, select, union, update

from dlq.errors import InvalidInput, NotFound
from dlq.ledger.bulk import insert_rows
from dlq.ledger.schema import cause_counts, cause_groups, causes
from dlq.payload import clean_text
from dlq.states import IN_DLQ, State

MIN_START_CHARS = 4
MOST_NAMED = 5

_START = re.compile(rf"[0-9a-f]{{{MIN_START_CHARS},}}")


class Found(NamedTuple):
    """A row of `cause_groups` with causes in it."""

    id: int
    fingerprint: str


def _holding(*conditions: ColumnElement[bool]) -> Select[Any]:
    """Groups with causes, of which one of these conditions holds: a look-up by index each."""
    row = cause_groups.c
    holding = [
        select(row.id).join(causes, causes.c.group_id == row.id).where(condition)
        for condition in conditions
    ]
    either = union(*holding).subquery()
    chosen = row.id.in_(select(either.c.id))
    return select(row.id, row.fingerprint).where(chosen).order_by(row.fingerprint)


def _begins(column: Column[str]) -> ColumnElement[bool]:
    """By index, which LIKE would not use on either database."""
    return column.between(bindparam("start"), bindparam("end"))


_OWN = _holding(cause_groups.c.fingerprint == bindparam("given"))
_MERGED = _holding(causes.c.fingerprint == bindparam("given"))
_BEGINNING = _holding(_begins(cause_groups.c.fingerprint), _begins(causes.c.fingerprint))


def find(connection: Connection, group_id: str) -> Found:
    """By a fingerprint, whole or its start: the group's own, or that of a cause in it.

    Raises: NotFound; InvalidInput: several groups begin so.
    """
    given = group_id.strip()
    whole = _found(connection, _OWN, given=given) or _found(connection, _MERGED, given=given)
    start = given.casefold()
    found = whole
    if not whole and _START.fullmatch(start):
        found = _found(connection, _BEGINNING, start=start, end=start + "g")
    if not found:
        raise NotFound(
            f"There is no group {clean_text(group_id)[:80]!r}. Expected a fingerprint, or at "
            f"least its first {MIN_START_CHARS} hex digits, as `dlq groups` shows it."
        )
    if len(found) > 1:
        names = ", ".join(each.fingerprint for each in found[:MOST_NAMED])
        raise InvalidInput(
            f"{len(found)} groups begin with {start!r}: {names}"
            f"{' …' if len(found) > MOST_NAMED else ''}. Give more digits."
        )
    return found[0]


def _found(connection: Connection, query: Select[Any], **given: str) -> list[Found]:
    return [Found(*row) for row in connection.execute(query, given)]


# --- merge and split ---------------------------------------------------------------------


def merge(connection: Connection, group_id: str, into: str) -> None:
    """Raises: NotFound; InvalidInput."""
    _lock(connection, {find(connection, group_id).id, find(connection, into).id})
    # Looked up again: another manager may have merged one of them while the lock was waited for.
    source, target = find(connection, group_id), find(connection, into)
    if source.id == target.id:
        raise InvalidInput(
            f"{group_id} and {into} are one group already: {target.fingerprint}. Expected two."
        )
    move = update(causes).where(causes.c.group_id == source.id).values(group_id=target.id)
    connection.execute(move)
    _reopen_cleared(connection, {target.id})


def split(
    connection: Connection, group_id: str, fingerprint: str | None, now: dt.datetime
) -> list[int]:
    """Returns: the group's row, then those that got causes back.
    Raises: NotFound; InvalidInput."""
    group = find(connection, group_id)
    query = select(causes.c.fingerprint).where(causes.c.group_id == group.id).distinct()
    merged = set(connection.execute(query).scalars()) - {group.fingerprint}
    if fingerprint is not None:
        merged = {_member(group, merged, fingerprint)}
    homes_of = _own_groups(connection, merged, now)
    _lock(connection, {group.id, *homes_of.values()})
    for each, home in sorted(homes_of.items()):
        connection.execute(
            update(causes)
            .where(causes.c.group_id == group.id, causes.c.fingerprint == each)
            .values(group_id=home)
        )
    _reopen_cleared(connection, set(homes_of.values()))
    return [group.id, *(homes_of[each] for each in sorted(homes_of))]


def _member(group: Found, merged: Collection[str], fingerprint: str) -> str:
    """The one cause that is meant, whole or by its start."""
    given = fingerprint.strip()
    meant = [each for each in merged if each == given]
    if not meant and _START.fullmatch(given.casefold()):
        meant = [each for each in merged if each.startswith(given.casefold())]
    if len(meant) == 1:
        return meant[0]
    if given == group.fingerprint:
        raise InvalidInput(
            f"{given} is the cause that the group began with and cannot be split off. Expected "
            f"one that was merged into it: {', '.join(sorted(merged)[:MOST_NAMED]) or 'none'}."
        )
    if meant:
        raise InvalidInput(f"{len(meant)} causes of the group begin with {given!r}: give more.")
    raise NotFound(
        f"Group {group.fingerprint} has no cause {clean_text(given)[:80]!r} merged into it. "
        f"Merged are: {', '.join(sorted(merged)[:MOST_NAMED]) or 'none'}."
    )


def _own_groups(
    connection: Connection, fingerprints: Collection[str], now: dt.datetime
) -> dict[str, int]:
    """By fingerprint: the row of the group that carries it, made if need be."""
    if not fingerprints:
        return {}
    insert_rows(
        connection,
        cause_groups,
        [{"fingerprint": each, "created_at": now} for each in sorted(fingerprints)],
        unless_known=cause_groups.c.fingerprint,
    )
    row = cause_groups.c
    query = select(row.fingerprint, row.id).where(row.fingerprint.in_(fingerprints))
    return {row.fingerprint: row.id for row in connection.execute(query)}


def _lock(connection: Connection, row_ids: Collection[int]) -> None:
    """In the order of their rows: two who merge crosswise must not wait for each other."""
    row = cause_groups.c
    query = select(row.id).where(row.id.in_(row_ids)).order_by(row.id).with_for_update()
    connection.execute(query).all()


def _reopen_cleared(connection: Connection, row_ids: Collection[int]) -> None:
    """A group that got causes with something in the DLQ is not resolved. It has not come back
    either."""
    unresolved = [state.value for state in (*IN_DLQ, State.REPLAYING)]
    holding = (
        select(causes.c.group_id)
        .join(cause_counts, cause_counts.c.cause_id == causes.c.id)
        .where(causes.c.group_id.in_(row_ids))
        .where(cause_counts.c.state.in_(unresolved), cause_counts.c.count > 0)
    )
    connection.execute(
        update(cause_groups).where(cause_groups.c.id.in_(holding)).values(cleared_at=None)
    )
