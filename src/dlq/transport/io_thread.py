"""The one thread of this process that speaks AMQP.

All connections share one asyncio loop on a daemon thread, started when first needed. A fork
leaves the thread behind, but copies its sockets: the child lets go of them at once, so that
it can neither write into its parent's connections nor hold them open, and starts a thread of
its own when it needs one.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import threading
import weakref
from typing import Protocol


class Forkable(Protocol):
    """Something with connections on the I/O thread."""

    def after_fork(self) -> None:
        """In the child, before anything else runs: forget all that was under way."""
        ...


class _IoThread:
    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        # Not the policy's loop: pika needs add_reader, and Twisted or uvloop may own the policy.
        self.loop = asyncio.SelectorEventLoop(self._selector)
        self.thread = threading.Thread(target=self._run, name="dlq-io", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def disown(self) -> None:
        """In a forked child: point every inherited descriptor at nothing.

        Closing them would do for the connections, but their numbers would be taken again,
        and the objects that still hold them would then close somebody else's files.
        """
        void = os.open(os.devnull, os.O_RDWR)
        inherited = [key.fd for key in self._selector.get_map().values()]
        if hasattr(self._selector, "fileno"):  # epoll and kqueue are shared with the parent
            inherited.append(self._selector.fileno())
        for descriptor in inherited:
            os.dup2(void, descriptor)
        os.close(void)


_lock = threading.Lock()
_current: _IoThread | None = None
_disowned: list[_IoThread] = []  # kept: a loop that is collected while it "runs" warns
_forkables: weakref.WeakSet[Forkable] = weakref.WeakSet()


def io_loop() -> asyncio.AbstractEventLoop:
    """The running loop of this process's I/O thread; for `call_soon_threadsafe`."""
    global _current
    with _lock:
        if _current is None:
            _current = _IoThread()
        return _current.loop


def on_io_thread() -> bool:
    """Whether the caller runs on the I/O thread, where nothing may wait for it."""
    current = _current
    return current is not None and threading.current_thread() is current.thread


def survive_forks(forkable: Forkable) -> None:
    """Have `forkable.after_fork()` called in every child, as long as it lives."""
    _forkables.add(forkable)


def _after_fork_in_child() -> None:
    global _lock, _current
    _lock = threading.Lock()
    if _current is not None:
        _current.disown()
        _disowned.append(_current)
        _current = None
    for forkable in list(_forkables):
        forkable.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
