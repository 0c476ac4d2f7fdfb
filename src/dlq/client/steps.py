"""How sync and async callers share one logic: a delivery is a generator of waits.

The generator does what never blocks and yields a `Wait` where there is something to wait
for; `run` waits by blocking the thread, `run_async` by awaiting. Left early (Ctrl-C, a
cancelled task) the generator is closed, and has its chance to put the messages in safety.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import time
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wait:
    """Until all futures are done, or `until` (of `time.monotonic`), whichever is first."""

    futures: Sequence[Future[Any]]
    until: float

    @property
    def timeout_s(self) -> float:
        return max(self.until - time.monotonic(), 0.0)


Steps = Generator[Wait, None, T]


def run(steps: Steps[T]) -> T:
    """Take the steps by blocking this thread."""
    with contextlib.closing(steps):
        try:
            while True:
                wait = next(steps)
                concurrent.futures.wait(wait.futures, wait.timeout_s)
        except StopIteration as done:
            result: T = done.value
            return result


async def run_async(steps: Steps[T]) -> T:
    """Take the steps without blocking the loop."""
    with contextlib.closing(steps):
        try:
            while True:
                await _all_done(next(steps))
        except StopIteration as done:
            result: T = done.value
            return result


async def _all_done(wait: Wait) -> None:
    # Not asyncio.wrap_future: it would cancel the other side's future with the task.
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    missing = len(wait.futures)

    def count_down() -> None:
        nonlocal missing
        missing -= 1
        if missing == 0:
            done.set()

    def one_done(_: Future[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(count_down)

    for future in wait.futures:
        future.add_done_callback(one_done)
    if wait.futures:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait.timeout_s):
                await done.wait()
