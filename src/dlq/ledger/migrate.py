"""Brings a ledger's database to the schema this code knows; refuses one from the future."""

from __future__ import annotations

import logging
from importlib.metadata import version
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from dlq.errors import LedgerError
from dlq.ledger.database import Database

logger = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK_KEY = 0x646C71  # "dlq": PostgreSQL's advisory locks have numbers for names
LOCK_WAIT_S = 60
MIGRATION_WAIT_S = 1800


def migrate_to_head(database: Database, revision: str = "head") -> None:
    """Upgrade in one transaction; of several managers that start at once one does it and the
    others wait for it.

    Raises: LedgerError: the database was upgraded by a newer version. LedgerUnavailable.
    """
    database.rebuild(lambda connection: _upgrade(connection, revision, database.shown_url))


def require_head(database: Database) -> None:
    """Raises: LedgerError: the schema is not exactly the one this code knows."""
    scripts = ScriptDirectory.from_config(_config())
    current, head = database.read(_current), scripts.get_current_head()
    _refuse_unknown(current, scripts, database.shown_url)
    if current != head:
        raise LedgerError(
            f"The ledger at {database.shown_url} has schema revision {current or 'none'}, this "
            f"version ({_code_version()}) needs {head}. Start the manager once: it upgrades it."
        )


def _upgrade(connection: Connection, revision: str, shown_url: str) -> None:
    _take_turn(connection)
    config = _config()
    scripts = ScriptDirectory.from_config(config)
    current = _current(connection)
    _refuse_unknown(current, scripts, shown_url)
    if current == scripts.get_current_head():
        return
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    logger.info("Upgraded the ledger's schema from %s to %s", current or "none", revision)


def _take_turn(connection: Connection) -> None:
    """SQLite's writer has the file to itself by now; PostgreSQL needs a lock for it."""
    if connection.dialect.name != "postgresql":
        return
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_WAIT_S}s'"))
    connection.execute(text(f"SET LOCAL statement_timeout = '{MIGRATION_WAIT_S}s'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})


def _refuse_unknown(current: str | None, scripts: ScriptDirectory, shown_url: str) -> None:
    known = {script.revision for script in scripts.walk_revisions()}
    if current is not None and current not in known:
        raise LedgerError(
            f"The ledger at {shown_url} has schema revision {current}, which this version "
            f"({_code_version()}) does not know: a newer version upgraded it. Install that version "
            "or a later one, or point DLQ_LEDGER_URL at another database."
        )


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _code_version() -> str:
    return version("songnodes-dlq")


def _config() -> Config:
    config = Config()
    # Alembic's configuration interpolates "%".
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config
