"""Transactions, and where the faults of a database become `LedgerUnavailable`."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from dlq.errors import LedgerError, LedgerUnavailable
from dlq.ledger.packing import Archive
from dlq.ledger.tally import take_tally

logger = logging.getLogger(__name__)

T = TypeVar("T")

WRITE_ATTEMPTS = 3
TROUBLE_S = 30.0
CONFLICTS = frozenset({"40001", "40P01"})
"""SQLSTATE of a serialization failure and a deadlock: PostgreSQL undid one of two writers,
which may simply write again."""


class Database:
    """Runs a piece of work as one transaction, from any thread.

    `writer` and `reader` are the same on PostgreSQL. On SQLite the writer holds the one
    connection that writes, so that writers queue here rather than fail on the file's lock.
    """

    def __init__(self, writer: Engine, reader: Engine, shown_url: str) -> None:
        self.shown_url = shown_url
        archive = Archive()
        self._writer = writer.execution_options(archive=archive)
        self._reader = reader.execution_options(archive=archive)
        self._trouble: tuple[float, str] | None = None  # when, and why

    @property
    def trouble(self) -> str | None:
        """Why the newest write failed, for as long as that is news.

        A full disk still takes small writes into room it has; larger ones tell more.
        """
        told = self._trouble
        return told[1] if told and time.monotonic() - told[0] <= TROUBLE_S else None

    def write(self, work: Callable[[Connection], T]) -> T:
        """Commit what `work` did, or nothing of it.

        If the connection breaks during the commit itself, nobody can tell which: so every
        piece of work here may be done again without harm.

        Raises: LedgerUnavailable; whatever `work` raises.
        """
        try:
            done = self.prove(work)
        except LedgerUnavailable as error:
            self._trouble = (time.monotonic(), str(error))
            raise
        self._trouble = None
        return done

    def prove(self, work: Callable[[Connection], T]) -> T:
        """`write`, by somebody who only tries whether it can be done: its result neither makes
        nor ends a trouble that others have."""
        attempt = 1
        while True:
            try:
                with self._writer.begin() as connection:
                    return _counted(connection, work)
            except SQLAlchemyError as error:
                if attempt == WRITE_ATTEMPTS or not _is_conflict(error):
                    raise self._translated(error) from error
                logger.info("Two writers met in the ledger; writing again: %s", _first_line(error))
                attempt += 1

    def rebuild(self, work: Callable[[Connection], T]) -> T:
        """`write` for work that replaces whole tables: SQLite's references between tables are
        looked at when all of it is done, as its documentation says of such work.

        Raises: LedgerUnavailable; whatever `work` raises.
        """
        try:
            with self._writer.connect() as connection:
                if connection.dialect.name != "sqlite":
                    with connection.begin():
                        return work(connection)
                driver: Any = connection.connection.driver_connection
                driver.execute("PRAGMA foreign_keys = OFF").close()
                try:
                    with connection.begin():
                        done = work(connection)
                        _check_references(connection)
                finally:
                    driver.execute("PRAGMA foreign_keys = ON").close()
                return done
        except SQLAlchemyError as error:
            raise self._translated(error) from error

    def read(self, work: Callable[[Connection], T]) -> T:
        """Show `work` one unchanging state of the database. Raises: LedgerUnavailable."""
        try:
            with self._reader.begin() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            raise self._translated(error) from error

    def close(self) -> None:
        self._reader.dispose()
        self._writer.dispose()

    def _translated(self, error: SQLAlchemyError) -> Exception:
        """A fault of the database as `LedgerUnavailable`; a fault of ours as it is."""
        unavailable = isinstance(error, PoolTimeout | DBAPIError)
        if not unavailable or isinstance(error, IntegrityError | DataError):
            return error
        return LedgerUnavailable(
            f"The ledger at {self.shown_url} cannot be used: {_first_line(error)}. Nothing was "
            "changed. Check that the database runs, has room on its disk and may be written."
        )


def _counted(connection: Connection, work: Callable[[Connection], T]) -> T:
    """Do the work, and add what it changed to the counters."""
    take_tally(connection)  # what a transaction that failed has left
    done = work(connection)
    if (tally := take_tally(connection)) is not None:
        tally.write(connection, dt.datetime.now(dt.UTC))
    return done


def _check_references(connection: Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise LedgerError(
            f"The table {broken[0]} refers to rows of {broken[2]} that are not there. Nothing was "
            "changed. Restore a backup, or mend it with SQLite's own tools."
        )


def _is_conflict(error: SQLAlchemyError) -> bool:
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in CONFLICTS


def _first_line(error: SQLAlchemyError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    lines = str(cause).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(cause).__name__
