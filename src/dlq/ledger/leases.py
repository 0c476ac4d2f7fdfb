"""Leases: an open replay in the hands of one worker for a while (embedded shape)."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, or_, select, update

from dlq.errors import NotFound
from dlq.ledger.base import Lease
from dlq.ledger.rows import REPLAY_WITH_DEAD_LETTER, leases_of
from dlq.ledger.schema import dead_letters, replays

_LEASES = select(*REPLAY_WITH_DEAD_LETTER).join(
    dead_letters, dead_letters.c.id == replays.c.dead_letter_id
)


def lease(
    connection: Connection,
    worker: str,
    *,
    limit: int,
    ttl_s: float,
    error_types: Sequence[str],
) -> list[Lease]:
    """Only confirmed replays: one that is not yet handed over may still be abandoned."""
    now = dt.datetime.now(dt.UTC)
    query = (
        select(replays.c.id)
        .where(replays.c.outcome.is_(None), replays.c.confirmed_at.is_not(None))
        .where(or_(replays.c.leased_until.is_(None), replays.c.leased_until <= now))
        .order_by(replays.c.id)
        .limit(limit)
        .with_for_update(of=replays, skip_locked=True)  # two workers share the queue
    )
    if error_types:
        query = query.join(dead_letters, dead_letters.c.id == replays.c.dead_letter_id).where(
            dead_letters.c.error_type.in_(error_types)
        )
    free = connection.execute(query).scalars().all()
    if not free:
        return []
    connection.execute(
        update(replays)
        .where(replays.c.id == bindparam("row_id"))
        .values(
            lease_id=bindparam("new_lease_id"),
            leased_by=worker,
            leased_until=now + dt.timedelta(seconds=ttl_s),
        ),
        [{"row_id": row_id, "new_lease_id": str(uuid.uuid4())} for row_id in free],
    )
    taken = _LEASES.where(replays.c.id.in_(free)).order_by(replays.c.id)
    return leases_of(connection, connection.execute(taken).all())


def extend(connection: Connection, lease_id: str, ttl_s: float) -> Lease:
    """Raises: NotFound."""
    until = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=ttl_s)
    extended = connection.execute(
        update(replays).where(replays.c.lease_id == lease_id).values(leased_until=until)
    )
    if extended.rowcount == 0:
        raise _lost()
    query = _LEASES.where(replays.c.lease_id == lease_id)
    return leases_of(connection, [connection.execute(query).one()])[0]


def release(connection: Connection, lease_id: str) -> None:
    """Raises: NotFound."""
    released = connection.execute(
        update(replays)
        .where(replays.c.lease_id == lease_id)
        .values(lease_id=None, leased_until=None)
    )
    if released.rowcount == 0:
        raise _lost()


def leased(connection: Connection, lease_id: str) -> Lease:
    """Raises: NotFound."""
    query = _LEASES.where(
        replays.c.lease_id == lease_id, replays.c.leased_until > dt.datetime.now(dt.UTC)
    )
    row = connection.execute(query).first()
    if row is None:
        raise _lost()
    return leases_of(connection, [row])[0]


def _lost() -> NotFound:
    # The id is a secret of its holder and is not repeated.
    return NotFound(
        "No replay is held by this lease: it ran out, was given back, or its outcome is known. "
        "Drop the work; the replay is handed out again if it is still open."
    )
