"""Fills a ledger to mark after mark, and measures how fast it takes what comes just before each.

Arrivals are made before the clock starts, and nothing else is made while it runs: what is
measured is the ledger's own work, with the commit.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from benchmarks.dead_letters import EPISODE, Episode, Plan, episode
from dlq.ledger.base import Ledger
from dlq.manager.keeper import HOURS_KEPT

MARKS = (10_000, 100_000, 1_000_000)
LEAST_WINDOW, MOST_WINDOW = 5_000, 50_000
"""Rows before a mark that are measured: a tenth of it, within these."""
TENDED_EVERY = 2 * EPISODE
WORTH_A_PROCESS = 20
"""Episodes: to start a process takes as long as to make some."""
REMEMBERED_EVERY = 20

Episodes = Callable[[range], Iterator[Episode]]


class Remembered(NamedTuple):
    """A dead letter that was put in."""

    message_id: str
    request_id: str


class Sizes:
    """Of many messages, in bytes."""

    def __init__(self) -> None:
        self.total = 0
        self._counted: Counter[int] = Counter()

    def add(self, sizes: list[int]) -> None:
        self.total += sum(sizes)
        self._counted.update(sizes)

    @property
    def mean(self) -> float:
        return self.total / self._counted.total()

    @property
    def median(self) -> int:
        half, passed = self._counted.total() / 2, 0
        for size in sorted(self._counted):
            passed += self._counted[size]
            if passed >= half:
                return size
        raise ValueError("expected the sizes of one message at least, got none")


@dataclass
class Filled:
    """What went in so far."""

    rows: int = 0
    bodies: Sizes = field(default_factory=Sizes)
    raws: Sizes = field(default_factory=Sizes)
    raw_sampled_bytes: int = 0
    zlib_sampled_bytes: int = 0
    rows_per_s: float = 0.0  # just before the last mark
    remembered: list[Remembered] = field(default_factory=list)

    @property
    def zlib_bytes(self) -> float:
        return self.raws.total * self.zlib_sampled_bytes / max(self.raw_sampled_bytes, 1)

    def add(self, made: Episode) -> None:
        self.rows += len(made.arrivals)
        self.bodies.add(made.body_bytes)
        self.raws.add(made.raw_bytes)
        self.raw_sampled_bytes += made.raw_sampled_bytes
        self.zlib_sampled_bytes += made.zlib_sampled_bytes
        for arrival in made.arrivals[::REMEMBERED_EVERY]:
            message = arrival.message
            self.remembered.append(Remembered(message.message_id, message.correlation_id or ""))


def marks_of(rows: int) -> list[int]:
    """The number of rows at which to look, the last of them `rows`."""
    return [*(mark for mark in MARKS if mark < rows), rows]


def fill_to(
    mark: int, ledger: Ledger, made: Episodes, filled: Filled, progress: Callable[[int], None]
) -> None:
    """Fill up to the mark, and measure the last of it."""
    window = min(max(mark // 10, LEAST_WINDOW), MOST_WINDOW)
    first, last = filled.rows // EPISODE, -(-mark // EPISODE)
    measured = max(first, last - window // EPISODE)
    for one in made(range(first, measured)):
        _ingest(one, ledger, filled, progress)
    waiting = list(made(range(measured, last)))
    with unwatched():
        taken_s = sum(_ingest(one, ledger, filled, progress) for one in waiting)
    filled.rows_per_s = sum(len(one.arrivals) for one in waiting) / taken_s


@contextmanager
def unwatched() -> Iterator[None]:
    """Let no garbage collection walk through what is held already: a manager holds less, and
    takes it out at its start as well."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def _ingest(
    made: Episode, ledger: Ledger, filled: Filled, progress: Callable[[int], None]
) -> float:
    """Returns: seconds that `ingest` took."""
    started = time.perf_counter()
    ledger.ingest(made.arrivals)
    taken_s = time.perf_counter() - started
    filled.add(made)
    if filled.rows % TENDED_EVERY == 0:  # by the clock of the failures, as a keeper would
        newest_at = made.arrivals[-1].message.timestamp
        ledger.retention.forget_hours(newest_at - HOURS_KEPT)
        ledger.tend(newest_at)
    progress(len(made.arrivals))
    return taken_s


@contextmanager
def episodes_of(plan: Plan) -> Iterator[Episodes]:
    """Makes episodes in order, in as many processes as pay."""
    processes = min(os.cpu_count() or 1, plan.episodes // WORTH_A_PROCESS)
    if processes < 1:
        yield lambda numbers: (episode(plan, number) for number in numbers)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        yield partial(_ahead, pool, plan, processes)


def _ahead(
    pool: ProcessPoolExecutor, plan: Plan, processes: int, numbers: range
) -> Iterator[Episode]:
    """A few are made ahead, never all."""
    waiting: deque[Future[Episode]] = deque()
    for number in numbers:
        waiting.append(pool.submit(episode, plan, number))
        if len(waiting) > 2 * processes:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
