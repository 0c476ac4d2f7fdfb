"""The SQLite file of `host_memory.py`: opened private, moved aside when corrupt.

It is written with `synchronous = NORMAL`: what was committed survives the death of any
process. After a power failure the last commits may be gone, and those replays be handled
again; an fsync for each replay would cost more than that.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from pathlib import Path

from dlq.client.hostlock import setting_up

logger = logging.getLogger(__name__)

FORMAT = 1
SCHEMA = """
CREATE TABLE replays (
    id INTEGER PRIMARY KEY,          -- order in which they were first taken
    replay_id TEXT NOT NULL UNIQUE,
    standing TEXT NOT NULL,          -- in_hand, succeeded, reported
    owner INTEGER,                   -- who has it in hand: see owners.py
    at REAL NOT NULL                 -- seconds since 1970
);
"""
BUSY_TIMEOUT_S = 1.0
SETUP_TIMEOUT_S = 2.0
WAL_KEPT_BYTES = 1024 * 1024
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def connect(path: Path) -> sqlite3.Connection:
    """Raises: sqlite3.Error, OSError."""
    db = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    try:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
        if _format(db) == 0:
            _set_up(db, path)
        _check_format(_format(db))
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}")
    except BaseException:
        db.close()
        raise
    return db


def is_corrupt(error: sqlite3.Error) -> bool:
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _CORRUPT


def set_aside(path: Path, error: sqlite3.Error) -> None:
    """Make room for a new file. One that was set aside before is overwritten.

    Raises: OSError, sqlite3.Error.
    """
    with setting_up(path, SETUP_TIMEOUT_S):
        if not _is_damaged(path):
            return  # another process has replaced it meanwhile
        aside = path.with_name(f"{path.name}.corrupt")
        for suffix in ("-wal", "-shm", ""):
            source = path.with_name(path.name + suffix)
            with contextlib.suppress(FileNotFoundError):
                source.replace(aside.with_name(aside.name + suffix))
    logger.warning(
        "%s, which remembers replays, is corrupt (%s). It was moved to %s and a new one was "
        "begun: a replay that is delivered again from before may be handled again",
        path,
        error,
        aside,
    )


def _set_up(db: sqlite3.Connection, path: Path) -> None:
    # Under a lock of its own: a change to WAL does not wait for others as a transaction does.
    with setting_up(path, SETUP_TIMEOUT_S):
        if _format(db) == 0:
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(f"BEGIN;{SCHEMA}PRAGMA user_version = {FORMAT};COMMIT;")


def _check_format(found: int) -> None:
    if found != FORMAT:
        raise sqlite3.OperationalError(f"it has format {found}, this program knows {FORMAT}")


def _format(db: sqlite3.Connection) -> int:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version


def _is_damaged(path: Path) -> bool:
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as db:
            return bool(db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok")
    except sqlite3.DatabaseError as error:
        return is_corrupt(error)
