"""What the broker has not confirmed, on this host's disk: one SQLite file for all processes.

Why SQLite: a commit is fsynced and whole across `kill -9`, any number of processes may
write, and a person can look into it. Rows belong to a destination, so that a process
configured for another broker leaves them alone. The file is bounded in bytes of messages;
at the bound it refuses and never evicts. `spoolfile.py` keeps the file itself.
"""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dlq.client.spoolfile import SpoolFile
from dlq.message import WireMessage
from dlq.payload import iso_z, representable
from dlq.settings import Settings

ROW_BYTES = 200
"""Counted on top of each message for its row."""
ERROR_CHARS = 500


@dataclass(frozen=True, slots=True)
class Addressed:
    """A message, where it is to go, and the reason why it is not there yet. `rejected`: the
    other side will not take it as it is; it is kept for a person and not sent by itself."""

    destination: str
    wire: WireMessage
    reason: str | None = None
    rejected: bool = False


@dataclass(frozen=True, slots=True)
class SpoolEntry:
    """One row. `last_error` is the newest reason why it is still here."""

    id: int
    destination: str
    message_id: str
    wire: WireMessage
    bytes: int
    created_at: dt.datetime
    attempts: int
    last_error: str | None
    rejected: bool


@dataclass(frozen=True, slots=True)
class SpoolSummary:
    """What waits for one destination. `rejected` ones wait for a person."""

    destination: str
    waiting: int
    rejected: int
    bytes: int
    oldest_at: dt.datetime | None


class Spool:
    """The spool of this host. Safe from any thread; each method is one transaction.

    Raises (every method): SpoolError: the disk or the file cannot be used; nothing changed.
    """

    def __init__(self, settings: Settings) -> None:
        self.path = settings.spool_dir / "spool.sqlite"
        self._max_bytes = settings.spool_max_bytes
        self._file = SpoolFile(self.path)

    @property
    def exists(self) -> bool:
        return self._file.exists()

    # --- what the client does ---

    def append(self, messages: Sequence[Addressed]) -> list[bool]:
        """Store in order, fsynced on return; False for each that no longer fits the bound."""

        def work(db: sqlite3.Connection) -> list[bool]:
            used = db.execute("SELECT COALESCE(SUM(bytes), 0) FROM usage").fetchone()[0]
            stored = []
            for message in messages:
                row = _row(message)
                fits = used + row["bytes"] <= self._max_bytes
                if fits:
                    used += row["bytes"]
                    db.execute(_INSERT, row)
                stored.append(fits)
            return stored

        return self._file.transaction(work)

    def waiting(
        self, destination: str, *, after: int = 0, limit: int, max_bytes: int
    ) -> list[SpoolEntry]:
        """The next entries to send, oldest first: at most `limit`, and no more than
        `max_bytes` unless a single one is larger."""

        def work(db: sqlite3.Connection) -> list[SpoolEntry]:
            found: list[SpoolEntry] = []
            size = 0
            rows = db.execute(
                "SELECT * FROM entries WHERE destination = ? AND rejected = 0 AND id > ? "
                "ORDER BY id LIMIT ?",
                (destination, after, limit),
            )
            for row in rows:
                size += row["bytes"]
                if found and size > max_bytes:
                    break
                found.append(_entry(row))
            return found

        return self._file.transaction(work) if self.exists else []

    def oldest_waiting(self, destination: str) -> int | None:
        """Its id, or None if nothing is to be sent there."""

        def work(db: sqlite3.Connection) -> int | None:
            row = db.execute(
                "SELECT MIN(id) FROM entries WHERE destination = ? AND rejected = 0",
                (destination,),
            ).fetchone()
            return None if row[0] is None else int(row[0])

        return self._file.transaction(work) if self.exists else None

    def remove(self, ids: Sequence[int]) -> None:
        """Let go of entries that the other side has confirmed."""

        def work(db: sqlite3.Connection) -> None:
            db.executemany("DELETE FROM entries WHERE id = ?", [(i,) for i in ids])

        self._file.transaction(work)

    def note_failures(self, errors: Sequence[tuple[int, str]]) -> None:
        """Count one attempt for each (id, error), and keep the error."""
        rows = [(error[:ERROR_CHARS], i) for i, error in errors]
        self._update("SET attempts = attempts + 1, last_error = ? WHERE id = ?", rows)

    def reject(self, entry_id: int, reason: str) -> None:
        """Set an entry aside that will never be accepted as it is; it is kept."""
        self._update(
            "SET attempts = attempts + 1, rejected = 1, last_error = ? WHERE id = ?",
            [(reason[:ERROR_CHARS], entry_id)],
        )

    # --- what a person does ---

    def summary(self) -> list[SpoolSummary]:
        """One per destination that has entries, by name."""

        def work(db: sqlite3.Connection) -> list[SpoolSummary]:
            rows = db.execute(
                "SELECT destination, COUNT(*) AS entries, SUM(rejected) AS rejected, "
                "MIN(id) AS oldest, (SELECT bytes FROM usage u "
                "WHERE u.destination = e.destination) AS bytes "
                "FROM entries e GROUP BY destination ORDER BY destination"
            ).fetchall()
            return [
                SpoolSummary(
                    destination=row["destination"],
                    waiting=row["entries"] - row["rejected"],
                    rejected=row["rejected"],
                    bytes=row["bytes"],
                    oldest_at=_created_at(db, row["oldest"]),
                )
                for row in rows
            ]

        return self._file.transaction(work) if self.exists else []

    def entries(self, limit: int = 100, *, rejected: bool | None = None) -> list[SpoolEntry]:
        """The oldest entries of all destinations; `rejected` restricts to those (or the rest)."""

        def work(db: sqlite3.Connection) -> list[SpoolEntry]:
            rows = db.execute(
                "SELECT * FROM entries WHERE rejected = COALESCE(?, rejected) ORDER BY id LIMIT ?",
                (rejected, limit),
            )
            return [_entry(row) for row in rows]

        return self._file.transaction(work) if self.exists else []

    def retry_rejected(self, destination: str) -> int:
        """Let its rejected entries be sent again, after their cause was mended.

        Returns: how many.
        """
        if not self.exists:
            return 0
        return self._update(
            "SET rejected = 0 WHERE rejected = 1 AND destination = ?", [(destination,)]
        )

    def readdress(self, old: str, new: str) -> int:
        """Give the entries of a destination that is no more to another. Returns: how many."""
        if not self.exists:
            return 0
        return self._update("SET destination = ? WHERE destination = ?", [(new, old)])

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        self._file.close()

    def _update(self, what: str, rows: Sequence[tuple[Any, ...]]) -> int:
        def work(db: sqlite3.Connection) -> int:
            return db.executemany(f"UPDATE entries {what}", rows).rowcount

        return self._file.transaction(work)


# --- rows --------------------------------------------------------------------------------

_INSERT = (
    "INSERT INTO entries (destination, message_id, routing_key, body, headers, properties, "
    "bytes, created_at, last_error, rejected) VALUES (:destination, :message_id, :routing_key, "
    ":body, :headers, :properties, :bytes, :created_at, :last_error, :rejected)"
)


def _row(message: Addressed) -> dict[str, Any]:
    wire = message.wire
    headers = json.dumps(representable(wire.headers))
    properties = json.dumps(representable(wire.properties))
    return {
        "destination": message.destination,
        "message_id": str(wire.properties.get("message_id", "")),
        "routing_key": wire.routing_key,
        "body": wire.body,
        "headers": headers,
        "properties": properties,
        "bytes": len(wire.body) + len(headers) + len(properties) + ROW_BYTES,
        "created_at": iso_z(dt.datetime.now(dt.UTC)),
        "last_error": message.reason[:ERROR_CHARS] if message.reason is not None else None,
        "rejected": message.rejected,
    }


def _entry(row: sqlite3.Row) -> SpoolEntry:
    return SpoolEntry(
        id=row["id"],
        destination=row["destination"],
        message_id=row["message_id"],
        wire=WireMessage(
            body=row["body"],
            routing_key=row["routing_key"],
            headers=json.loads(row["headers"]),
            properties=json.loads(row["properties"]),
        ),
        bytes=row["bytes"],
        created_at=dt.datetime.fromisoformat(row["created_at"]),
        attempts=row["attempts"],
        last_error=row["last_error"],
        rejected=bool(row["rejected"]),
    )


def _created_at(db: sqlite3.Connection, entry_id: int) -> dt.datetime:
    row = db.execute("SELECT created_at FROM entries WHERE id = ?", (entry_id,)).fetchone()
    return dt.datetime.fromisoformat(row["created_at"])
