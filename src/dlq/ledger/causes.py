"""Causes: the finest there is, one row for each way to fail; groups of them are what people see.

A dead letter points at its cause, a cause at its group. So a group is merged, split or given
another category by changing a few rows, however many dead letters it has.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from dlq.classify.levelling import levelled
from dlq.ledger.base import Arrival
from dlq.ledger.bulk import insert_rows
from dlq.ledger.columns import Name
from dlq.ledger.packing import spaced
from dlq.ledger.schema import cause_groups, causes
from dlq.message import shorten_utf8
from dlq.payload import clean_text
from dlq.query import words_of


@dataclass(frozen=True, slots=True)
class Cause:
    """A stored one, as its dead letters show it. `category` is that of the group, if an operator
    corrected it; `group` the group's fingerprint."""

    id: int
    group_id: int
    group: str
    fingerprint: str
    error_type: str
    category: str
    title: str
    rule: str
    reason: str
    words: frozenset[str]


_QUERY = select(
    causes.c.id,
    causes.c.identity,
    causes.c.group_id,
    cause_groups.c.fingerprint.label("group"),
    causes.c.fingerprint,
    causes.c.error_type,
    func.coalesce(cause_groups.c.category, causes.c.category).label("category"),
    causes.c.title,
    causes.c.rule,
    causes.c.reason,
    causes.c.words,
).join(cause_groups, cause_groups.c.id == causes.c.group_id)


def causes_by_id(connection: Connection, ids: Iterable[int | None]) -> dict[int, Cause]:
    wanted = sorted({cause_id for cause_id in ids if cause_id is not None})
    if not wanted:
        return {}
    rows = connection.execute(_QUERY.where(causes.c.id.in_(wanted)))
    return {row.id: _cause_of(row) for row in rows}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A cause by what makes it one, and what is told of it."""

    fingerprint: str
    error_type: str
    category: str
    error_class: str | None
    http_status: int | None
    title: str
    rule: str
    reason: str
    message: str = ""  # of one of its failures

    @property
    def identity(self) -> str:
        parts = [
            self.fingerprint,
            self.error_type,
            self.category,
            self.error_class,
            self.http_status,
        ]
        return hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()[:32]


def wanted_of(arrival: Arrival) -> Wanted:
    message = arrival.message
    return Wanted(
        fingerprint=_name(arrival.fingerprint),
        error_type=_name(message.error_type),
        category=_name(arrival.category),
        error_class=clean_text(message.error_class) if message.error_class else None,
        http_status=message.http_status,
        title=arrival.title,
        rule=arrival.rule,
        reason=arrival.reason,
        message=message.error_message,
    )


def resolve(
    connection: Connection, wanted: Mapping[str, Wanted], now: dt.datetime
) -> dict[str, Cause]:
    """The causes of these, by identity, made now if they are new."""
    known = _by_identity(connection, wanted)
    missing = sorted(set(wanted) - set(known))
    if not missing:
        return known
    group_ids = _groups_of(connection, {wanted[key].fingerprint for key in missing}, now)
    rows = [_row_of(wanted[key], group_ids, now) for key in missing]
    insert_rows(connection, causes, rows, unless_known=causes.c.identity)
    return known | _by_identity(connection, missing)


def _by_identity(connection: Connection, identities: Iterable[str]) -> dict[str, Cause]:
    rows = connection.execute(_QUERY.where(causes.c.identity.in_(list(identities))))
    return {row.identity: _cause_of(row) for row in rows}


def _groups_of(connection: Connection, fingerprints: set[str], now: dt.datetime) -> dict[str, int]:
    """The group of each fingerprint: where its other causes are, else its own, made now if new."""
    siblings = select(causes.c.fingerprint, causes.c.group_id).where(
        causes.c.fingerprint.in_(fingerprints)
    )
    found: dict[str, int] = {
        row.fingerprint: row.group_id for row in connection.execute(siblings.order_by(causes.c.id))
    }
    missing = sorted(fingerprints - set(found))
    if missing:
        insert_rows(
            connection,
            cause_groups,
            [{"fingerprint": fingerprint, "created_at": now} for fingerprint in missing],
            unless_known=cause_groups.c.fingerprint,
        )
        own = select(cause_groups.c.fingerprint, cause_groups.c.id).where(
            cause_groups.c.fingerprint.in_(missing)
        )
        found |= {row.fingerprint: row.id for row in connection.execute(own)}
    return found


def _row_of(wanted: Wanted, group_ids: Mapping[str, int], now: dt.datetime) -> dict[str, Any]:
    told = f"{wanted.title} {wanted.error_class or ''} {wanted.error_type}"
    return {
        "identity": wanted.identity,
        "fingerprint": wanted.fingerprint,
        "error_type": wanted.error_type,
        "category": wanted.category,
        "error_class": wanted.error_class,
        "http_status": wanted.http_status,
        "title": wanted.title,
        "rule": wanted.rule,
        "reason": wanted.reason,
        "words": spaced([*words_of(told), *words_of(levelled(wanted.message))]),
        # Overwritten by the tally of the same transaction, which knows the failures.
        "first_seen": now,
        "last_seen": dt.datetime(1970, 1, 1, tzinfo=dt.UTC),
        "group_id": group_ids[wanted.fingerprint],
    }


def _cause_of(row: Any) -> Cause:
    return Cause(
        id=row.id,
        group_id=row.group_id,
        group=row.group,
        fingerprint=row.fingerprint,
        error_type=row.error_type,
        category=row.category,
        title=row.title,
        rule=row.rule,
        reason=row.reason,
        words=frozenset(row.words.split()),
    )


def _name(text: str) -> str:
    """As a `Name` column holds it, since the identity is of what is stored."""
    return shorten_utf8(clean_text(text), Name.MAX_BYTES)
