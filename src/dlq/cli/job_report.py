"""What a job came to, or has come to so far, in words and as an exit code."""

from __future__ import annotations

import datetime as dt
from typing import Any

from dlq.cli.exits import ExitCode
from dlq.cli.figures import letters, pace, percent
from dlq.cli.output import note, print_fields, print_line
from dlq.cli.preview import note_unknown
from dlq.cli.text import age, age_since, one_line

OVER = frozenset({"finished", "stopped", "cancelled"})

_COUNTS = (
    ("succeeded", "succeeded"),
    ("failed", "failed"),
    ("returned", "came back untaken"),
    ("presumed", "taken without a report"),
    ("skipped", "skipped"),
    ("refused", "refused by the broker"),
    ("cancelled", "not sent"),
    ("in_flight", "on their way"),
)
"""By their names in the API."""


def exit_code(job: dict[str, Any]) -> ExitCode:
    """OK: it went to its end and each succeeded, or was skipped since it need not be sent."""
    wrong = ("failed", "returned", "presumed", "refused", "cancelled")
    whole = job["state"] == "finished" and not job["unknown_ids"]
    return ExitCode.FAILED if not whole or any(job[name] for name in wrong) else ExitCode.OK


def what(job: dict[str, Any]) -> str:
    """What it was asked to replay."""
    return str(job["where"]) if job["where"] else f"{job['chosen_ids']} by id"


def counts(job: dict[str, Any]) -> str:
    """`331 succeeded, 9 failed, 5 on their way`."""
    told = [f"{job[name]} {word}" for name, word in _COUNTS if job[name] or name == "succeeded"]
    return ", ".join(told)


def speed(job: dict[str, Any]) -> str:
    """`1/s, 14 min left`, as far as it is known; empty once it is over."""
    if job["state"] in OVER:
        return ""
    told = [pace(job["rate_per_s"])] if job["rate_per_s"] else []
    if job["eta_s"] is not None:
        told.append(f"{age(job['eta_s'])} left")
    return ", ".join(told)


def phase(job: dict[str, Any]) -> str:
    """Why nothing is sent just now, or what is tried first; empty if it just goes on."""
    if job["state"] == "paused":
        return f"Paused. Go on with: dlq jobs resume {one_line(job['job_id'])}"
    if job["state"] == "preparing" and not job["waiting_for"]:
        return "Preparing: it reads the keys of its dead letters."
    canary = job["canary"]
    told = []
    if canary and not canary["passed"] and job["state"] == "running":
        left = canary["waiting"] + canary["in_flight"]
        told.append(
            f"Canary: {canary['size'] - left} of {canary['size']} are back, "
            f"{canary['succeeded']} succeeded."
        )
    if job["waiting_for"]:
        told.append(f"Waits for: {job['waiting_for']}.")
    return one_line(" ".join(told))


def print_summary(job: dict[str, Any]) -> None:
    """How it stands, or how it ended, and what is to be done about it."""
    job_id = one_line(job["job_id"])
    took = duration(job)
    print_line(f"Job {job_id} {job['state']}{f' after {took}' if took else ''}.")
    print_line(f"Of {letters(job['total'])}: {counts(job)}.")
    if job["success_rate"] is not None:
        print_line(f"Success rate: {percent(job['success_rate'])}.")
    if job["stop_reason"]:
        print_line(f"Why: {one_line(job['stop_reason'])}.")
    _print_tally("New errors", ((each["count"], each["error"]) for each in job["new_errors"]))
    _print_tally("Not replayed", ((n, why) for why, n in job["skipped_because"].items()))
    note_unknown(job["unknown_ids"])
    if job["failed"]:
        note(f"Which failed: dlq jobs show {job_id} --status failed")
    if job["state"] == "stopped":
        note(f"Once the cause is mended: dlq jobs repeat {job_id}")


def print_facts(job: dict[str, Any]) -> None:
    facts = [
        ("Job", one_line(job["job_id"])),
        ("What", one_line(what(job))),
        ("How", _options(job["options"])),
        ("By", one_line(job["created_by"])),
        ("Made", f"{job['created_at']} ({age_since(job['created_at'])} ago)"),
        ("Starts", job["start_at"] if job["started_at"] is None else None),
        ("Started", job["started_at"]),
        ("Ended", job["finished_at"]),
        ("Repeats", job["repeat_of"]),
        ("State", one_line(job["state"])),
        ("Done", f"{job['done']} of {job['total']}"),
        ("Counts", counts(job)),
        ("Success rate", percent(job["success_rate"])),
        ("Speed", speed(job) or None),
        ("Now", phase(job) or None),
        ("Why", job["stop_reason"] and one_line(job["stop_reason"])),
        ("Canary", _canary(job["canary"])),
    ]
    print_fields((name, value) for name, value in facts if value is not None)
    _print_tally("New errors", ((each["count"], each["error"]) for each in job["new_errors"]))
    _print_tally("Not replayed", ((n, why) for why, n in job["skipped_because"].items()))
    note_unknown(job["unknown_ids"])


def duration(job: dict[str, Any]) -> str:
    """How long it ran; empty while it runs."""
    try:
        started = dt.datetime.fromisoformat(job["started_at"])
        ended = dt.datetime.fromisoformat(job["finished_at"])
    except (TypeError, ValueError):
        return ""
    return age((ended - started).total_seconds())


def _options(given: dict[str, Any]) -> str | None:
    told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in given.items())
    return one_line(told) or None


def _canary(canary: dict[str, Any] | None) -> str | None:
    if not canary:
        return None
    judged = "passed" if canary["passed"] else "not passed"
    return f"{canary['size']}, {judged}: {canary['succeeded']} succeeded, {canary['failed']} failed"


def _print_tally(title: str, counted: Any) -> None:
    rows = list(counted)
    if not rows:
        return
    print_line(f"\n{title}:")
    width = max(len(str(count)) for count, _ in rows)
    for count, text in rows:
        print_line(f"    {count:>{width}}  {one_line(text)}")
