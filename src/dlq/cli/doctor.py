"""`dlq doctor`."""

from __future__ import annotations

import dataclasses
import sys

import typer

from dlq.cli import options
from dlq.cli.exits import ExitCode
from dlq.cli.output import console, print_json, print_line
from dlq.cli.text import one_line


def doctor(as_json: options.Json = False) -> None:
    """Look at manager, ledger, broker, queues, spool and clock, and say what to do.

    Changes nothing. Exits 1 if a check fails; warnings do not count.

    \b
    Examples:
      dlq doctor
      dlq doctor --json | jq '.[] | select(.verdict != "ok")'
    """
    from dlq.cli.checks import Check, Verdict, all_checks
    from dlq.settings import Settings

    checks: list[Check] = []
    for check in all_checks(Settings.load()):
        checks.append(check)
        if not as_json:
            _print(check.verdict.value, check.name, check.detail, check.remedy)
    if as_json:
        print_json([dataclasses.asdict(check) for check in checks])
    if any(check.verdict is Verdict.FAIL for check in checks):
        raise typer.Exit(ExitCode.FAILED)


def _print(verdict: str, name: str, detail: str, remedy: str) -> None:
    if sys.stdout.isatty():
        from rich.text import Text

        colour = {"ok": "green", "warn": "yellow", "fail": "bold red"}[verdict]
        line = Text.assemble((f"{verdict:<5}", colour), f"{one_line(name)}: {one_line(detail)}")
        console().print(line, soft_wrap=True)
    else:
        print_line(f"{verdict:<5}{one_line(name)}: {one_line(detail)}")
    if remedy:
        print_line(f"     → {one_line(remedy)}")
