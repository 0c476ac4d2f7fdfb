"""Copies of a ledger made while it is written to, and what is restored from them."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from dlq.errors import InvalidInput, LedgerError, LedgerUnavailable
from dlq.ledger import open_ledger, sqlite_backup
from dlq.ledger import postgresql_backup as postgresql
from dlq.ledger.backup import back_up, restore
from dlq.ledger.base import Ledger
from dlq.query import where
from dlq.states import IN_DLQ, State
from tests.support.ledger import an_arrival, replaying, stored
from tests.support.postgres import PostgresCluster

DLQ = str(Path(sys.executable).parent / "dlq")
ALL = where(states=tuple(State))


def quiet(_done_bytes: int, _total_bytes: int | None) -> None:
    """No bar."""


def a_new_place(url: str, tmp_path: Path, postgres: PostgresCluster) -> str:
    """The URL of a ledger that does not exist yet, on the same kind of database."""
    if url.startswith("sqlite"):
        return f"sqlite:///{tmp_path / 'restored' / 'ledger.sqlite'}"
    return postgres.fresh_database()


def check(ledger: Ledger) -> int:
    """Counters equal counts, and each message can be read. Returns: how many there are."""
    stats = ledger.stats()
    for state in State:
        assert stats.by_state[state] == ledger.count(where(states=[state])), state
    assert stats.in_dlq == ledger.count(where(states=IN_DLQ))
    letters = list(ledger.iterate(ALL))
    assert all(letter.wire.body for letter in letters)
    return len(letters)


def test_a_backup_taken_while_messages_come_in_is_consistent(
    ledger: Ledger, ledger_url: str, tmp_path: Path, postgres: PostgresCluster
) -> None:
    arrival = an_arrival("first", payload={"artist": "Ünï", "text": "x" * 500})
    ledger.ingest([arrival])
    resolved = stored(ledger)
    replaying(ledger, resolved)
    for start in range(0, 3000, 500):
        ledger.ingest([an_arrival(f"id-{n:05}") for n in range(start, start + 500)])
    begun, ended = threading.Event(), threading.Event()

    def come_in() -> None:
        number = 0
        while not ended.is_set():
            ledger.ingest([an_arrival(f"meanwhile-{number}-{n}") for n in range(50)])
            number += 1
            begun.set()

    writer = threading.Thread(target=come_in)
    writer.start()
    target = tmp_path / "copy.backup"
    try:
        assert begun.wait(20)
        size_bytes = back_up(ledger_url, target, quiet)
    finally:
        ended.set()
        writer.join()
    assert target.stat().st_size == size_bytes
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if "copy" in path.name] == ["copy.backup"]

    place = a_new_place(ledger_url, tmp_path, postgres)
    restore(place, target, quiet)
    restored = open_ledger(place)
    try:
        count = check(restored)
        assert (count - 3002) % 50 == 0  # whole batches, or nothing of them
        assert 3002 < count <= check(ledger)
        assert restored.get("first").wire == arrival.wire
        replay, _ = restored.begin_replay("first", actor="operator", max_retries=None)
        restored.confirm_replay(replay.replay_id)
        assert restored.get("first").state is State.REPLAYING
        assert restored.get(resolved).state is State.REPLAYING
        assert [r.replay_id for r in restored.replays(resolved)] == [
            r.replay_id for r in ledger.replays(resolved)
        ]
        stored(restored, message_id="after")  # numbers of rows go on where they were
        assert check(restored) == count + 1
    finally:
        restored.close()


def test_a_backup_replaces_no_file(ledger_url: str, tmp_path: Path) -> None:
    target = tmp_path / "copy.backup"
    target.write_text("somebody's own")
    with pytest.raises(InvalidInput, match="is there already"):
        back_up(ledger_url, target, quiet)
    assert target.read_text() == "somebody's own"


def test_a_backup_that_fails_leaves_nothing(ledger_url: str, tmp_path: Path) -> None:
    def fail(_done: int, _total: int | None) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "backups"
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        back_up(ledger_url, folder / "copy.backup", fail)
    assert list(folder.iterdir()) == []
    with pytest.raises(InvalidInput, match="cannot be written"):
        back_up(ledger_url, tmp_path / "no" / "copy.backup", quiet)


def test_a_restore_replaces_no_ledger(ledger: Ledger, ledger_url: str, tmp_path: Path) -> None:
    message_id = stored(ledger)
    target = tmp_path / "copy.backup"
    back_up(ledger_url, target, quiet)
    with pytest.raises(InvalidInput, match="replaces nothing"):
        restore(ledger_url, target, quiet)
    assert ledger.get(message_id).state is State.PENDING


def test_a_backup_of_the_other_kind_or_of_nothing_is_refused(
    ledger_url: str, tmp_path: Path
) -> None:
    other, junk = tmp_path / "other", tmp_path / "junk"
    other.write_bytes(b"PGDMP..." if ledger_url.startswith("sqlite") else b"SQLite format 3\x00")
    junk.write_bytes(b"")
    for file, problem in ((other, "is one of"), (junk, "no backup at all")):
        with pytest.raises(InvalidInput, match=problem):
            restore(ledger_url, file, quiet)
    with pytest.raises(InvalidInput, match="cannot be read"):
        restore(ledger_url, tmp_path / "none", quiet)


# --- SQLite ------------------------------------------------------------------------------


def test_writes_between_its_steps_do_not_start_it_anew(
    sqlite_ledger_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under a manager that always writes, a copy that starts again would never end."""
    monkeypatch.setattr(sqlite_backup, "STEP_PAGES", 5)
    ledger = open_ledger(sqlite_ledger_url)
    ledger.ingest([an_arrival(f"id-{n}") for n in range(500)])
    done: list[int] = []

    def write(done_bytes: int, _total_bytes: int | None) -> None:
        done.append(done_bytes)
        stored(ledger)

    back_up(sqlite_ledger_url, tmp_path / "copy.backup", write)
    assert len(done) > 5
    assert done == sorted(done)
    assert check(ledger) == 500 + len(done)
    ledger.close()
    place = f"sqlite:///{tmp_path / 'restored.sqlite'}"
    restore(place, tmp_path / "copy.backup", quiet)
    restored = open_ledger(place)
    assert check(restored) == 500
    restored.close()


def test_a_log_that_a_manager_may_hold_stops_a_restore(
    sqlite_ledger_url: str, tmp_path: Path
) -> None:
    """SQLite would play the log of the lost file into the new one."""
    target = tmp_path / "copy.backup"
    back_up(sqlite_ledger_url, target, quiet)
    (tmp_path / "new.sqlite-wal").write_bytes(b"x")
    with pytest.raises(InvalidInput, match="-wal is there"):
        restore(f"sqlite:///{tmp_path / 'new.sqlite'}", target, quiet)
    assert not (tmp_path / "new.sqlite").exists()


def test_a_damaged_ledger_gives_no_backup(sqlite_ledger_url: str, tmp_path: Path) -> None:
    ledger = open_ledger(sqlite_ledger_url)
    ledger.ingest([an_arrival(f"id-{n}") for n in range(500)])
    ledger.close()
    path = Path(sqlite_ledger_url.removeprefix("sqlite:///"))
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * 40_000)
    with pytest.raises((LedgerError, LedgerUnavailable)):
        back_up(sqlite_ledger_url, tmp_path / "copy.backup", quiet)
    assert not (tmp_path / "copy.backup").exists()


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.sqlite")) as other:
        other.execute("CREATE TABLE a (b)")
        other.commit()
    with pytest.raises(LedgerError, match="but no ledger"):
        back_up(f"sqlite:///{tmp_path / 'other.sqlite'}", tmp_path / "copy.backup", quiet)
    with pytest.raises(LedgerUnavailable, match="There is no ledger"):
        back_up(f"sqlite:///{tmp_path / 'none.sqlite'}", tmp_path / "copy.backup", quiet)
    assert not (tmp_path / "none.sqlite").exists()


# --- PostgreSQL --------------------------------------------------------------------------


def test_other_tables_of_the_database_are_left_alone(
    postgresql_ledger_url: str, postgres: PostgresCluster, tmp_path: Path
) -> None:
    postgres.execute("CREATE TABLE tracks (id int)", postgresql_ledger_url.rpartition("/")[2])
    target = tmp_path / "copy.backup"
    back_up(postgresql_ledger_url, target, quiet)
    place = postgres.fresh_database()
    database = place.rpartition("/")[2]
    postgres.execute("CREATE TABLE artists (id int)", database)
    restore(place, target, quiet)
    tables = {
        name
        for (name,) in postgres.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database
        )
    }
    assert tables == {*postgresql.TABLES, "artists"}


def test_the_password_is_no_argument(
    postgresql_ledger_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for pg_dump writes down how it was called."""
    stand_in = tmp_path / "bin" / "pg_dump"
    stand_in.parent.mkdir()
    stand_in.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\necho "$PGPASSWORD" > {tmp_path}/password\n'
        "echo 'no such luck' >&2\nexit 3\n"
    )
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in.parent}:{os.environ['PATH']}")
    url = postgresql_ledger_url.replace("postgres@", "postgres:s%40cret@")
    with pytest.raises(LedgerError, match="pg_dump failed with 3: no such luck"):
        back_up(url, tmp_path / "copy.backup", quiet)
    assert "cret" not in (tmp_path / "arguments").read_text()
    assert "--table=dead_letters" in (tmp_path / "arguments").read_text()
    assert (tmp_path / "password").read_text() == "s@cret\n"
    assert not (tmp_path / "copy.backup").exists()


def test_without_the_programs_it_is_said_what_to_install(
    postgresql_ledger_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LedgerError, match="apt install postgresql-client"):
        back_up(postgresql_ledger_url, tmp_path / "copy.backup", quiet)


# --- the commands ------------------------------------------------------------------------


def run(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DLQ, *arguments],
        env={**os.environ, "DLQ_LEDGER_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_commands_say_what_they_did(ledger: Ledger, ledger_url: str, tmp_path: Path) -> None:
    stored(ledger)
    target = str(tmp_path / "copy.backup")
    done = run(ledger_url, "backup", target, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bytes"] == Path(target).stat().st_size
    assert run(ledger_url, "backup", target).returncode == 2
    refused = run(ledger_url, "restore", target)
    assert (refused.returncode, "replaces nothing" in refused.stderr) == (2, True)


def test_the_restore_command_makes_the_ledger_anew(sqlite_ledger_url: str, tmp_path: Path) -> None:
    target = str(tmp_path / "copy.backup")
    assert "Backed up" in run(sqlite_ledger_url, "backup", target).stderr
    done = run(f"sqlite:///{tmp_path / 'new' / 'ledger.sqlite'}", "restore", target)
    assert (done.returncode, "Restored" in done.stderr) == (0, True)
    assert stat.S_IMODE((tmp_path / "new" / "ledger.sqlite").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["ledger.sqlite"]
