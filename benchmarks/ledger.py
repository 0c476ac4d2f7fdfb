"""What a ledger of a million dead letters costs, and how fast it answers.

    .venv/bin/python -m benchmarks.ledger --rows 1000000 --ledger sqlite|postgresql|both
        [--keep FOLDER]

Fills each ledger with dead letters of a music pipeline (`dead_letters.py`), and at 10,000,
100,000 and 1,000,000 of them measures ingest, reads, claims and deletes. Prints Markdown.
"""

from __future__ import annotations

import argparse
import datetime as dt
import itertools
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.comparing import Comparison, comparisons
from benchmarks.databases import Database, database
from benchmarks.dead_letters import Plan
from benchmarks.filling import Episodes, Filled, episodes_of, fill_to, marks_of, unwatched
from benchmarks.measuring import SAMPLES, Timing, markdown, milliseconds, ratio, timing
from benchmarks.operations import Known, claims, deletes, reads
from dlq.ledger import ReplayRules, open_ledger
from dlq.ledger.base import Ledger
from dlq.pace import Limit, Limits

KINDS = ("sqlite", "postgresql")
UNBOUNDED = ReplayRules(concurrency=1000, limits=Limits(others=Limit(10_000.0, 10_000)))
"""No pace holds a claim up."""
SAID_EVERY = 50_000


@dataclass
class Look:
    """What was measured at one mark."""

    rows: int
    size_bytes: int
    ingested_per_s: float
    timings: dict[str, Timing] = field(default_factory=dict)


class Shown:
    """How far it is, on standard error: rows as a bar where that is a terminal, and a line for
    each measurement once it is there."""

    def __init__(self, progress: Progress, name: str, rows: int) -> None:
        self._progress = progress
        self._task = progress.add_task(name, total=rows)
        self._name = name
        self._started = time.monotonic()

    def filled(self, count: int) -> None:
        self._progress.advance(self._task, count)
        done = int(self._progress.tasks[self._task].completed)
        if done // SAID_EVERY > (done - count) // SAID_EVERY:
            self.say(f"{done:,} rows are in")

    def timed(self, name: str, taken: Timing) -> Timing:
        self.say(f"{name}: {_both(taken)} ms")
        return taken

    def say(self, text: str) -> None:
        passed_s = time.monotonic() - self._started
        line = f"{passed_s:7.1f} s  {self._name}  {text}"
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)


@dataclass
class Report:
    name: str
    looks: list[Look]
    filled: Filled
    comparisons: list[Comparison]


def measure(where: Database, plan: Plan, made: Episodes, progress: Shown) -> Report:
    """Fill a fresh ledger, and look at it at each mark."""
    filled = Filled()
    looks: list[Look] = []
    compared: list[Comparison] = []
    for mark in marks_of(plan.rows):
        with closing(open_ledger(where.url)) as ledger:
            fill_to(mark, ledger, made, filled, progress.filled)
            where.settle()
            look = Look(filled.rows, where.size_bytes(), filled.rows_per_s)
            progress.say(
                f"{mark:,} rows: {look.size_bytes / look.rows:,.0f} bytes a message, "
                f"ingest {look.ingested_per_s:,.0f} rows/s"
            )
            known = _known(ledger, filled, plan)
            with unwatched():
                for name, taken in _timings_of_reads(known):
                    look.timings[name] = progress.timed(name, taken)
            if mark == plan.rows:
                progress.say("what one would do without it")
                compared += comparisons(where, plan, filled, look.size_bytes, known, look.timings)
        with unwatched():
            for name, taken in _timings_of_writes(where, filled, plan):
                look.timings[name] = progress.timed(name, taken)
        looks.append(look)
    return Report(where.name, looks, filled, compared)


def _known(ledger: Ledger, filled: Filled, plan: Plan) -> Known:
    """It is as late as the newest failure."""
    newest_at = ledger.stats().newest_at or plan.until
    rng = random.Random(plan.seed)  # noqa: S311 - not a secret
    return Known(ledger, filled.rows, newest_at, list(filled.remembered), rng)


def _timings_of_reads(known: Known) -> Iterator[tuple[str, Timing]]:
    for name, make in reads(known).items():
        make()()  # connections and caches are warm, as a manager's are
        yield name, timing(make() for _ in itertools.count())


def _timings_of_writes(where: Database, filled: Filled, plan: Plan) -> Iterator[tuple[str, Timing]]:
    """In a copy, so that the next mark is one of dead letters alone."""
    with where.copied() as url, closing(open_ledger(url, rules=UNBOUNDED)) as ledger:
        known = _known(ledger, filled, plan)
        made, claimed = claims(known)
        yield "making a job of 1,000", made
        yield "claim of its 1,000 replays", claimed
        yield "delete by id", deletes(known)


# --- printing ----------------------------------------------------------------------------


def tables(report: Report) -> Iterator[str]:
    rows = report.filled.rows
    yield f"### {report.name}, {rows:,} dead letters"
    yield (
        f"A message has {report.filled.bodies.mean:,.0f} bytes of body on average (median "
        f"{report.filled.bodies.median:,}), {report.filled.raws.mean:,.0f} (median "
        f"{report.filled.raws.median:,}) with headers and properties."
    )
    first = report.looks[0]
    yield markdown(
        ("at rows", "MB", "bytes a message", "ingest, rows/s", f"of that at {first.rows:,}"),
        (
            (
                f"{look.rows:,}",
                f"{look.size_bytes / 1e6:,.1f}",
                f"{look.size_bytes / look.rows:,.0f}",
                f"{look.ingested_per_s:,.0f}",
                f"{look.ingested_per_s / first.ingested_per_s:.0%}",
            )
            for look in report.looks
        ),
    )
    yield _timings_table(report.looks)
    yield markdown(
        ("what", "the ledger", "instead", "that", "ratio"),
        ((c.what, c.ours, c.alternative, c.theirs, c.ratio) for c in report.comparisons),
    )


def _timings_table(looks: list[Look]) -> str:
    first, last = looks[0], looks[-1]
    heads = ["ms, p50 / p99", *(f"{look.rows:,}" for look in looks), "growth, p50 / p99"]
    rows = []
    for name, timing_ in last.timings.items():
        of_first = first.timings[name]
        growth = (
            f"{ratio(timing_.p50_ms, of_first.p50_ms)} / {ratio(timing_.p99_ms, of_first.p99_ms)}"
        )
        rows.append([name, *(_both(look.timings[name]) for look in looks), growth])
    return markdown(heads, rows)


def _both(timing_: Timing) -> str:
    shown = f"{milliseconds(timing_.p50_ms)} / {milliseconds(timing_.p99_ms)}"
    count = len(timing_.samples_ms)
    return shown if count >= SAMPLES else f"{shown} (of {count})"


# --- the command -------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--ledger", choices=(*KINDS, "both"), default="both")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave the ledgers there")
    given = parser.parse_args()
    kinds = KINDS if given.ledger == "both" else (given.ledger,)
    plan = Plan(given.rows, dt.datetime.now(dt.UTC))
    with tempfile.TemporaryDirectory(prefix="dlq-benchmark-") as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for kind in kinds:
            run(kind, plan, folder, is_kept=given.keep is not None)
    return 0


def run(kind: str, plan: Plan, folder: Path, *, is_kept: bool) -> None:
    """Measure one kind of ledger, and print its tables."""
    shown = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    with (
        episodes_of(plan) as made,
        database(kind, folder, is_kept=is_kept) as where,
        shown,
    ):
        report = measure(where, plan, made, Shown(shown, where.name, plan.rows))
    for part in tables(report):
        sys.stdout.write(f"{part}\n\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
