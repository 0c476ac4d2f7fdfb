"""`dlq policy`: whether, and when, dead letters are replayed by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dlq.cli import options
from dlq.cli.output import Column, note, print_json, print_line, print_table, write
from dlq.cli.rehearsal import print_rehearsal
from dlq.cli.text import one_line
from dlq.errors import InvalidInput

RULES = (
    Column("RULE"),
    Column("MATCHES"),
    Column("RETRY"),
    Column("TRIES", right=True, whole=True),
)
QUIET = Column("QUIET HOURS")
MAX_SINCE_S = 365 * 86_400

app = typer.Typer(
    help="Check, show and rehearse the policies of automatic retries.", no_args_is_help=True
)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A policy file (YAML).")],
    as_json: options.Json = False,
) -> None:
    """Check a policy file, without a manager: its rules, or what to mend in which line.

    Exits 2 if it cannot be used.

    \b
    Examples:
      dlq policy show --defaults > policies.yml
      dlq policy check policies.yml
    """
    from dlq.policy import load_policies

    policies = load_policies(file)
    rules = policies.as_dict()["rules"]
    if as_json:
        print_json({"file": str(file), "digest": policies.digest, "rules": rules})
        return
    _print_rules(rules)
    note(f"{file} can be used. The manager reads the file in DLQ_POLICIES_FILE when it starts.")


@app.command()
def show(
    defaults: Annotated[
        bool,
        typer.Option("--defaults", help="The shipped policy file, as YAML. Asks no manager."),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Show the rules in force at the manager; the first that matches decides.

    \b
    Examples:
      dlq policy show
      dlq policy show --defaults > policies.yml
    """
    if defaults:
        _print_defaults(as_json=as_json)
        return
    from dlq.cli.manager import Manager

    with Manager.from_environment() as manager:
        found = manager.policies()
    if as_json:
        print_json(found)
        return
    print_line(one_line(f"Policies: {found['file']}"))
    _print_rules(found["rules"])
    note(_in_force(found))


@app.command()
def rehearse(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="A policy file. Default: the rules in force."),
    ] = None,
    since: Annotated[
        str, typer.Option(metavar="SPAN", help="How far back, as 36h or 30d; 365d at most.")
    ] = "30d",
    as_json: options.Json = False,
) -> None:
    """Tell what policies would have done with the manager's own past. Changes nothing.

    What a try would have come to is known only as far as real replays show it: after one that
    succeeded it comes right, before one that failed it fails, else it is unknown.

    \b
    Examples:
      dlq policy rehearse
      dlq policy rehearse policies.yml --since 90d
    """
    from dlq.cli.manager import Manager

    since_s = _since_s(since)
    text = None if file is None else _checked_text(file)
    with Manager.from_environment() as manager:
        found = manager.rehearse(text, since_s)
    if as_json:
        print_json(found)
    else:
        print_rehearsal(found, "the rules in force" if file is None else str(file))


def _since_s(text: str) -> int:
    """Raises: InvalidInput."""
    from dlq.policy.spans import parse_span

    try:
        seconds = parse_span(text)
    except ValueError as error:
        raise InvalidInput(f"--since: {error}") from error
    if seconds > MAX_SINCE_S:
        raise InvalidInput(f"--since: expected 365d at most, got {text}.")
    return seconds


def _checked_text(file: Path) -> str:
    """The text of a policy file that can be used. Raises: PolicyError: names the lines."""
    from dlq.policy import load_policies

    load_policies(file)
    return file.read_text("utf-8-sig")


def _print_defaults(*, as_json: bool) -> None:
    from dlq.policy import load_policies
    from dlq.policy.reading import default_text

    if as_json:
        policies = load_policies()
        print_json({"digest": policies.digest, "rules": policies.as_dict()["rules"]})
    else:
        write(default_text())


def _in_force(found: dict[str, Any]) -> str:
    if not found["automatic_retry"]:
        return "Nothing is replayed by itself: automatic retry is off (DLQ_AUTO_RETRY)."
    if not found["worker_is_there"]:
        return "Nothing is replayed by itself just now: no worker is there."
    return "A person may replay anything at any time, whatever is written here."


def _print_rules(rules: list[dict[str, Any]]) -> None:
    """Quiet hours only where there are any, so that the others keep the room."""
    if not rules:
        return
    some_quiet = any(rule.get("quiet") for rule in rules)
    columns = [*RULES, QUIET] if some_quiet else RULES
    print_table(columns, ((*_row(rule), _quiet(rule))[: len(columns)] for rule in rules))


def _row(rule: dict[str, Any]) -> tuple[Any, ...]:
    return (
        rule["name"],
        _matches(rule["match"]),
        _retry(rule),
        rule.get("budget") or len(rule.get("after_s", ())) or None,
    )


def _matches(match: dict[str, list[str]]) -> str:
    told = (
        ", ".join(values) if key == "category" else f"{key} {', '.join(values)}"
        for key, values in match.items()
    )
    return "; ".join(told) or "everything"


def _quiet(rule: dict[str, Any]) -> str | None:
    return f"{'; '.join(rule['quiet'])} {rule['timezone']}" if rule.get("quiet") else None


def _retry(rule: dict[str, Any]) -> str:
    from dlq.policy.spans import show_span

    kind = rule["retry"]
    if kind == "backoff":
        honours = ", Retry-After" if rule["honour_retry_after"] else ""
        return f"backoff {show_span(rule['base_s'])} to {show_span(rule['cap_s'])}{honours}"
    if kind == "cooldown":
        return f"after {', '.join(show_span(span_s) for span_s in rule['after_s'])}"
    return "once mended" if kind == "when_mended" else str(kind)
