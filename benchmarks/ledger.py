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
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.comparing import Comparison, comparisons
from benchmarks.databases import Database, database
from benchmarks.dead_letters import Plan
from benchmarks.filling import Episodes, Filled, episodes_of, fill_to, marks_of
from benchmarks.measuring import SAMPLES, Timing, markdown, milliseconds, ratio, timing
from benchmarks.operations import Known, claims, deletes, reads
from dlq.ledger import ReplayRules, open_ledger
from dlq.ledger.base import Ledger
from dlq.pace import Limit, Limits

KINDS = ("sqlite", "postgresql")
UNBOUNDED = ReplayRules(concurrency=1000, limits=Limits(others=Limit(10_000.0, 10_000)))
"""No pace holds a claim up."""


@dataclass
class Look:
    """What was measured at one mark."""

    rows: int
    size_bytes: int
    ingested_per_s: float
    timings: dict[str, Timing] = field(default_factory=dict)


@dataclass
class Report:
    name: str
    looks: list[Look]
    filled: Filled
    comparisons: list[Comparison]


def measure(where: Database, plan: Plan, made: Episodes, progress: Callable[[int], None]) -> Report:
    """Fill a fresh ledger, and look at it at each mark."""
    filled = Filled()
    looks: list[Look] = []
    compared: list[Comparison] = []
    for mark in marks_of(plan.rows):
        with closing(open_ledger(where.url)) as ledger:
            fill_to(mark, ledger, made, filled, progress)
            where.settle()
            look = Look(filled.rows, where.size_bytes(), filled.rows_per_s)
            known = _known(ledger, filled, plan)
            look.timings |= _timings_of_reads(known)
            if mark == plan.rows:
                compared += comparisons(where, plan, filled, look.size_bytes, known, look.timings)
        look.timings |= _timings_of_writes(where, filled, plan)
        looks.append(look)
    return Report(where.name, looks, filled, compared)


def _known(ledger: Ledger, filled: Filled, plan: Plan) -> Known:
    """It is as late as the newest failure."""
    newest_at = ledger.stats().newest_at or plan.until
    rng = random.Random(plan.seed)  # noqa: S311 - not a secret
    return Known(ledger, filled.rows, newest_at, list(filled.remembered), rng)


def _timings_of_reads(known: Known) -> dict[str, Timing]:
    found = {}
    for name, make in reads(known).items():
        make()()  # connections and caches are warm, as a manager's are
        found[name] = timing(make() for _ in itertools.count())
    return found


def _timings_of_writes(where: Database, filled: Filled, plan: Plan) -> dict[str, Timing]:
    """In a copy, so that the next mark is one of dead letters alone."""
    with where.copied() as url, closing(open_ledger(url, rules=UNBOUNDED)) as ledger:
        known = _known(ledger, filled, plan)
        made, claimed = claims(known)
        return {
            "making a job of 1,000": made,
            "claim of its 1,000 replays": claimed,
            "delete by id": deletes(known),
        }


# --- printing ----------------------------------------------------------------------------


def tables(report: Report) -> Iterator[str]:
    rows = report.filled.rows
    yield f"### {report.name}, {rows:,} dead letters"
    yield (
        f"A message has {report.filled.body_bytes / rows:,.0f} bytes of body on average, "
        f"{report.filled.raw_bytes / rows:,.0f} with headers and properties."
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
        task = shown.add_task(where.name, total=plan.rows)
        report = measure(where, plan, made, lambda count: shown.advance(task, count))
    for part in tables(report):
        sys.stdout.write(f"{part}\n\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
