"""What a job replays: chosen by a filter or by ids, fixed when the job is made."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, false, func, insert, literal, select, update

from dlq.errors import InvalidInput
from dlq.job import Choice, ItemStatus, JobOptions, JobState, NewJob, Preview
from dlq.ledger.base import DeadLetter
from dlq.ledger.conditions import conditions
from dlq.ledger.queries import newest_id
from dlq.ledger.schema import (
    DELETED,
    cause_groups,
    causes,
    dead_letters,
    in_dlq,
    job_items,
    jobs,
)
from dlq.message import new_message_id
from dlq.payload import clean_text
from dlq.query import Filter, parse
from dlq.states import IN_DLQ

IDS_AT_ONCE = 5000
SHOWN_IDS = 100
SHOWN_CAUSES = 20


def create(
    connection: Connection, new: NewJob, *, now: dt.datetime, found: Sequence[int] | None = None
) -> str:
    """Args: found: the rows that the filter was found to mean, where the database alone cannot
    tell; those are taken that are still in the DLQ.
    Returns: the id of the new job. Raises: InvalidInput."""
    chosen = list(_chosen(connection, new.choice, now, found))
    public_id = new_message_id()
    keyed = bool(new.options.ordered_by or new.options.skip_superseded)
    job_id: int = connection.execute(
        insert(jobs)
        .values(
            job_id=public_id,
            state=(JobState.PREPARING if keyed else JobState.RUNNING).value,
            actor=new.actor,
            choice=new.choice.where or "",
            chosen_ids=json.dumps(new.choice.message_ids) if new.choice.message_ids else None,
            unknown_ids=json.dumps(_unknown(connection, new.choice.message_ids)[:SHOWN_IDS]),
            options=new.options.model_dump_json(),
            repeat_of=new.repeat_of,
            created_at=now,
            start_at=max(new.start_at or now, now),
            total=0,
            canary_passed=False,
            keyed_to=0,
        )
        .returning(jobs.c.id)
    ).scalar_one()
    up_to = newest_id(connection)
    for condition in chosen:
        _insert_items(connection, job_id, condition, up_to, new.options.limit)
    total = _cut(connection, job_id, new.options.limit)
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(total=total))
    _choose_canary(connection, job_id, new.options, new.options.canary_of(total))
    return public_id


def preview(
    connection: Connection, choice: Choice, *, limit: int | None, now: dt.datetime
) -> Preview:
    """Raises: InvalidInput."""
    conditions_of_parts = list(_chosen(connection, choice, now, None))
    ids = [
        select(dead_letters.c.id).where(*condition, dead_letters.c.state != DELETED)
        for condition in conditions_of_parts
    ]
    chosen = ids[0].union_all(*ids[1:]).subquery("chosen")
    first = select(chosen.c.id).order_by(chosen.c.id).limit(limit)
    among = dead_letters.c.id.in_(first)
    letters = dead_letters.c
    count = func.count()
    by_type = connection.execute(
        select(letters.error_type, count).where(among).group_by(letters.error_type)
    )
    by_state = connection.execute(select(letters.state, count).where(among).group_by(letters.state))
    category = func.coalesce(cause_groups.c.category, causes.c.category)
    by_cause = connection.execute(
        select(cause_groups.c.fingerprint, func.min(causes.c.title), category, count)
        .select_from(dead_letters)
        .join(causes, causes.c.id == letters.cause_id)
        .join(cause_groups, cause_groups.c.id == causes.c.group_id)
        .where(among)
        .group_by(cause_groups.c.fingerprint, category)
        .order_by(count.desc())
        .limit(SHOWN_CAUSES)
    )
    shown = select(letters.message_id).where(among).order_by(letters.id).limit(SHOWN_IDS)
    by_error_type = _largest_first({row[0]: row[1] for row in by_type})
    return Preview(
        total=sum(by_error_type.values()),
        by_error_type=by_error_type,
        by_state=_largest_first({row[0]: row[1] for row in by_state}),
        causes=tuple((f, t, c, n) for f, t, c, n in by_cause),
        message_ids=tuple(connection.execute(shown).scalars()),
        unknown_ids=tuple(_unknown(connection, choice.message_ids)[:SHOWN_IDS]),
    )


def preview_of(letters: Iterable[DeadLetter], *, limit: int | None) -> Preview:
    """The same of dead letters that were read and compared one by one."""
    by_type: Counter[str] = Counter()
    by_state: Counter[str] = Counter()
    by_cause: Counter[tuple[str, str, str]] = Counter()
    ids: list[str] = []
    for letter in itertools.islice(letters, limit):
        by_type[letter.message.error_type] += 1
        by_state[letter.state.value] += 1
        by_cause[letter.group, letter.title, letter.category] += 1
        if len(ids) < SHOWN_IDS:
            ids.append(letter.message.message_id)
    return Preview(
        total=by_type.total(),
        by_error_type=dict(by_type.most_common()),
        by_state=dict(by_state.most_common()),
        causes=tuple((*cause, count) for cause, count in by_cause.most_common(SHOWN_CAUSES)),
        message_ids=tuple(ids),
        unknown_ids=(),
    )


def replayable(choice: Choice) -> Filter | None:
    """The filter of a choice; None: by ids. Raises: InvalidInput."""
    if choice.where is None:
        return None
    where = parse(choice.where)
    if not where.states or not set(where.states) <= set(IN_DLQ):
        raise InvalidInput(
            "Only what is pending, scheduled or parked can be replayed; the filter "
            f"{choice.where!r} allows the states: {', '.join(where.states) or 'none'}."
        )
    return where


def _largest_first(counts: dict[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _chosen(
    connection: Connection, choice: Choice, now: dt.datetime, found: Sequence[int] | None
) -> Iterator[list[ColumnElement[bool]]]:
    """Conditions, several if there are many ids: no dead letter meets two of them.

    Raises: InvalidInput.
    """
    if found is not None:
        yield [false()]
        for start in range(0, len(found), IDS_AT_ONCE):
            part = found[start : start + IDS_AT_ONCE]
            yield [in_dlq(), dead_letters.c.id.in_(part)]
        return
    if (where := replayable(choice)) is not None:
        yield conditions(connection, where, now)
        return
    ids = list(dict.fromkeys(clean_text(message_id) for message_id in choice.message_ids))
    for start in range(0, len(ids), IDS_AT_ONCE):
        yield [dead_letters.c.message_id.in_(ids[start : start + IDS_AT_ONCE])]


def _insert_items(
    connection: Connection,
    job_id: int,
    condition: Collection[ColumnElement[bool]],
    up_to: int,
    limit: int | None,
) -> None:
    """The oldest of them, at most `limit`."""
    letters = dead_letters.c
    columns = {
        "job_id": literal(job_id),
        "dead_letter_id": letters.id,
        "error_type": letters.error_type,
        "failed_at": letters.failed_at,
        "status": literal(ItemStatus.WAITING.value),
        "canary": literal(False),
        "refusals": literal(0),
    }
    chosen = select(*columns.values()).where(
        *condition, letters.state != DELETED, letters.id <= up_to
    )
    if limit is not None:
        chosen = chosen.order_by(letters.id).limit(limit)
    connection.execute(insert(job_items).from_select(list(columns), chosen))


def _cut(connection: Connection, job_id: int, limit: int | None) -> int:
    """Keep the oldest `limit` items of all parts. Returns: how many there are."""
    mine = job_items.c.job_id == job_id
    if limit is not None:
        keys = select(job_items.c.dead_letter_id).where(mine).order_by(job_items.c.dead_letter_id)
        last = connection.execute(keys.offset(limit - 1).limit(1)).scalar()
        if last is not None:
            connection.execute(job_items.delete().where(mine, job_items.c.dead_letter_id > last))
    return connection.execute(select(func.count()).select_from(job_items).where(mine)).scalar_one()


def _choose_canary(connection: Connection, job_id: int, options: JobOptions, size: int) -> None:
    """One of each cause, then the second of each …: a canary of one cause tells nothing of
    the others. With an order it is the first ones, since later ones would have to wait."""
    if size == 0:
        return
    item, letter = job_items.c, dead_letters.c
    rank: ColumnElement[Any] = literal(0)
    if options.ordered_by is None:
        rank = func.row_number().over(partition_by=letter.cause_id, order_by=letter.id)
    ranked = (
        select(item.dead_letter_id, rank.label("rank"))
        .join(dead_letters, letter.id == item.dead_letter_id)
        .where(item.job_id == job_id)
        .subquery("ranked")
    )
    first = select(ranked.c.dead_letter_id).order_by(ranked.c.rank, ranked.c.dead_letter_id)
    connection.execute(
        update(job_items)
        .where(item.job_id == job_id, item.dead_letter_id.in_(first.limit(size)))
        .values(canary=True)
    )


def _unknown(connection: Connection, message_ids: Sequence[str]) -> list[str]:
    ids = list(dict.fromkeys(clean_text(message_id) for message_id in message_ids))
    known: set[str] = set()
    for start in range(0, len(ids), IDS_AT_ONCE):
        part = ids[start : start + IDS_AT_ONCE]
        query = select(dead_letters.c.message_id).where(
            dead_letters.c.message_id.in_(part), dead_letters.c.state != DELETED
        )
        known.update(connection.execute(query).scalars())
    return [message_id for message_id in ids if message_id not in known]
