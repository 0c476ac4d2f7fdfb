"""The ledger: the record of all dead letters, on SQLite or PostgreSQL."""

from __future__ import annotations

from dlq.ledger.base import Ledger
from dlq.ledger.engines import connect
from dlq.ledger.migrate import migrate_to_head, require_head
from dlq.ledger.rules import ReplayRules
from dlq.ledger.store import SqlLedger


def open_ledger(url: str, *, migrate: bool = True, rules: ReplayRules | None = None) -> Ledger:
    """Open the ledger at `sqlite:///path` or `postgresql://user:pass@host/name`.

    An SQLite file and its folders are created for this account alone.

    Args:
        migrate: bring the schema to this version's; False refuses any other schema.
        rules: by which replays are begun and closed.
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
    return SqlLedger(database, rules=rules or ReplayRules())


__all__ = ["ReplayRules", "open_ledger"]
