"""One holder at a time, among threads, processes and forked children."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from dlq.client.hostlock import HostLock

HOLD = """
import sys
from pathlib import Path
from dlq.client.hostlock import HostLock
print(HostLock(Path(sys.argv[1])).acquire(), flush=True)
sys.stdin.read()
"""


def test_it_excludes_within_one_process(tmp_path: Path) -> None:
    first, second = HostLock(tmp_path / "lock"), HostLock(tmp_path / "lock")
    assert first.acquire()
    assert not second.acquire(0.05)
    first.release()
    assert second.acquire()
    second.release()


def test_it_excludes_other_processes_and_dies_with_its_holder(tmp_path: Path) -> None:
    lock = HostLock(tmp_path / "lock")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert not lock.acquire()
        holder.kill()
        assert lock.acquire(5.0)
    lock.release()


def test_a_forked_child_neither_holds_it_nor_takes_it_from_its_parent(tmp_path: Path) -> None:
    lock = HostLock(tmp_path / "lock")
    assert lock.acquire()
    child = os.fork()
    if child == 0:
        free = HostLock(tmp_path / "lock").acquire()
        lock.release()  # the parent's: does nothing here
        os._exit(1 if free else 0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert not HostLock(tmp_path / "lock").acquire()
    lock.release()
