"""The ledger: the record of all dead letters, on SQLite or PostgreSQL."""

from __future__ import annotations

from dlq.ledger.base import Ledger
from dlq.ledger.engines import connect
from dlq.ledger.migrate import migrate_to_head, require_head
from dlq.ledger.store import SqlLedger

DEFAULT_REPLAY_BUDGET = 6


def open_ledger(
    url: str, *, migrate: bool = True, replay_budget: int = DEFAULT_REPLAY_BUDGET
) -> Ledger:
    """Open the ledger at `sqlite:///path` or `postgresql://user:pass@host/name`.

    An SQLite file and its folders are created for this account alone.

    Args:
        migrate: bring the schema to this version's; False refuses any other schema.
        replay_budget: failed replays after which a dead letter is parked.
    Raises:
        SettingsError: not such a URL.
        LedgerUnavailable: the database cannot be reached or created.
        LedgerError: a newer version upgraded the database, or it needs `migrate`.
    """
    database = connect(url)
    try:
        (migrate_to_head if migrate else require_head)(database)
    except BaseException:
        database.close()
        raise
    return SqlLedger(database, replay_budget=replay_budget)


__all__ = ["DEFAULT_REPLAY_BUDGET", "open_ledger"]
