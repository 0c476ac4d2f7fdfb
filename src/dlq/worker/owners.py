"""Who holds a replay on this host, and whether it still lives.

An owner is a byte of one lock file, locked for as long as its process lives. A record lock
dies with its process even by `kill -9`, and is told by the kernel, so that a process that got
the pid of a dead one is not taken for it. Within one process record locks exclude nobody, and
closing the file once would drop them all: hence one open file a process, and the set beside it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import threading
from pathlib import Path

OWNER_BITS = 48

_lock = threading.Lock()
_files: dict[tuple[int, str], Owners] = {}


class Owners:
    """The owners of one lock file as this process sees them. Get it by `owners_of`."""

    def __init__(self, path: Path) -> None:
        """Raises: OSError: the file cannot be made or locked."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._lock = threading.Lock()
        self._ours: set[int] = set()

    def new(self) -> int:
        """An owner that lives as long as this process. Raises: OSError."""
        owner = secrets.randbits(OWNER_BITS)
        with self._lock:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, owner)
            self._ours.add(owner)
        return owner

    def is_alive(self, owner: int) -> bool:
        with self._lock:
            if owner in self._ours:
                return True
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, owner)
            except OSError:
                return True
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, owner)
            return False


def owners_of(path: Path) -> Owners:
    """The one object of this process for that file; a forked child gets its own.

    Raises: OSError.
    """
    with _lock:
        key = (os.getpid(), str(path))
        if key not in _files:
            _files[key] = Owners(path)
        return _files[key]


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)
