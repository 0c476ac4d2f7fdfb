"""SQLite as the ledger's database: one file, one connection that writes, many that read."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

from dlq.errors import LedgerUnavailable, SettingsError
from dlq.ledger.database import Database

LOCK_WAIT_S = 5.0
LOCK_POLL_S = 0.02
READERS = 8
WRITER_CACHE_KIB = 64 * 1024
"""Holds the indexes' inner pages of some million rows: with SQLite's own 2 MB, inserts into
them slow down by half on the way there."""
READER_CACHE_KIB = 8 * 1024
PAGE_BYTES = 16 * 1024
"""Four dead letters of the usual size share a page. With SQLite's own 4 KiB each takes one for
itself: a fifth more of disk and of time."""
CHECKPOINT_PAGES = 2500
JOURNAL_BYTES = 64 * 1024 * 1024


def sqlite_database(url: URL) -> Database:
    if url.database in (None, "", ":memory:"):
        raise SettingsError(
            "The ledger must outlive the process: expected sqlite:///path of a file, "
            "got a database in memory. Set DLQ_LEDGER_URL."
        )
    path = Path(str(url.database))
    _create_private_file(path)
    _make_ready(path)
    writer = _engine(path, connections=1, begin="BEGIN IMMEDIATE")
    reader = _engine(path, connections=READERS, begin="BEGIN")
    event.listen(writer, "connect", _pragmas(WRITER_CACHE_KIB, query_only=False))
    event.listen(reader, "connect", _pragmas(READER_CACHE_KIB, query_only=True))
    return Database(writer, reader, f"sqlite:///{path}")


def _create_private_file(path: Path) -> None:
    """Dead letters hold payloads: what is created here is for this account alone. SQLite gives
    its journal files the mode of the database."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise LedgerUnavailable(
            f"The ledger's file {path} cannot be created or written: {error.strerror}. "
            "Point DLQ_LEDGER_URL at a folder that this account may write."
        ) from error


def _make_ready(path: Path) -> None:
    """What the file itself remembers, set once: page size, and write-ahead log, by which
    readers see the last commit while one writes.

    SQLite refuses the change of journal at once while another process makes it, whatever
    busy time-out is set, so it is tried again here.
    """
    until = time.monotonic() + LOCK_WAIT_S
    while not _is_ready(path, may_wait=time.monotonic() < until):
        time.sleep(LOCK_POLL_S)


def _is_ready(path: Path, *, may_wait: bool) -> bool:
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=LOCK_WAIT_S)) as file:
            file.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            file.execute("PRAGMA journal_mode = WAL")
    except sqlite3.DatabaseError as error:
        busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
        if busy and may_wait:
            return False
        raise _unusable(path, error) from error
    return True


def _unusable(path: Path, error: sqlite3.Error) -> LedgerUnavailable:
    return LedgerUnavailable(
        f"The ledger's file {path} cannot be used: {error}. Expected an SQLite database on a "
        "disk with room, that this account may write and nobody keeps locked."
    )


def _engine(path: Path, *, connections: int, begin: str) -> Engine:
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=str(path)),
        # isolation_level None: the driver begins no transaction of its own, we do (below).
        connect_args={"timeout": LOCK_WAIT_S, "isolation_level": None},
        pool_size=connections,
        max_overflow=0,
        pool_timeout=LOCK_WAIT_S,
    )

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _pragmas(cache_kib: int, *, query_only: bool) -> Callable[[sqlite3.Connection, Any], None]:
    pragmas = (
        "PRAGMA synchronous = FULL",  # a commit survives power loss: the ack follows it
        "PRAGMA foreign_keys = ON",
        f"PRAGMA cache_size = -{cache_kib}",
        # A hot page of an index is copied into the file once in some 40 MB, not in 4.
        f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}",
        f"PRAGMA journal_size_limit = {JOURNAL_BYTES}",
        f"PRAGMA query_only = {'ON' if query_only else 'OFF'}",
    )

    def set_pragmas(connection: sqlite3.Connection, _record: Any) -> None:
        for pragma in pragmas:
            connection.execute(pragma).close()

    return set_pragmas
