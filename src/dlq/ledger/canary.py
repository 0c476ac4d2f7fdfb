"""The verdict on a job's canary."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from dlq.job import ItemStatus
from dlq.ledger.jobs import new_errors
from dlq.ledger.schema import job_items

ERROR_CHARS = 500


def why_it_fails(
    connection: Connection, job_id: int, canary: Mapping[ItemStatus, int], share: float
) -> str | None:
    """In words for a person, with the new error; None: enough of it succeeded.

    Args:
        canary: its items by status. What was skipped tells nothing and does not count.
        share: of the rest that must succeed.
    """
    size = sum(canary.values()) - canary[ItemStatus.SKIPPED] - canary[ItemStatus.CANCELLED]
    succeeded = canary[ItemStatus.SUCCEEDED]
    if size == 0 or succeeded / size >= share:
        return None
    others = (
        f"{n} {'in flight' if status is ItemStatus.SENT else status}"
        for status, n in canary.items()
        if n and status is not ItemStatus.SUCCEEDED
    )
    reason = (
        f"the canary failed: {succeeded} of {size} succeeded, {share:.0%} must "
        f"({', '.join(others)})"
    )
    errors = new_errors(connection, job_id, job_items.c.canary)
    if errors:
        error, count = next(iter(errors.items()))
        often = "once" if count == 1 else f"{count} times"
        return f"{reason}; the new error, {often}: {error[:ERROR_CHARS]}"
    if canary[ItemStatus.SENT]:
        return f"{reason}; no outcome came in time: does a worker consume, and report?"
    return reason
