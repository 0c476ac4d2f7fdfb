"""A lock among the processes (and threads) of one host, that dies with its holder.

A POSIX record lock, because unlike `flock` a forked child does not inherit it: a child
that outlives its parent must not go on holding what it does not know of. Within one
process record locks exclude nobody, hence the table of holders beside it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

POLL_S = 0.02

_holders: dict[tuple[int, str], HostLock] = {}


class HostLock:
    """Held between `acquire` and `release`; not reentrant, one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: tuple[int, int] | None = None  # pid, file descriptor

    def acquire(self, timeout_s: float = 0.0) -> bool:
        """Whether it was got within `timeout_s`. Raises: OSError: the file cannot be made."""
        until = time.monotonic() + timeout_s
        while not self._try():
            if time.monotonic() >= until:
                return False
            time.sleep(POLL_S)
        return True

    def release(self) -> None:
        if self._held is None:
            return
        pid, descriptor = self._held
        self._held = None
        if pid == os.getpid():
            os.close(descriptor)
            _holders.pop((pid, str(self._path)), None)

    def _try(self) -> bool:
        pid = os.getpid()
        key = (pid, str(self._path))
        # setdefault is atomic, so of several threads one wins. It also keeps others of this
        # process from opening the file: closing it again would drop the holder's lock.
        if _holders.setdefault(key, self) is not self:
            return False
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            del _holders[key]
            raise
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            del _holders[key]
            return False
        self._held = (pid, descriptor)
        return True


@contextlib.contextmanager
def setting_up(path: Path, timeout_s: float) -> Iterator[None]:
    """Alone on this host with the setting up of a file.

    Raises: TimeoutError: another process is at it for that long. OSError.
    """
    lock = HostLock(path.with_name(f"{path.name}.setup"))
    if not lock.acquire(timeout_s):
        raise TimeoutError(f"another process has been setting it up for {timeout_s:g} s")
    try:
        yield
    finally:
        lock.release()
