"""Jobs: looked at, paused, resumed, cancelled. `choosing.py` makes them, `advance.py` sends them
on their way."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, func, select, update

from dlq.errors import IllegalTransition, NotFound
from dlq.job import LIVE, Canary, Choice, ItemStatus, Job, JobItem, JobOptions, JobState
from dlq.ledger.schema import dead_letters, job_items, jobs, replays

SHOWN_ERRORS = 5
RATE_WINDOW = dt.timedelta(seconds=30)


# --- looking -----------------------------------------------------------------------------


def get(connection: Connection, job_id: str, now: dt.datetime) -> Job:
    """Raises: NotFound."""
    return _job_of(connection, _row(connection, job_id), now)


def page(
    connection: Connection,
    *,
    states: Sequence[JobState],
    limit: int,
    offset: int,
    now: dt.datetime,
) -> list[Job]:
    query = select(*jobs.c).order_by(jobs.c.id.desc()).limit(limit).offset(offset)
    if states:
        query = query.where(jobs.c.state.in_([state.value for state in states]))
    rows = connection.execute(query).mappings().all()
    return [_job_of(connection, row, now) for row in rows]


def items(
    connection: Connection, job_id: str, *, status: str | None, limit: int, offset: int
) -> list[JobItem]:
    """Raises: NotFound."""
    row = _row(connection, job_id)
    item = job_items.c
    query = (
        select(*item, dead_letters.c.message_id, replays.c.error)
        .join(dead_letters, dead_letters.c.id == item.dead_letter_id)
        .outerjoin(replays, replays.c.replay_id == item.replay_id)
        .where(item.job_id == row["id"])
        .order_by(item.dead_letter_id)
        .limit(limit)
        .offset(offset)
    )
    if status is not None:
        query = query.where(item.status == status)
    return [
        JobItem(
            message_id=found.message_id,
            status=ItemStatus(found.status),
            canary=found.canary,
            reason=found.reason,
            replay_id=found.replay_id,
            error=found.error,
            sent_at=found.sent_at,
            done_at=found.done_at,
        )
        for found in connection.execute(query)
    ]


def counts(connection: Connection) -> dict[JobState, int]:
    query = select(jobs.c.state, func.count()).group_by(jobs.c.state)
    found = {JobState(state): count for state, count in connection.execute(query)}
    return dict.fromkeys(JobState, 0) | found


def runnable(connection: Connection, now: dt.datetime) -> list[str]:
    states = [JobState.PREPARING.value, JobState.RUNNING.value]
    query = select(jobs.c.job_id).where(jobs.c.state.in_(states), jobs.c.start_at <= now)
    return list(connection.execute(query.order_by(jobs.c.id)).scalars())


def count_items(
    connection: Connection, job_id: int, *conditions: ColumnElement[bool]
) -> dict[ItemStatus, int]:
    """By status, zeros included."""
    query = (
        select(job_items.c.status, func.count())
        .where(job_items.c.job_id == job_id, *conditions)
        .group_by(job_items.c.status)
    )
    found = {ItemStatus(status): count for status, count in connection.execute(query)}
    return dict.fromkeys(ItemStatus, 0) | found


def new_errors(
    connection: Connection, job_id: int, *conditions: ColumnElement[bool]
) -> dict[str, int]:
    """What the failed ones failed with this time, the most frequent first."""
    count = func.count()
    query = (
        select(replays.c.error, count)
        .join(job_items, job_items.c.replay_id == replays.c.replay_id)
        .where(job_items.c.job_id == job_id, job_items.c.status == ItemStatus.FAILED.value)
        .where(replays.c.error.is_not(None), *conditions)
        .group_by(replays.c.error)
        .order_by(count.desc(), replays.c.error)
        .limit(SHOWN_ERRORS)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def _row(connection: Connection, job_id: str) -> RowMapping:
    row = connection.execute(select(*jobs.c).where(jobs.c.job_id == job_id)).mappings().first()
    if row is None:
        raise NotFound(f"There is no job {job_id!r}. GET /dlq/jobs lists them.")
    return row


def _job_of(connection: Connection, row: RowMapping, now: dt.datetime) -> Job:
    options = JobOptions.model_validate_json(row["options"])
    ids = tuple(json.loads(row["chosen_ids"])) if row["chosen_ids"] else ()
    size = options.canary_of(row["total"])
    canary = None
    if size:
        canary_counts = count_items(connection, row["id"], job_items.c.canary)
        canary = Canary(size, row["canary_passed"], canary_counts)
    return Job(
        job_id=row["job_id"],
        state=JobState(row["state"]),
        actor=row["actor"],
        choice=Choice(where=row["choice"] or None, message_ids=ids),
        options=options,
        repeat_of=row["repeat_of"],
        created_at=row["created_at"],
        start_at=row["start_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        stop_reason=row["stop_reason"],
        waiting_for=_waiting_for(row, now),
        total=row["total"],
        counts=count_items(connection, row["id"]),
        canary=canary,
        skipped_because=_reasons(connection, row["id"]),
        new_errors=new_errors(connection, row["id"]),
        rate_per_s=_rate_per_s(connection, row, now),
        unknown_ids=tuple(json.loads(row["unknown_ids"])),
    )


def _waiting_for(row: RowMapping, now: dt.datetime) -> str | None:
    if row["state"] in (JobState.RUNNING, JobState.PREPARING) and row["start_at"] > now:
        return f"its start at {row['start_at']:%Y-%m-%d %H:%M:%S} UTC"
    return row["waiting_for"] if row["state"] == JobState.RUNNING else None


def _reasons(connection: Connection, job_id: int) -> dict[str, int]:
    count = func.count()
    query = (
        select(job_items.c.reason, count)
        .where(job_items.c.job_id == job_id)
        .where(job_items.c.status.in_([ItemStatus.SKIPPED.value, ItemStatus.REFUSED.value]))
        .group_by(job_items.c.reason)
        .order_by(count.desc())
        .limit(SHOWN_ERRORS)
    )
    return {reason or "": count for reason, count in connection.execute(query)}


def _rate_per_s(connection: Connection, row: RowMapping, now: dt.datetime) -> float:
    """Replays that came back in the last half minute, or since the job began."""
    if row["started_at"] is None or row["state"] != JobState.RUNNING:
        return 0.0
    since = max(row["started_at"], now - RATE_WINDOW)
    query = (
        select(func.count())
        .select_from(job_items)
        .where(job_items.c.job_id == row["id"], job_items.c.done_at > since)
    )
    seconds = max((now - since).total_seconds(), 1.0)
    return float(connection.execute(query).scalar_one() / seconds)


# --- steering ----------------------------------------------------------------------------


def pause(connection: Connection, job_id: str, now: dt.datetime) -> Job:
    """Raises: NotFound; IllegalTransition."""
    row = _locked(connection, job_id)
    if JobState(row["state"]) not in LIVE:
        raise _over(row, "paused")
    set_state(connection, row["id"], JobState.PAUSED)
    return get(connection, job_id, now)


def resume(connection: Connection, job_id: str, now: dt.datetime) -> Job:
    """Raises: NotFound; IllegalTransition."""
    row = _locked(connection, job_id)
    state = JobState(row["state"])
    if state not in LIVE:
        raise _over(row, "resumed")
    if state is not JobState.PAUSED:
        raise IllegalTransition(f"Job {job_id} is {state}; only a paused job can be resumed.")
    # Whatever was read of keys before the pause is read from there on.
    options = JobOptions.model_validate_json(row["options"])
    keyed = bool(options.ordered_by or options.skip_superseded)
    state = JobState.PREPARING if keyed else JobState.RUNNING
    set_state(connection, row["id"], state, canary_seen_at=None)
    return get(connection, job_id, now)


def cancel(connection: Connection, job_id: str, *, actor: str, now: dt.datetime) -> Job:
    """Raises: NotFound; IllegalTransition."""
    row = _locked(connection, job_id)
    if JobState(row["state"]) not in LIVE:
        raise _over(row, "cancelled")
    end(connection, row["id"], JobState.CANCELLED, f"cancelled by {actor}", now)
    return get(connection, job_id, now)


def end(
    connection: Connection, row_id: int, state: JobState, reason: str | None, now: dt.datetime
) -> None:
    """The job is over; what still waits is given up."""
    connection.execute(
        update(job_items)
        .where(job_items.c.job_id == row_id, job_items.c.status == ItemStatus.WAITING.value)
        .values(status=ItemStatus.CANCELLED.value)
    )
    set_state(connection, row_id, state, finished_at=now, stop_reason=reason)


def set_state(connection: Connection, row_id: int, state: JobState, **values: Any) -> None:
    connection.execute(
        update(jobs)
        .where(jobs.c.id == row_id)
        .values(state=state.value, waiting_for=None, **values)
    )


def _locked(connection: Connection, job_id: str) -> RowMapping:
    _row(connection, job_id)
    query = select(*jobs.c).where(jobs.c.job_id == job_id).with_for_update()
    return connection.execute(query).mappings().one()


def _over(row: RowMapping, what: str) -> IllegalTransition:
    return IllegalTransition(
        f"Job {row['job_id']} is {row['state']} and cannot be {what}. To do it again: "
        f"POST /dlq/jobs/{row['job_id']}/repeat, or dlq jobs repeat {row['job_id']}."
    )
