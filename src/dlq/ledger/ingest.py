"""What arrives, into rows: new ones in bulk, answers to replays one by one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from dlq.ledger.base import Arrival, Disposition, HistoryEntry, Ingested
from dlq.ledger.bulk import insert_rows
from dlq.ledger.envelope import digest_of, write_envelope
from dlq.ledger.moves import Locked, lock_many, note
from dlq.ledger.outcomes import Failure, by_provider, close
from dlq.ledger.rules import ReplayRules
from dlq.ledger.schema import dead_letters
from dlq.payload import clean_text
from dlq.query import searchable
from dlq.states import Outcome, State

ACTOR = "ingest"
UNSETTLED_FOR = dt.timedelta(hours=1)
"""How long a redelivery of a message without id is recognised. The broker takes an ack in
seconds or delivers again within its consumer timeout, half an hour."""


def ingest(
    connection: Connection, arrivals: Sequence[Arrival], *, rules: ReplayRules
) -> list[Ingested]:
    """One entry per arrival, in order."""
    now = dt.datetime.now(dt.UTC)
    results = _recognise(connection, arrivals, now)
    results |= _store(connection, arrivals, results, now)
    results |= _meet_again(connection, arrivals, results, now, rules)
    return [results[index] for index in range(len(arrivals))]


def settle(connection: Connection, rows: Sequence[int]) -> None:
    connection.execute(
        update(dead_letters)
        .where(dead_letters.c.id.in_(rows))
        .values(digest=None, unsettled_until=None)
    )


# --- messages without id, delivered again ------------------------------------------------


def _recognise(
    connection: Connection, arrivals: Sequence[Arrival], now: dt.datetime
) -> dict[int, Ingested]:
    """Redelivered messages without id that were committed before their ack was taken.

    Each takes one mark: of two equal messages, each is recognised once, and a third is new.
    """
    digests = {
        index: digest_of(arrival.wire)
        for index, arrival in enumerate(arrivals)
        if arrival.redelivered and not arrival.had_id
    }
    if not digests:
        return {}
    query = (
        select(dead_letters.c.id, dead_letters.c.message_id, dead_letters.c.digest)
        .where(dead_letters.c.digest.in_(set(digests.values())))
        .where(dead_letters.c.unsettled_until > now)
        .order_by(dead_letters.c.id.desc())
        .with_for_update()
    )
    marks: dict[str, list[tuple[int, str]]] = {}
    for row_id, message_id, digest in connection.execute(query):
        marks.setdefault(digest, []).append((row_id, message_id))
    taken: list[int] = []
    recognised: dict[int, Ingested] = {}
    for index, digest in digests.items():
        if marks.get(digest):
            row_id, message_id = marks[digest].pop()
            taken.append(row_id)
            recognised[index] = Ingested(message_id, Disposition.REDELIVERED)
    if taken:
        settle(connection, taken)
    return recognised


# --- new ones ----------------------------------------------------------------------------


def _store(
    connection: Connection,
    arrivals: Sequence[Arrival],
    done: dict[int, Ingested],
    now: dt.datetime,
) -> dict[int, Ingested]:
    """Insert the first of each message_id; the database leaves out those it knows."""
    first: dict[str, int] = {}
    for index, arrival in enumerate(arrivals):
        if index not in done:
            first.setdefault(_id_of(arrival), index)
    if not first:
        return {}
    inserted = insert_rows(
        connection,
        dead_letters,
        [_new_row(arrivals[index], now) for index in first.values()],
        unless_known=dead_letters.c.message_id,
        returning=(dead_letters.c.id, dead_letters.c.message_id),
    )
    row_ids = {row.message_id: row.id for row in inserted}
    if row_ids:
        entry = HistoryEntry(now, ACTOR, None, State.PENDING, "arrived", None)
        note(connection, [(row_id, entry) for row_id in row_ids.values()])
    return {
        index: Ingested(
            message_id,
            Disposition.STORED,
            None if arrivals[index].had_id else row_ids[message_id],
        )
        for message_id, index in first.items()
        if message_id in row_ids
    }


def _new_row(arrival: Arrival, now: dt.datetime) -> dict[str, Any]:
    return {
        "message_id": _id_of(arrival),
        "state": State.PENDING.value,
        "ingested_at": now,
        "updated_at": now,
        "replay_count": 0,
        "failed_count": 0,
        "edit_count": 0,
        "form": arrival.form.value,
        "digest": None if arrival.had_id else digest_of(arrival.wire),
        "unsettled_until": None if arrival.had_id else now + UNSETTLED_FOR,
        "envelope": write_envelope(arrival.wire),
        "body": arrival.wire.body,
        **_facts(arrival),
    }


def _facts(arrival: Arrival) -> dict[str, Any]:
    """What can be asked for, from the newest failure."""
    return {
        "error_type": arrival.message.error_type,
        "category": arrival.category,
        "fingerprint": arrival.fingerprint,
        "title": arrival.title,
        "source_service": arrival.message.source_service,
        "failed_at": arrival.message.failed_at or arrival.message.timestamp,
        "retry_after_s": arrival.message.retry_after_s,
        "search_text": searchable(arrival.message, arrival.title),
    }


def _id_of(arrival: Arrival) -> str:
    return clean_text(arrival.message.message_id)  # as the column holds it


# --- known ones --------------------------------------------------------------------------


def _meet_again(
    connection: Connection,
    arrivals: Sequence[Arrival],
    done: dict[int, Ingested],
    now: dt.datetime,
    rules: ReplayRules,
) -> dict[int, Ingested]:
    """The rest has a known id: it answers an open replay, or it is a duplicate."""
    rest = {i: arrival for i, arrival in enumerate(arrivals) if i not in done}
    answering = {_id_of(a) for a in rest.values() if a.returned or a.replay_id is not None}
    rows = lock_many(connection, answering) if answering else {}
    results = {}
    order = list(rest)
    for place in by_provider([rows.get(_id_of(rest[index])) for index in order]):
        index, arrival = order[place], rest[order[place]]
        row = rows.get(_id_of(arrival))
        disposition = Disposition.DUPLICATE
        if row is not None and _answers(arrival, row):
            disposition = _answer(connection, arrival, row, now, rules)
        results[index] = Ingested(_id_of(arrival), disposition)
    return results


def _answers(arrival: Arrival, row: Locked) -> bool:
    if row.open_replay_id is None:
        return False
    return arrival.replay_id == row.open_replay_id or (
        arrival.returned and arrival.replay_id is None
    )


def _answer(
    connection: Connection, arrival: Arrival, row: Locked, now: dt.datetime, rules: ReplayRules
) -> Disposition:
    if arrival.returned:
        close(
            connection,
            row,
            Outcome.RETURNED,
            actor=ACTOR,
            reason="came back: nobody took it from the retry queue in time",
            at=now,
            rules=rules,
        )
        return Disposition.RETURNED
    what = arrival.message.error_message if arrival.rejected else arrival.title
    close(
        connection,
        row,
        Outcome.FAILED,
        actor=ACTOR,
        reason=f"failed again: {what}",
        at=now,
        rules=rules,
        worker=arrival.worker,
        error=arrival.message.error_message,
        failure=None
        if arrival.rejected
        else Failure(arrival.category, arrival.message.retry_after_s),
        **({} if arrival.rejected else _newest(arrival)),
    )
    return Disposition.FAILED_AGAIN


def _newest(arrival: Arrival) -> dict[str, Any]:
    """The newest failure report, which is shown from now on."""
    return {
        "latest_envelope": write_envelope(arrival.wire),
        "latest_body": arrival.wire.body,
        **_facts(arrival),
    }
