"""The ledger while its database fails, and afterwards."""

from __future__ import annotations

import os
import resource
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, text, update
from sqlalchemy.exc import IntegrityError

from dlq.errors import LedgerUnavailable
from dlq.ledger import open_ledger
from dlq.ledger import sqlite as sqlite_module
from dlq.ledger.base import AuditEntry, Ledger
from dlq.ledger.engines import connect
from dlq.ledger.schema import dead_letters, heartbeat
from dlq.outcome import OutcomeReport
from dlq.query import Filter
from dlq.states import Outcome
from tests.support.ledger import (
    RETRY_KEY,
    an_arrival,
    brought_back,
    now,
    recorded,
    replaying,
    stored,
)
from tests.support.postgres import PostgresCluster

SHORT_WAIT_S = 0.3


@pytest.fixture
def sqlite_path(sqlite_ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger's file; whoever opens it waits for locks only shortly."""
    monkeypatch.setattr(sqlite_module, "LOCK_WAIT_S", SHORT_WAIT_S)
    return Path(sqlite_ledger_url.removeprefix("sqlite:///"))


@pytest.fixture
def on_sqlite(sqlite_path: Path) -> Iterator[Ledger]:
    ledger = open_ledger(f"sqlite:///{sqlite_path}")
    yield ledger
    ledger.close()


@pytest.fixture
def on_postgresql(postgresql_ledger_url: str) -> Iterator[Ledger]:
    ledger = open_ledger(postgresql_ledger_url)
    yield ledger
    ledger.close()


# --- SQLite ------------------------------------------------------------------------------


@contextmanager
def _full_disk(path: Path) -> Iterator[None]:
    """No file of this process may grow beyond what the ledger's largest has by now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = max(f.stat().st_size for f in path.parent.glob(f"{path.name}*"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_stores_nothing_and_passes(on_sqlite: Ledger, sqlite_path: Path) -> None:
    stored(on_sqlite, message_id="before")
    # Noise: what is alike would be packed into next to nothing.
    large = [an_arrival(payload={"x": os.urandom(50_000).hex()}) for _ in range(50)]
    with _full_disk(sqlite_path), pytest.raises(LedgerUnavailable, match="room on its disk"):
        on_sqlite.ingest(large)
    with pytest.raises(LedgerUnavailable, match="room on its disk"):
        on_sqlite.ping()  # though so small a write finds room
    assert on_sqlite.count(Filter()) == 1
    assert {r.disposition for r in on_sqlite.ingest(large)} == {"stored"}
    assert on_sqlite.count(Filter()) == 51
    on_sqlite.ping()


def test_a_writer_that_never_lets_go_makes_it_unavailable_in_bounded_time(
    on_sqlite: Ledger, sqlite_path: Path
) -> None:
    stored(on_sqlite, message_id="m-1")
    other = sqlite3.connect(sqlite_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    begun = time.monotonic()
    for write in (on_sqlite.ping, lambda: on_sqlite.ingest([an_arrival("m-2")])):
        with pytest.raises(LedgerUnavailable, match="locked"):
            write()
    assert time.monotonic() - begun < 10
    assert on_sqlite.get("m-1").message.message_id == "m-1", "reading goes on"
    other.execute("ROLLBACK")
    other.close()
    assert on_sqlite.ingest([an_arrival("m-2")])[0].disposition == "stored"


def test_writers_of_one_process_queue_and_do_not_queue_for_ever(sqlite_path: Path) -> None:
    database = connect(f"sqlite:///{sqlite_path}")
    entered, leave = threading.Event(), threading.Event()

    def hold(_connection: Connection) -> None:
        entered.set()
        leave.wait(30)

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(database.write, hold)
        assert entered.wait(10)
        with pytest.raises(LedgerUnavailable):
            database.write(lambda c: c.execute(text("SELECT 1")))
        leave.set()
        holding.result(10)
    database.write(lambda c: c.execute(text("SELECT 1")))
    database.close()


# --- PostgreSQL --------------------------------------------------------------------------


def test_idle_connections_that_were_cut_are_replaced(
    on_postgresql: Ledger, postgres: PostgresCluster, postgresql_ledger_url: str
) -> None:
    stored(on_postgresql, message_id="m-1")
    assert postgres.cut_connections(postgresql_ledger_url) >= 1
    assert on_postgresql.get("m-1").message.message_id == "m-1"


def test_a_connection_cut_in_the_middle_undoes_the_transaction(
    postgresql_ledger_url: str, postgres: PostgresCluster
) -> None:
    database = connect(postgresql_ledger_url)

    def beat_and_break(connection: Connection) -> None:
        connection.execute(insert(heartbeat).values(id=7, at=now()))
        assert postgres.cut_connections(postgresql_ledger_url) >= 1
        connection.execute(text("SELECT 1"))

    with pytest.raises(LedgerUnavailable, match="terminating connection"):
        database.write(beat_and_break)
    count = database.read(lambda c: c.execute(text("SELECT count(*) FROM heartbeat")).scalar())
    assert count == 0
    database.close()


def test_a_crashed_server_makes_every_method_unavailable_until_it_is_back(
    on_postgresql: Ledger, postgres: PostgresCluster
) -> None:
    ledger = on_postgresql
    message_id = stored(ledger)
    replay_id = replaying(ledger, message_id)
    report = OutcomeReport(message_id=message_id, replay_id=replay_id, outcome=Outcome.SUCCEEDED)
    methods: list[Callable[[], object]] = [
        lambda: ledger.ingest([an_arrival()]),
        lambda: ledger.settled([1]),
        lambda: ledger.get(message_id),
        lambda: ledger.page(Filter(), limit=1),
        lambda: list(ledger.iterate(Filter())),
        lambda: ledger.count(Filter()),
        lambda: ledger.history(message_id),
        lambda: ledger.replays(message_id),
        ledger.stats,
        lambda: ledger.ages([0.5], now()),
        ledger.groups.by_error_type,
        lambda: ledger.groups.all(now=now()),
        lambda: ledger.begin_replay(message_id, actor="o", routing_key="k", max_retries=None),
        lambda: ledger.confirm_replay(replay_id),
        lambda: ledger.abandon_replay(replay_id, "no"),
        lambda: ledger.unconfirmed_replays(now(), 1),
        lambda: recorded(ledger, report),
        lambda: brought_back(ledger, now(), 1),
        lambda: ledger.lease("w", limit=1, ttl_s=1),
        lambda: ledger.extend_lease("l", 1),
        lambda: ledger.release_lease("l"),
        lambda: ledger.leased("l"),
        lambda: ledger.delete(message_id, actor="o"),
        lambda: ledger.audit(AuditEntry("a", "b", "c", "ok")),
        ledger.audits,
        ledger.ping,
    ]
    postgres.kill()
    try:
        for method in methods:
            with pytest.raises(LedgerUnavailable):
                method()
    finally:
        postgres.start()
    assert recorded(ledger, report)
    ledger.ping()


def test_a_server_that_only_reads_is_unavailable_for_writing(
    on_postgresql: Ledger, postgres: PostgresCluster, postgresql_ledger_url: str
) -> None:
    name = postgresql_ledger_url.rpartition("/")[2]
    postgres.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    postgres.cut_connections(postgresql_ledger_url)
    with pytest.raises(LedgerUnavailable, match="read-only"):
        on_postgresql.ping()
    assert on_postgresql.count(Filter()) == 0


def test_one_of_two_deadlocked_writers_writes_again(postgresql_ledger_url: str) -> None:
    database = connect(postgresql_ledger_url)
    ledger = open_ledger(postgresql_ledger_url)
    ledger.ingest([an_arrival("a"), an_arrival("b")])
    both_hold_one = threading.Barrier(2)
    attempts: list[str] = []

    def cross(first: str, second: str) -> Callable[[Connection], None]:
        def work(connection: Connection) -> None:
            attempts.append(first)
            _touch(connection, first)
            if attempts.count(first) == 1:
                both_hold_one.wait(10)
            _touch(connection, second)

        return work

    with ThreadPoolExecutor(2) as pool:
        crossing = [pool.submit(database.write, cross(*pair)) for pair in ("ab", "ba")]
        for one in crossing:
            one.result(30)
    assert len(attempts) == 3, "one was undone and ran again"
    assert {ledger.get(i).replay_count for i in "ab"} == {2}
    ledger.close()
    database.close()


def _touch(connection: Connection, message_id: str) -> None:
    table = dead_letters
    connection.execute(
        update(table)
        .where(table.c.message_id == message_id)
        .values(replay_count=table.c.replay_count + 1)
    )


# --- both --------------------------------------------------------------------------------


def test_a_fault_of_ours_is_not_called_a_fault_of_the_database(ledger_url: str) -> None:
    database = connect(ledger_url)
    database.write(lambda c: c.execute(insert(heartbeat).values(id=1, at=now())))
    with pytest.raises(IntegrityError):
        database.write(lambda c: c.execute(insert(heartbeat).values(id=1, at=now())))
    database.close()


def test_a_refused_move_leaves_no_trace(ledger: Ledger) -> None:
    message_id = stored(ledger)
    replaying(ledger, message_id)
    before = ledger.get(message_id), ledger.history(message_id), ledger.replays(message_id)
    with pytest.raises(Exception, match="replaying"):
        ledger.begin_replay(message_id, actor="o", routing_key=RETRY_KEY, max_retries=None)
    with pytest.raises(Exception, match="replaying"):
        ledger.delete(message_id, actor="o")
    assert before == (
        ledger.get(message_id),
        ledger.history(message_id),
        ledger.replays(message_id),
    )
