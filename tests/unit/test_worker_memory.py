"""The memory of replays that the workers of a host share, and what it does when it cannot."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from dlq.settings import Settings
from dlq.worker import ReplayMemory, RetryWorker, host_memory
from dlq.worker.host_memory import CLAIM_S, KEPT_S, PRUNED_ROWS, HostReplayMemory
from dlq.worker.memory import Standing

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys
from pathlib import Path
from dlq.worker.host_memory import HostReplayMemory
from dlq.worker.memory import Standing
memory = HostReplayMemory(Path(sys.argv[1]))
print(memory.begin("taken").value, flush=True)
memory.remember("done", Standing.SUCCEEDED)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@contextmanager
def another_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """One that has "taken" in hand, and has "done" behind it."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "new\n"
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def rows(memory: HostReplayMemory) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(memory.path)) as db:
        return db.execute("SELECT replay_id, standing FROM replays ORDER BY id").fetchall()


def change(memory: HostReplayMemory, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(memory.path, isolation_level=None)) as db:
        db.execute(statement, values)


def work(memory: HostReplayMemory, replay_id: str, standing: Standing) -> None:
    assert memory.begin(replay_id) is Standing.NEW
    memory.remember(replay_id, standing)
    memory.end(replay_id)


# --- what it knows -----------------------------------------------------------------------


def test_what_was_dealt_with_is_known_after_the_process_is_gone(folder: Path) -> None:
    first = HostReplayMemory(folder)
    work(first, "a", Standing.SUCCEEDED)
    work(first, "b", Standing.REPORTED)
    first.close()
    second = HostReplayMemory(folder)
    assert second.begin("a") is Standing.SUCCEEDED
    assert second.begin("b") is Standing.REPORTED
    assert second.begin("c") is Standing.NEW
    second.close()


def test_what_was_given_back_may_be_taken_by_anybody(folder: Path) -> None:
    first, second = HostReplayMemory(folder), HostReplayMemory(folder)
    assert first.begin("a") is Standing.NEW
    assert first.begin("a") is Standing.IN_HAND
    assert second.begin("a") is Standing.IN_HAND
    first.end("a")
    assert second.begin("a") is Standing.NEW
    assert rows(second) == [("a", "in_hand")]
    first.close()
    second.close()


def test_what_a_stopped_worker_still_had_in_hand_is_anybodys(folder: Path) -> None:
    stopped, other = HostReplayMemory(folder), HostReplayMemory(folder)
    assert stopped.begin("a") is Standing.NEW
    stopped.close()
    assert other.begin("a") is Standing.NEW
    stopped.remember("a", Standing.SUCCEEDED)  # its handler came back after all
    stopped.end("a")
    other.end("a")
    assert other.begin("a") is Standing.SUCCEEDED
    stopped.close()
    other.close()


def test_a_message_without_a_replay_id_is_never_remembered(folder: Path) -> None:
    memory = HostReplayMemory(folder)
    for _ in range(2):
        assert memory.begin(None) is Standing.NEW
        memory.remember(None, Standing.SUCCEEDED)
        memory.end(None)
    assert not folder.exists()


def test_what_another_process_has_in_hand_is_not_taken_until_that_is_killed(folder: Path) -> None:
    memory = HostReplayMemory(folder)
    with another_process(folder) as process:
        assert memory.begin("taken") is Standing.IN_HAND
        assert memory.begin("done") is Standing.SUCCEEDED
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert memory.begin("taken") is Standing.NEW
    assert memory.begin("taken") is Standing.IN_HAND  # ours now
    memory.close()


def test_a_handler_that_hangs_blocks_its_replay_for_a_bounded_time(folder: Path) -> None:
    memory = HostReplayMemory(folder)
    with another_process(folder):
        assert memory.begin("taken") is Standing.IN_HAND
        change(memory, "UPDATE replays SET at = at - ?", CLAIM_S + 1)
        assert memory.begin("taken") is Standing.NEW
    memory.close()


def test_the_folder_and_the_file_are_private(folder: Path) -> None:
    memory = HostReplayMemory(folder)
    memory.begin("a")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in folder.iterdir()} == {0}
    memory.close()


# --- bounds ------------------------------------------------------------------------------


def test_only_the_newest_are_kept(folder: Path) -> None:
    memory = HostReplayMemory(folder, capacity=20)
    for number in range(100):
        work(memory, str(number), Standing.SUCCEEDED)
    kept = [int(replay_id) for replay_id, _ in rows(memory)]
    assert kept == list(range(80, 100))
    memory.close()


def test_the_old_go_a_few_at_a_time(folder: Path) -> None:
    memory = HostReplayMemory(folder)
    for number in range(10):
        work(memory, str(number), Standing.SUCCEEDED)
    change(memory, "UPDATE replays SET at = at - ?", KEPT_S)
    for number in range(3):
        work(memory, f"new {number}", Standing.SUCCEEDED)
        left = [replay_id for replay_id, _ in rows(memory) if not replay_id.startswith("new")]
        assert len(left) == max(0, 10 - (number + 1) * PRUNED_ROWS)
    memory.close()


def test_fifty_threads_over_two_memories_do_each_piece_of_work_once(folder: Path) -> None:
    memories = [HostReplayMemory(folder), HostReplayMemory(folder)]
    effects: Counter[str] = Counter()
    failures: list[BaseException] = []
    begin_together = threading.Barrier(50)

    def run(memory: HostReplayMemory) -> None:
        try:
            begin_together.wait(20)
            for number in range(60):
                replay_id = str(number)
                while (standing := memory.begin(replay_id)) is Standing.IN_HAND:
                    time.sleep(0.001)
                if standing is Standing.NEW:
                    effects[replay_id] += 1  # nobody else has it: no lock is needed
                    memory.remember(replay_id, Standing.SUCCEEDED)
                memory.end(replay_id)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=run, args=(memories[n % 2],)) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert effects == Counter({str(number): 1 for number in range(60)})
    for memory in memories:
        memory.close()


# --- a file that cannot be used ----------------------------------------------------------


def remembers_by_itself(memory: HostReplayMemory) -> None:
    for _ in range(3):
        work(memory, f"r-{time.monotonic_ns()}", Standing.SUCCEEDED)
    assert memory.begin("a") is Standing.NEW
    assert memory.begin("a") is Standing.IN_HAND
    memory.remember("a", Standing.REPORTED)
    memory.end("a")
    assert memory.begin("a") is Standing.REPORTED


def test_without_a_place_to_write_it_warns_once_and_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    memory = HostReplayMemory(tmp_path / "file" / "state")
    remembers_by_itself(memory)
    [warning] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "Not a directory" in warning.getMessage()


READ_ONLY = """
import logging, sys
from pathlib import Path
logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stdout)
from tests.unit.test_worker_memory import remembers_by_itself
from dlq.worker.host_memory import HostReplayMemory
import os
if os.getuid() == 0:  # root may write anywhere
    os.setuid(65534)
remembers_by_itself(HostReplayMemory(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("already_there", [False, True])
def test_in_a_read_only_folder_it_warns_once_and_goes_on(
    tmp_path_factory: pytest.TempPathFactory, folder: Path, already_there: bool
) -> None:
    folder.mkdir()
    if already_there:
        memory = HostReplayMemory(folder)
        work(memory, "before", Standing.SUCCEEDED)
        memory.close()
        for path in folder.iterdir():
            path.chmod(0o444)
    folder.chmod(0o555)
    for parent in (folder.parent, folder.parent.parent, folder.parent.parent.parent):
        parent.chmod(parent.stat().st_mode | 0o111)
    try:
        done = subprocess.run(
            [sys.executable, "-B", "-c", READ_ONLY, str(folder)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=60,
            check=False,
        )
    finally:
        folder.chmod(0o700)
    assert done.returncode == 0, done.stderr
    [warning] = done.stdout.splitlines()
    assert warning.startswith("WARNING Replays cannot be remembered in ")


def test_a_corrupt_file_is_moved_aside_and_a_new_one_begun(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.mkdir()
    (folder / "replays.sqlite").write_bytes(b"no database at all" * 1000)
    memory = HostReplayMemory(folder)
    work(memory, "a", Standing.SUCCEEDED)
    work(memory, "b", Standing.SUCCEEDED)
    assert len([r for r in caplog.records if "is corrupt" in r.getMessage()]) == 1
    assert rows(memory) == [("a", "succeeded"), ("b", "succeeded")]
    assert (folder / "replays.sqlite.corrupt").read_bytes().startswith(b"no database")
    memory.close()


def test_a_file_that_is_damaged_under_its_feet_costs_no_work(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    memory = HostReplayMemory(folder)
    for number in range(500):
        work(memory, str(number), Standing.SUCCEEDED)
    memory.close()
    with memory.path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(memory.path.stat().st_size - 4096))
    for number in range(500, 520):
        work(memory, str(number), Standing.SUCCEEDED)
    assert memory.begin("519") is Standing.SUCCEEDED
    assert memory.begin("0") is Standing.SUCCEEDED  # of its own process
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 1
    memory.close()


def test_a_file_that_somebody_holds_is_waited_for_once_and_taken_up_again(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = HostReplayMemory(folder)
    work(memory, "before", Standing.SUCCEEDED)
    with closing(sqlite3.connect(memory.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        begun_at = time.monotonic()
        remembers_by_itself(memory)
        assert time.monotonic() - begun_at < 3
        assert ["locked" in r.getMessage() for r in caplog.records] == [True]
        other.execute("ROLLBACK")
    monkeypatch.setattr(memory, "_retry_at", 0.001)  # a minute has passed
    work(memory, "after", Standing.SUCCEEDED)
    assert ("after", "succeeded") in rows(memory)
    memory.close()


def test_a_full_disk_costs_no_work(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    memory = HostReplayMemory(folder)
    work(memory, "before", Standing.SUCCEEDED)
    connection = memory._connection
    assert connection is not None
    connection.execute("PRAGMA max_page_count = 1")
    for number in range(500):
        work(memory, str(number), Standing.SUCCEEDED)
    assert memory.begin("499") is Standing.SUCCEEDED
    assert ["full" in r.getMessage() for r in caplog.records] == [True]
    memory.close()


# --- the worker --------------------------------------------------------------------------


def test_the_workers_memory_is_beside_the_spool_unless_another_is_given(tmp_path: Path) -> None:
    settings = Settings.load(spool_dir=tmp_path / "spool")
    shared = RetryWorker(default=print, settings=settings)._memory
    assert isinstance(shared, HostReplayMemory)
    assert shared.path == tmp_path / "spool" / host_memory.FILE_NAME
    own = ReplayMemory()
    assert RetryWorker(default=print, settings=settings, memory=own)._memory is own
    assert not (tmp_path / "spool").exists()
