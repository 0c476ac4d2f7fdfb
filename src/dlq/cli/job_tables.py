"""Jobs, and the dead letters of one, as rows of a table."""

from __future__ import annotations

from typing import Any

from dlq.cli.figures import percent
from dlq.cli.job_report import what
from dlq.cli.output import Column
from dlq.cli.text import age_since

JOBS = (
    Column("ID", whole=True),
    Column("STATE", whole=True),
    Column("WHO", from_width=110),
    Column("DONE", right=True, whole=True, from_width=70),
    Column("OK", right=True, whole=True),
    Column("AGE", right=True, whole=True, from_width=80),
    Column("WHAT", from_width=96),
)
ITEMS = (
    Column("ID", whole=True),
    Column("STATUS", whole=True),
    Column("CANARY", from_width=96),
    Column("SENT", whole=True, from_width=120),
    Column("WHY"),
)


def job_row(job: dict[str, Any]) -> tuple[Any, ...]:
    return (
        job["job_id"],
        job["state"],
        job["created_by"],
        done(job),
        percent(job["success_rate"]),
        age_since(job["created_at"]),
        what(job),
    )


def done(job: dict[str, Any]) -> str:
    return f"{job['done']}/{job['total']}"


def item_row(item: dict[str, Any]) -> tuple[Any, ...]:
    return (
        item["message_id"],
        item["status"],
        "yes" if item["canary"] else "",
        item["sent_at"],
        item["error"] or item["reason"],
    )
