"""SQLite: copied by its own online backup, out of one transaction that sees one state."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from dlq.errors import LedgerError, LedgerUnavailable
from dlq.ledger.sqlite import LOCK_WAIT_S

STEP_PAGES = 500
"""8 MB: between two steps the bar moves, and Ctrl-C is heard."""


def copy_database(source: Path, target: Path, on_progress: Callable[[int, int], None]) -> None:
    """Copy the ledger `source` into the empty file `target`, and check it there.

    Writers go on meanwhile; their log (`-wal`) grows until the copy is done.

    Raises: LedgerUnavailable: cannot be read or written. LedgerError: not sound, or no ledger.
    """
    uri = f"file:{quote(str(source.absolute()))}?mode=ro"
    try:
        with (
            closing(sqlite3.connect(uri, uri=True, timeout=LOCK_WAIT_S)) as whole,
            closing(sqlite3.connect(target, isolation_level=None)) as copy,
        ):
            _copy(whole, copy, on_progress)
            _check(copy, source)
    except sqlite3.Error as error:
        raise LedgerUnavailable(
            f"The ledger {source} cannot be copied: {error}. Expected a sound SQLite database, "
            "and room for it on the other disk."
        ) from error


def _copy(
    whole: sqlite3.Connection, copy: sqlite3.Connection, on_progress: Callable[[int, int], None]
) -> None:
    [page_bytes] = whole.execute("PRAGMA page_size").fetchone()
    # Without a transaction around all steps, each write by others would start the copy anew.
    whole.execute("BEGIN")
    whole.execute("SELECT 1 FROM sqlite_schema").fetchone()
    copy.execute("PRAGMA synchronous = OFF")  # the caller syncs the file once, at the end
    whole.backup(
        copy,
        pages=STEP_PAGES,
        progress=lambda _status, left, total: on_progress(
            (total - left) * page_bytes, total * page_bytes
        ),
    )
    whole.rollback()
    copy.execute("PRAGMA journal_mode = DELETE")  # one file, that a read-only disk can hold


def _check(copy: sqlite3.Connection, source: Path) -> None:
    found = [line for (line,) in copy.execute("PRAGMA integrity_check(3)")]
    if found != ["ok"]:
        raise LedgerError(
            f"The copy of {source} is not sound, so it was thrown away: {'; '.join(found)}. "
            "The ledger itself may be damaged; keep older backups."
        )
    tables = "SELECT count(*) FROM sqlite_schema WHERE name IN ('dead_letters', 'alembic_version')"
    if copy.execute(tables).fetchone() != (2,):
        raise LedgerError(f"{source} is an SQLite database, but no ledger. Check the name.")
