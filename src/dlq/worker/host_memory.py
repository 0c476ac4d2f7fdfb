"""The memory of replays that the workers of a host share, and that outlives them.

One SQLite file beside the spool. It is a help and never a hindrance: while it cannot be used
(a full or read-only disk, a lock that is not let go), the process remembers by itself, as
`ReplayMemory` does, and says so once. What it cannot know: a handler whose process dies
between its work and `remember` is called again.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from dlq.worker.memory import ReplayMemory, Standing
from dlq.worker.owners import Owners, owners_of
from dlq.worker.replay_file import connect, is_corrupt, set_aside

logger = logging.getLogger(__name__)
T = TypeVar("T")

FILE_NAME = "replays.sqlite"
CAPACITY = 100_000
KEPT_S = 72 * 3600.0
"""Longer than a replay can come again: a day in the retry queue, the grace, and the resend of
one that was never confirmed."""
CLAIM_S = 65 * 60.0
"""Longer than a handler may take: 30 minutes over AMQP, an hour over HTTP."""
RETRY_S = 60.0
"""Between attempts at a file that could not be used."""
PRUNED_ROWS = 4


class HostReplayMemory:
    """Remembers the last `capacity` replays of all workers on this host, for `KEPT_S`.

    Args:
        folder: where its file is; by default the worker gives the spool's.
    """

    def __init__(self, folder: Path, *, capacity: int = CAPACITY) -> None:
        self.path = folder / FILE_NAME
        self._capacity = capacity
        self._own = ReplayMemory()
        self._lock = threading.Lock()  # of all below
        self._connection: sqlite3.Connection | None = None
        self._owners: Owners | None = None
        self._owner = 0
        self._claimed: set[str] = set()
        self._retry_at = 0.0  # on the monotonic clock; above 0: it could not be used

    def begin(self, replay_id: str | None) -> Standing:
        standing = self._own.begin(replay_id)
        if replay_id is None or standing is not Standing.NEW:
            return standing
        shared = self._attempt(lambda db: self._claim(db, replay_id)) or Standing.NEW
        if shared is Standing.IN_HAND:
            self._own.end(replay_id)
        return shared

    def remember(self, replay_id: str | None, standing: Standing) -> None:
        self._own.remember(replay_id, standing)
        if replay_id is not None:
            self._attempt(lambda db: self._settle(db, replay_id, standing))

    def end(self, replay_id: str | None) -> None:
        if replay_id is not None and replay_id in self._claimed:
            self._attempt(lambda db: self._let_go(db, replay_id))
        self._own.end(replay_id)

    def close(self) -> None:
        if self._claimed:
            self._attempt(self._let_go_of_all)
        with self._lock:
            self._drop()

    # --- in one transaction ---

    def _claim(self, db: sqlite3.Connection, replay_id: str) -> Standing:
        now = time.time()
        row = db.execute(
            "SELECT standing, owner, at FROM replays WHERE replay_id = ?", (replay_id,)
        ).fetchone()
        if row is None:
            newest = db.execute(
                "INSERT INTO replays (replay_id, standing, owner, at) VALUES (?, ?, ?, ?)",
                (replay_id, Standing.IN_HAND.value, self._owner, now),
            ).lastrowid
            self._prune(db, (newest or 0) - self._capacity, now - KEPT_S)
        else:
            standing, owner, at = row
            if standing != Standing.IN_HAND.value:
                return Standing(standing)
            if self._is_held(owner, now - at):
                return Standing.IN_HAND
            db.execute(
                "UPDATE replays SET owner = ?, at = ? WHERE replay_id = ?",
                (self._owner, now, replay_id),
            )
        self._claimed.add(replay_id)
        return Standing.NEW

    def _is_held(self, owner: int, age_s: float) -> bool:
        if owner == self._owner or age_s > CLAIM_S:
            return False  # ours, from when the file could not be used; or a handler that hangs
        return self._owners is not None and self._owners.is_alive(owner)

    def _prune(self, db: sqlite3.Connection, last_id: int, before: float) -> None:
        """A few of the oldest at a time: no replay waits for a large clearing-out."""
        db.execute(
            "DELETE FROM replays WHERE id IN (SELECT id FROM (SELECT id, at FROM replays "
            "ORDER BY id LIMIT ?) WHERE id <= ? OR at < ?)",
            (PRUNED_ROWS, last_id, before),
        )

    def _settle(self, db: sqlite3.Connection, replay_id: str, standing: Standing) -> None:
        db.execute(
            "INSERT INTO replays (replay_id, standing, owner, at) VALUES (?, ?, NULL, ?) "
            "ON CONFLICT (replay_id) DO UPDATE SET standing = excluded.standing, owner = NULL, "
            "at = excluded.at",
            (replay_id, standing.value, time.time()),
        )
        self._claimed.discard(replay_id)

    def _let_go(self, db: sqlite3.Connection, replay_id: str) -> None:
        self._claimed.discard(replay_id)
        db.execute(
            "DELETE FROM replays WHERE replay_id = ? AND standing = ? AND owner = ?",
            (replay_id, Standing.IN_HAND.value, self._owner),
        )

    def _let_go_of_all(self, db: sqlite3.Connection) -> None:
        """What handlers that did not end in time still hold is delivered again."""
        for replay_id in list(self._claimed):
            self._let_go(db, replay_id)

    # --- the file, which may fail ---

    def _attempt(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """None if the file cannot be used; never raises."""
        with self._lock:
            if time.monotonic() < self._retry_at:
                return None
            try:
                result = self._transaction(work)
            except (sqlite3.Error, OSError) as error:
                self._failed(error)
                return None
            if self._retry_at:
                self._retry_at = 0.0
                logger.info("replays are remembered in %s again", self.path)
            return result

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return self._once(work)
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            self._drop()
            set_aside(self.path, error)
            return self._once(work)

    def _once(self, work: Callable[[sqlite3.Connection], T]) -> T:
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
        if self._owners is None:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._owners = owners_of(self.path.with_name(f"{FILE_NAME}.owners"))
            self._owner = self._owners.new()
        if self._connection is None:
            self._connection = connect(self.path)
        return self._connection

    def _failed(self, error: Exception) -> None:
        self._drop()
        if not self._retry_at:
            logger.warning(
                "Replays cannot be remembered in %s: %s. This process remembers them by itself, "
                "and tries the file again every %g s; a worker that is killed meanwhile may "
                "handle a replay again. Look at the disk's space and the folder's permissions.",
                self.path,
                error,
                RETRY_S,
            )
        self._retry_at = time.monotonic() + RETRY_S

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()
