"""Dead letters whose failures are found to have other causes than was thought."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, bindparam, update

from dlq.ledger.cause_book import NewCause
from dlq.ledger.causes import Wanted, resolve
from dlq.ledger.entries import reindexing
from dlq.ledger.moves import Locked, lock_many
from dlq.ledger.schema import dead_letters
from dlq.ledger.tally import tally_of


def reassign(
    connection: Connection, moves: Sequence[tuple[str, NewCause]], now: dt.datetime
) -> None:
    """Those that are gone meanwhile are left out."""
    wanted = dict(moves)
    rows = lock_many(connection, wanted)
    found = {row.id: _wanted_of(row, wanted[row.message_id]) for row in rows.values()}
    causes = resolve(connection, {one.identity: one for one in found.values()}, now)
    targets = {
        row.id: causes[found[row.id].identity].id
        for row in rows.values()
        if causes[found[row.id].identity].id != row.cause_id
    }
    if not targets:
        return
    with reindexing(connection, list(targets)):
        connection.execute(
            update(dead_letters)
            .where(dead_letters.c.id == bindparam("row_id"))
            .values(cause_id=bindparam("target")),
            [{"row_id": row_id, "target": target} for row_id, target in targets.items()],
        )
    _count(connection, rows, targets)


def _count(connection: Connection, rows: Mapping[str, Locked], targets: Mapping[int, int]) -> None:
    tally = tally_of(connection)
    for row in rows.values():
        if (target := targets.get(row.id)) is not None:
            tally.moved_cause(row, target)
            tally.moved(row, row.state, None)
            row.cause_id = target
            tally.moved(row, None, row.state)


def _wanted_of(row: Locked, new: NewCause) -> Wanted:
    return Wanted(
        fingerprint=new.fingerprint,
        error_type=row.error_type,
        category=new.category,
        error_class=new.error_class,
        http_status=new.http_status,
        title=new.title,
        rule=new.rule,
        reason=new.reason,
    )
