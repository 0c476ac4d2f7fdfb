"""Groups as rows of a table, their trend as a line of bars, and their marks in a word or two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlq.cli.figures import percent
from dlq.cli.output import Column
from dlq.cli.text import age_since

BARS = "▁▂▃▄▅▆▇█"
NOTHING = "·"
ACKNOWLEDGED = "acknowledged"

GROUPS = (
    Column("GROUP", whole=True),
    Column("COUNT", right=True, whole=True),
    Column("LAST 24 H", whole=True, from_width=110),
    Column("24 H", right=True, whole=True, from_width=130),
    Column("LAST SEEN", right=True, whole=True, from_width=72),
    Column("OK", right=True, whole=True, from_width=90),
    Column("MARKS", whole=True, widest=14),
    Column("CATEGORY", whole=True, widest=14, from_width=150),
    Column("CAUSE"),
)
TYPES = (
    Column("TYPE", whole=True, widest=16),
    Column("COUNT", right=True, whole=True),
    Column("FIRST", right=True, whole=True, from_width=60),
    Column("LAST", right=True, whole=True),
    Column("SAMPLE", whole=True),
)
MEMBERS = (
    Column("CAUSE", whole=True),
    Column("COUNT", right=True, whole=True),
    Column("LAST SEEN", right=True, whole=True, from_width=70),
    Column("CATEGORY", whole=True, widest=14, from_width=80),
    Column("TITLE"),
)
RELEASES = (
    Column("RELEASE", whole=True),
    Column("FAILURES", right=True, whole=True),
    Column("FIRST", right=True, whole=True),
    Column("LAST", right=True, whole=True),
)


def sparkline(counts: Sequence[int]) -> str:
    """A character a count, the highest bar the largest of them; a dot for none at all."""
    most = max(counts, default=0)
    return "".join(
        BARS[(count * len(BARS) - 1) // most] if count > 0 else NOTHING for count in counts
    )


def marks(group: dict[str, Any]) -> str:
    """`NEW`, `BACK`, and its status if it is not open, as the command that sets it is named."""
    told = [word for word, holds in (("NEW", group["is_new"]), ("BACK", _is_back(group))) if holds]
    if group["status"] != "open":
        told.append("ack" if group["status"] == ACKNOWLEDGED else group["status"])
    return " ".join(told)


def group_row(group: dict[str, Any]) -> tuple[Any, ...]:
    return (
        group["id"],
        group["count"],
        sparkline(group.get("hourly", ())),
        group["last_24h"],
        age_since(group["last_seen"]),
        percent(group["replay_success_rate"]),
        marks(group),
        group["category"],
        group["title"],
    )


def type_row(group: dict[str, Any]) -> tuple[Any, ...]:
    return (
        group["error_type"],
        group["count"],
        age_since(group["first_seen"]),
        age_since(group["last_seen"]),
        next(iter(group["sample_messages"]), None),
    )


def member_row(cause: dict[str, Any]) -> tuple[Any, ...]:
    return (
        cause["fingerprint"],
        cause["count"],
        age_since(cause["last_seen"]),
        cause["category"],
        cause["title"],
    )


def release_row(release: dict[str, Any]) -> tuple[Any, ...]:
    return (
        release["release"],
        release["failures"],
        age_since(release["first_seen"]),
        age_since(release["last_seen"]),
    )


def _is_back(group: dict[str, Any]) -> bool:
    """Until somebody acknowledges it."""
    return group["came_back_at"] is not None and group["status"] != ACKNOWLEDGED
