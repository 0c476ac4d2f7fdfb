"""Following a job: a live bar on a terminal, else a line every so often, both on stderr.

The job runs in the manager; who follows it may leave, and a manager that restarts is waited for.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import typer

from dlq.cli.exits import ExitCode
from dlq.cli.job_report import OVER, counts, exit_code, phase, print_summary, speed
from dlq.cli.output import console, note, print_json
from dlq.cli.text import one_line
from dlq.errors import BrokerUnavailable, LedgerUnavailable

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

    from dlq.cli.manager import Manager

POLL_S = 0.5
SLOW_POLL_S = 1.0
SLOW_AFTER_S = 20.0
AWAY_S = 120.0
"""How long a manager that does not answer is waited for."""
LINE_EVERY_S = 10.0


class Screen(Protocol):
    def show(self, job: dict[str, Any]) -> None: ...

    def say(self, text: str) -> None: ...


def follow(manager: Manager, job: dict[str, Any], *, as_json: bool) -> NoReturn:
    """Follow it to its end, tell what it came to and end the command.

    Args:
        job: as it was last seen.
    Raises:
        typer.Exit: with its exit code, or 130 for Ctrl-C, which leaves it running.
        BrokerUnavailable: the manager was away for too long.
    """
    with _screen() as screen:
        try:
            for seen in _polled(manager, job, screen):
                job = seen
                screen.show(job)
            interrupted = False
        except KeyboardInterrupt:
            interrupted = True
    if as_json:
        print_json(job)
    elif not interrupted:
        print_summary(job)
    if interrupted:
        note_running_on(job)
        raise typer.Exit(ExitCode.INTERRUPTED)
    raise typer.Exit(exit_code(job))


def note_running_on(job: dict[str, Any]) -> None:
    job_id = one_line(job["job_id"])
    note(f"The job is the manager's now and goes on: {job_id}")
    for verb in ("follow", "pause", "cancel"):
        note(f"  dlq jobs {verb} {job_id}")


def _polled(manager: Manager, job: dict[str, Any], screen: Screen) -> Iterator[dict[str, Any]]:
    """The job again and again until it is over."""
    started_at = time.monotonic()
    away_since: float | None = None
    yield job
    while job["state"] not in OVER:
        slow = time.monotonic() - started_at > SLOW_AFTER_S
        time.sleep(SLOW_POLL_S if slow else POLL_S)
        try:
            job = manager.job(job["job_id"])
        except (BrokerUnavailable, LedgerUnavailable) as error:
            if away_since is None:
                away_since = time.monotonic()
                screen.say(f"{error}\nWaiting up to {AWAY_S:.0f} s for it; the job is not lost.")
            elif time.monotonic() - away_since > AWAY_S:
                raise BrokerUnavailable(
                    f"{error} Once it runs again the job goes on: dlq jobs follow {job['job_id']}"
                ) from error
            continue
        if away_since is not None:
            away_since = None
            screen.say("The manager answers again.")
        yield job


@contextmanager
def _screen() -> Iterator[Screen]:
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.live import Live

    # Drawn when there is news and at no other time.
    with Live(console=console(stderr=True), transient=True, auto_refresh=False) as live:
        yield Bar(live)


class Lines:
    """For logs: a line for each tenth of the job, and for other news every 10 s at most."""

    def __init__(self) -> None:
        self._tenths = -1
        self._line = ""
        self._told_at = 0.0

    def show(self, job: dict[str, Any]) -> None:
        tenths = 10 * job["done"] // max(job["total"], 1)
        line = _line(job)
        now = time.monotonic()
        is_news = line != self._line and now - self._told_at >= LINE_EVERY_S
        if tenths > self._tenths or is_news:
            note(line)
            self._tenths, self._line, self._told_at = tenths, line, now

    def say(self, text: str) -> None:
        note(text)


class Bar:
    """For people: a bar, the counts under it, and what it waits for."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, job: dict[str, Any]) -> None:
        self._live.update(_panel(job), refresh=True)

    def say(self, text: str) -> None:
        from dlq.cli.text import block

        self._live.console.print(block(text))


def _line(job: dict[str, Any]) -> str:
    told = f"{job['done']} of {job['total']} done: {counts(job)}"
    return ". ".join(part for part in (told, speed(job), phase(job)) if part)


def _panel(job: dict[str, Any]) -> Group:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    bar = Table.grid(expand=True, padding=(0, 1))
    bar.add_column(ratio=1)
    bar.add_column(no_wrap=True, justify="right")
    done = Text(f"{job['done']} of {job['total']}", style="bold")
    bar.add_row(ProgressBar(total=max(job["total"], 1), completed=job["done"]), done)
    facts = ", ".join(part for part in (counts(job), speed(job)) if part)
    # Always three lines: one that comes and goes would make the bar jump.
    return Group(bar, Text(facts), Text(phase(job), style="yellow"))
