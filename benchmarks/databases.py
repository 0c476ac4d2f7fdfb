"""The databases that the ledger is measured on: a file of SQLite, and a PostgreSQL of its own
that runs as in production, durable and with its autovacuum."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sqlalchemy import Engine, create_engine, text

from tests.support.postgres import PostgresCluster, postgres_programs

AS_IN_PRODUCTION = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "autovacuum": "on",
    "shared_buffers": "512MB",
    "max_connections": "50",
}


class Database(Protocol):
    """Where one ledger lives."""

    name: str

    @property
    def url(self) -> str: ...

    def settle(self) -> None:
        """Do what the database would soon do by itself, so that it does not do it in the
        middle of a measurement."""
        ...

    def size_bytes(self) -> int:
        """All tables and indexes."""
        ...

    def beside(self) -> Engine:
        """A connection for comparisons, outside the ledger."""
        ...

    def copied(self) -> AbstractContextManager[str]:
        """The URL of a copy, to change what is to stay as it is. Nobody may be connected."""
        ...


@dataclass
class SqliteFile:
    path: Path
    name: str = "SQLite"

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def settle(self) -> None:
        with contextlib.closing(sqlite3.connect(self.path)) as file:
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def size_bytes(self) -> int:
        self.settle()
        return self.path.stat().st_size

    def beside(self) -> Engine:
        return create_engine(self.url)

    @contextlib.contextmanager
    def copied(self) -> Iterator[str]:
        self.settle()
        copy = self.path.with_suffix(".copy")
        shutil.copy(self.path, copy)
        yield f"sqlite:///{copy}"
        for file in self.path.parent.glob(f"{copy.name}*"):
            file.unlink()


@dataclass
class PostgresqlDatabase:
    cluster: PostgresCluster
    url: str
    name: str = "PostgreSQL"

    def settle(self) -> None:
        """The planner's figures as autovacuum brings them up to date every minute."""
        self.cluster.execute("ANALYZE", self._database)
        self.cluster.execute("CHECKPOINT", self._database)

    def size_bytes(self) -> int:
        total = (
            "SELECT sum(pg_total_relation_size(oid)) FROM pg_class "
            "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        return int(self.cluster.execute(total, self._database)[0][0])

    def beside(self) -> Engine:
        return create_engine(self.url.replace("postgresql://", "postgresql+psycopg://", 1))

    @contextlib.contextmanager
    def copied(self) -> Iterator[str]:
        url = self.cluster.fresh_database(like=self.url)
        yield url
        self.cluster.drop_database(url)

    @property
    def _database(self) -> str:
        return self.url.rpartition("/")[2]


@contextlib.contextmanager
def database(kind: str, folder: Path, *, is_kept: bool) -> Iterator[Database]:
    """A fresh one.

    Args:
        kind: sqlite or postgresql.
        is_kept: leave its files in the folder.
    Raises: SystemExit: PostgreSQL is not installed.
    """
    if kind == "sqlite":
        path = folder / "ledger.sqlite"
        path.unlink(missing_ok=True)
        yield SqliteFile(path)
        return
    programs = postgres_programs()
    if programs is None:
        raise SystemExit("PostgreSQL is not installed (Debian: apt install postgresql)")
    cluster = PostgresCluster(
        programs, settings=AS_IN_PRODUCTION, folder=folder if is_kept else None
    )
    try:
        cluster.start()
        yield PostgresqlDatabase(cluster, cluster.fresh_database())
    finally:
        if is_kept:
            cluster.stop()
        else:
            cluster.remove()


# --- what the ledger is compared with ----------------------------------------------------

RAW_TABLE = "raw_messages"


def fill_raw(engine: Engine, batches: Iterator[list[tuple[str, str]]]) -> None:
    """A table of ids and whole messages, as text, a batch a transaction."""
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE {RAW_TABLE} (id TEXT PRIMARY KEY, message TEXT)"))
    add = text(f"INSERT INTO {RAW_TABLE} VALUES (:id, :message)")  # noqa: S608
    for batch in batches:
        with engine.begin() as connection:
            connection.execute(add, [{"id": key, "message": message} for key, message in batch])


def drop_raw(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {RAW_TABLE}"))
