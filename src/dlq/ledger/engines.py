"""From a URL to a `Database`: the one place that knows which databases there are."""

from __future__ import annotations

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from dlq.errors import SettingsError
from dlq.ledger.database import Database
from dlq.ledger.sqlite import sqlite_database
from dlq.settings import without_password


def connect(url: str) -> Database:
    """Make ready to connect to `sqlite:///path`, `postgresql://…` or `postgres://…`.

    Raises: SettingsError: not such a URL. LedgerUnavailable: no folder for the file.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise _not_a_ledger(url) from None
    kind = parsed.drivername.partition("+")[0]
    if kind == "sqlite":
        return sqlite_database(parsed)
    if kind not in ("postgresql", "postgres"):
        raise _not_a_ledger(url)
    try:  # only now: the driver is an extra, and an SQLite ledger does without it
        from dlq.ledger.postgresql import postgresql_database
    except ImportError as error:
        raise SettingsError(
            "A ledger on PostgreSQL needs its driver: pip install 'songnodes-dlq[postgresql]'."
        ) from error
    return postgresql_database(parsed)


def _not_a_ledger(url: str) -> SettingsError:
    return SettingsError(
        "The ledger's URL cannot be read: expected sqlite:///path or "
        f"postgresql://user:pass@host/name, got {without_password(url)!r}. Set DLQ_LEDGER_URL."
    )
