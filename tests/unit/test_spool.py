"""The spool keeps what it took, in order, within its bound, and survives a corrupt file."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from dlq.client import DLQClient
from dlq.client.spool import Addressed, Spool, SpoolEntry
from dlq.errors import SpoolError
from dlq.message import WireMessage
from dlq.settings import Settings
from tests.support.publishers import MemoryPublisher

HERE = "amqp://broker/one"
ELSEWHERE = "amqp://broker/two"


def wire(message_id: str, size: int = 10) -> WireMessage:
    return WireMessage(b"x" * size, "spotify.enrichment.failed", {}, {"message_id": message_id})


def addressed(message_id: str, destination: str = HERE, size: int = 10) -> Addressed:
    return Addressed(destination, wire(message_id, size))


def waiting(spool: Spool, destination: str = HERE, after: int = 0) -> list[SpoolEntry]:
    return spool.waiting(destination, after=after, limit=100, max_bytes=10**6)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(Settings(spool_dir=tmp_path / "spool", spool_max_bytes=10_000))


def test_what_goes_in_comes_out_in_order_and_unchanged(spool: Spool) -> None:
    sent = WireMessage(
        "ü€".encode(), "spotify.enrichment.failed", {"x-retry-count": 3}, {"message_id": "a"}
    )
    assert spool.append([Addressed(HERE, sent), addressed("b")]) == [True, True]
    found = waiting(spool)
    assert [entry.message_id for entry in found] == ["a", "b"]
    assert found[0].wire == sent
    assert found[0].created_at.tzinfo is not None


def test_another_process_sees_it_and_it_is_private_to_the_user(spool: Spool) -> None:
    spool.append([addressed("a")])
    assert stat.S_IMODE(spool.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(spool.path.parent.stat().st_mode) == 0o700
    wal = spool.path.with_name(spool.path.name + "-wal")
    assert stat.S_IMODE(wal.stat().st_mode) == 0o600
    with sqlite3.connect(spool.path) as other:
        assert other.execute("SELECT message_id FROM entries").fetchall() == [("a",)]
    other.close()


def test_entries_of_another_destination_are_left_alone(spool: Spool) -> None:
    spool.append([addressed("a", ELSEWHERE), addressed("b")])
    assert [entry.message_id for entry in waiting(spool)] == ["b"]
    assert spool.readdress(ELSEWHERE, HERE) == 1
    assert [entry.message_id for entry in waiting(spool)] == ["a", "b"]
    assert [s.bytes for s in spool.summary()] == [sum(e.bytes for e in waiting(spool))]


def test_at_the_bound_it_refuses_and_evicts_nothing(spool: Spool) -> None:
    stored = spool.append([addressed(str(n), size=3000) for n in range(4)])
    assert stored == [True, True, True, False]
    assert [entry.message_id for entry in waiting(spool)] == ["0", "1", "2"]
    spool.remove([waiting(spool)[0].id])
    assert spool.append([addressed("again", size=3000)]) == [True]


def test_a_window_is_bounded_in_bytes_but_never_empty(spool: Spool) -> None:
    spool.append([addressed(str(n), size=1000) for n in range(5)])
    window = spool.waiting(HERE, limit=100, max_bytes=2500)
    assert [entry.message_id for entry in window] == ["0", "1"]
    assert len(spool.waiting(HERE, limit=100, max_bytes=1)) == 1


def test_a_rejected_entry_is_kept_but_not_sent_until_a_person_says_so(spool: Spool) -> None:
    spool.append(
        [addressed("a"), addressed("b"), Addressed(ELSEWHERE, wire("c"), "no", rejected=True)]
    )
    spool.reject(waiting(spool)[0].id, "too large")
    assert [entry.message_id for entry in waiting(spool)] == ["b"]
    kept, _ = spool.entries(rejected=True)
    assert (kept.message_id, kept.last_error, kept.attempts) == ("a", "too large", 1)
    assert [(s.destination, s.waiting, s.rejected) for s in spool.summary()] == [
        (HERE, 1, 1),
        (ELSEWHERE, 0, 1),
    ]
    assert spool.retry_rejected(HERE) == 1
    assert [entry.message_id for entry in waiting(spool)] == ["a", "b"]
    assert [entry.message_id for entry in spool.entries(rejected=True)] == ["c"]


def test_the_first_reason_is_kept_without_counting_as_an_attempt(spool: Spool) -> None:
    spool.append([Addressed(HERE, wire("a"), "the broker is down")])
    (entry,) = waiting(spool)
    assert (entry.attempts, entry.last_error, entry.rejected) == (0, "the broker is down", False)


def test_failures_are_counted_with_their_newest_reason(spool: Spool) -> None:
    spool.append([addressed("a")])
    (entry,) = waiting(spool)
    spool.note_failures([(entry.id, "refused")])
    spool.note_failures([(entry.id, "reset")])
    (entry,) = waiting(spool)
    assert (entry.attempts, entry.last_error) == (2, "reset")


def test_looking_does_not_make_a_spool(spool: Spool) -> None:
    assert spool.summary() == []
    assert spool.entries() == []
    assert spool.oldest_waiting(HERE) is None
    assert not spool.path.parent.exists()


def test_a_corrupt_file_is_moved_aside_and_a_new_one_begun(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    spool.path.parent.mkdir()
    spool.path.write_bytes(b"this is no database, but it was somebody's" * 200)
    with caplog.at_level(logging.ERROR):
        assert spool.append([addressed("a")]) == [True]
    assert [entry.message_id for entry in waiting(spool)] == ["a"]
    (aside,) = spool.path.parent.glob("spool.sqlite.corrupt-*")
    assert aside.read_bytes().startswith(b"this is no database")
    assert str(aside) in caplog.text


def test_damage_in_the_middle_of_the_file_is_noticed(spool: Spool) -> None:
    spool.append([addressed(str(n), size=800) for n in range(9)])
    spool.close()
    size = spool.path.stat().st_size
    with spool.path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    assert spool.append([addressed("new")]) == [True]
    assert [entry.message_id for entry in waiting(spool)] == ["new"]
    assert len(list(spool.path.parent.glob("spool.sqlite.corrupt-*"))) == 1


def test_a_deleted_file_is_not_written_to_any_more(spool: Spool) -> None:
    spool.append([addressed("a")])
    for file in spool.path.parent.glob("spool.sqlite*"):
        file.unlink()
    spool.append([addressed("b")])
    with sqlite3.connect(spool.path) as other:
        assert other.execute("SELECT message_id FROM entries").fetchall() == [("b",)]
    other.close()


def test_a_newer_format_is_refused_and_left_alone(spool: Spool) -> None:
    spool.append([addressed("a")])
    spool.close()
    with sqlite3.connect(spool.path) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(SpoolError, match="format 99"):
        spool.append([addressed("b")])
    assert not list(spool.path.parent.glob("spool.sqlite.corrupt-*"))


def test_a_folder_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    spool = Spool(Settings(spool_dir=tmp_path / "file" / "spool"))
    with pytest.raises(SpoolError, match="DLQ_SPOOL_DIR"):
        spool.append([addressed("a")])


def test_many_threads_and_two_spools_of_one_file_lose_nothing(tmp_path: Path) -> None:
    settings = Settings(spool_dir=tmp_path)
    spools = [Spool(settings), Spool(settings)]
    barrier = threading.Barrier(8)

    def write(number: int) -> None:
        barrier.wait()
        for n in range(5):
            assert spools[number % 2].append([addressed(f"{number}-{n}")]) == [True]

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(waiting(spools[0])) == 40


def test_the_file_shrinks_once_it_is_empty(tmp_path: Path) -> None:
    spool = Spool(Settings(spool_dir=tmp_path))
    spool.append([addressed(str(n), size=20_000) for n in range(20)])
    spool.remove([entry.id for entry in waiting(spool)])
    spool.close()  # the write-ahead log goes into the file
    assert spool.path.stat().st_size < 100_000


def test_what_was_confirmed_is_not_sent_again_while_the_disk_refuses_to_forget_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(spool_dir=tmp_path, reconnect_max_s=0.05)
    publisher = MemoryPublisher()
    spool = Spool(settings)
    wires = [WireMessage(b"{}", "k", properties={"message_id": str(n)}) for n in range(3)]
    spool.append([Addressed(publisher.destination, wire) for wire in wires])
    refusals: list[Sequence[int]] = []

    def full(_: Spool, ids: Sequence[int]) -> None:
        refusals.append(ids)
        raise SpoolError("disk full")

    monkeypatch.setattr(Spool, "remove", full)
    with DLQClient(settings, open_publisher=publisher) as dlq:
        assert not dlq.flush(1.0)
        assert len(refusals) > 3, "the drainer did not meet the full disk again and again"
        assert publisher.confirmed_ids == ["0", "1", "2"]
        monkeypatch.undo()
        assert dlq.flush(10)
    assert publisher.confirmed_ids == ["0", "1", "2"]
