"""The file behind the spool: opened, checked, forked around, and moved aside when corrupt.

A connection must not cross a fork (SQLite's own rule): it is closed just before one, under
the same lock that every transaction takes, and opened again on need.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from dlq.client.hostlock import setting_up
from dlq.errors import SpoolError

logger = logging.getLogger(__name__)
T = TypeVar("T")

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    destination TEXT NOT NULL,
    message_id TEXT NOT NULL,
    routing_key TEXT NOT NULL,
    body BLOB NOT NULL,
    headers TEXT NOT NULL,      -- JSON
    properties TEXT NOT NULL,   -- JSON
    bytes INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    last_error TEXT,
    rejected INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX entries_by_destination ON entries (destination, rejected, id);
CREATE TABLE usage (destination TEXT PRIMARY KEY, bytes INTEGER NOT NULL);
CREATE TRIGGER entry_added AFTER INSERT ON entries BEGIN
    INSERT INTO usage VALUES (new.destination, new.bytes)
    ON CONFLICT (destination) DO UPDATE SET bytes = bytes + new.bytes;
END;
CREATE TRIGGER entry_removed AFTER DELETE ON entries BEGIN
    UPDATE usage SET bytes = bytes - old.bytes WHERE destination = old.destination;
END;
CREATE TRIGGER entry_moved AFTER UPDATE OF destination ON entries BEGIN
    UPDATE usage SET bytes = bytes - old.bytes WHERE destination = old.destination;
    INSERT INTO usage VALUES (new.destination, new.bytes)
    ON CONFLICT (destination) DO UPDATE SET bytes = bytes + new.bytes;
END;
"""

BUSY_TIMEOUT_S = 4.0
"""For another process's transaction. Callers bound their own wait: see `writer.py`."""
SETUP_TIMEOUT_S = 5.0
FORK_TIMEOUT_S = 5.0
WAL_KEPT_BYTES = 8 * 1024 * 1024
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class SpoolFile:
    """One SQLite file, at most one connection of this process to it. Safe from any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None  # of what is open
        _files.add(self)

    def exists(self) -> bool:
        """Raises: SpoolError: it cannot be told, so that unreadable is not taken for empty."""
        try:
            return _identity(self.path) is not None
        except OSError as error:
            raise self._unusable(error) from error

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    connection.close()

    def transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in one transaction, fsynced on return.

        Raises: SpoolError: the disk or the file cannot be used; nothing changed.
        """
        try:
            with self._lock:
                try:
                    return self._attempt(work)
                except sqlite3.DatabaseError as error:
                    if not _is_corrupt(error):
                        raise
                    self._set_aside(error)
                    return self._attempt(work)
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> SpoolError:
        return SpoolError(
            f"The spool {self.path} cannot be used: {error}. Look at the disk's space and the "
            "folder's permissions, or set DLQ_SPOOL_DIR to another folder."
        )

    def _attempt(self, work: Callable[[sqlite3.Connection], T]) -> T:
        db = self._open()
        db.execute("BEGIN IMMEDIATE")
        try:
            result = work(db)
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise
        return result

    def _open(self) -> sqlite3.Connection:
        # Somebody may have moved or deleted the file: what we still have open is then
        # no place to write to, since nobody would ever find it.
        if self._connection is not None and self._identity != _identity(self.path):
            logger.warning("The spool %s was moved or deleted; it is opened anew", self.path)
            self.close()
        if self._connection is None:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connection = _connect(self.path)
            self._identity = _identity(self.path)
        return self._connection

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        self.close()
        with setting_up(self.path, SETUP_TIMEOUT_S):
            if not _is_damaged(self.path):
                return  # another process has replaced it meanwhile
            stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
            aside = self.path.with_name(f"{self.path.name}.corrupt-{stamp}")
            for suffix in ("-wal", "-shm", ""):
                source = self.path.with_name(self.path.name + suffix)
                with contextlib.suppress(FileNotFoundError):
                    source.rename(aside.with_name(aside.name + suffix))
        logger.error(
            "The spool %s is corrupt (%s). It was moved to %s, messages in it were not sent; "
            "`sqlite3 FILE .recover` may read them. A new spool was begun",
            self.path,
            error,
            aside,
        )


# --- opening -----------------------------------------------------------------------------


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    try:
        db.row_factory = sqlite3.Row
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            _set_up(db, path)
        else:
            _check_version(version)
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}")
    except BaseException:
        db.close()
        raise
    return db


def _check_version(version: int) -> None:
    if version != SCHEMA_VERSION:
        raise sqlite3.OperationalError(
            f"it has format {version}, this program knows {SCHEMA_VERSION}"
        )


def _set_up(db: sqlite3.Connection, path: Path) -> None:
    # Under a lock of its own: a change to WAL does not wait for others as a transaction does.
    with setting_up(path, SETUP_TIMEOUT_S):
        if db.execute("PRAGMA user_version").fetchone()[0] != 0:
            return
        db.execute("PRAGMA auto_vacuum = FULL")
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(f"BEGIN;{SCHEMA}PRAGMA user_version = {SCHEMA_VERSION};COMMIT;")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _is_corrupt(error: sqlite3.Error) -> bool:
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _CORRUPT


def _is_damaged(path: Path) -> bool:
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as db:
            return bool(db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok")
    except sqlite3.DatabaseError as error:
        return _is_corrupt(error)


# --- forks -------------------------------------------------------------------------------

_files: weakref.WeakSet[SpoolFile] = weakref.WeakSet()
_fork_gate = threading.Lock()
_held_over_fork: list[SpoolFile] = []
_leaked: list[sqlite3.Connection] = []


def _before_fork() -> None:
    _fork_gate.acquire()
    for file in list(_files):
        if file._lock.acquire(timeout=FORK_TIMEOUT_S):  # noqa: SLF001
            _held_over_fork.append(file)
            file.close()


def _after_fork_in_parent() -> None:
    while _held_over_fork:
        _held_over_fork.pop()._lock.release()  # noqa: SLF001
    _fork_gate.release()


def _after_fork_in_child() -> None:
    global _fork_gate
    _fork_gate = threading.Lock()
    _held_over_fork.clear()
    for file in list(_files):
        file._lock = threading.RLock()  # noqa: SLF001
        connection, file._connection = file._connection, None  # noqa: SLF001
        if connection is not None:
            # A hanging disk kept it open over the fork. To close it here would touch the
            # parent's transaction: leaked on purpose.
            _leaked.append(connection)


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
