"""What arrives, into rows: new ones in bulk, answers to replays one by one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from dlq.ledger.base import Arrival, Disposition, Ingested
from dlq.ledger.bulk import insert_rows
from dlq.ledger.entries import index_words, reindexing
from dlq.ledger.envelope import digest_of
from dlq.ledger.filing import Filing
from dlq.ledger.moves import ARRIVAL_ACTOR, Locked, lock_many
from dlq.ledger.outcomes import Failure, by_provider, close
from dlq.ledger.rules import ReplayRules
from dlq.ledger.schema import dead_letters
from dlq.ledger.tally import tally_of
from dlq.ledger.word_index import Entry
from dlq.payload import clean_text
from dlq.states import Outcome, State

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
    filing = Filing(connection, [arrivals[index] for index in first.values()], now)
    words = {index: filing.words(arrivals[index]) for index in first.values()}
    inserted = insert_rows(
        connection,
        dead_letters,
        [_new_row(arrivals[i], filing, now) for i in first.values()],
        unless_known=dead_letters.c.message_id,
        returning=(
            dead_letters.c.id,
            dead_letters.c.message_id,
            dead_letters.c.cause_id,
            dead_letters.c.service_id,
            dead_letters.c.failed_at,
        ),
    )
    row_ids = {row.message_id: row.id for row in inserted}
    new = {first[message_id]: row_id for message_id, row_id in row_ids.items()}
    entries = [Entry(row_id, words[index]) for index, row_id in new.items()]
    index_words(connection, sorted(entries, key=lambda entry: entry.row_id))
    tally = tally_of(connection)
    for row in inserted:
        tally.moved(row, None, State.PENDING)
    filing.count(arrivals[index] for index in new)
    return {
        index: Ingested(
            message_id,
            Disposition.STORED,
            None if arrivals[index].had_id else row_ids[message_id],
        )
        for message_id, index in first.items()
        if message_id in row_ids
    }


def _new_row(arrival: Arrival, filing: Filing, now: dt.datetime) -> dict[str, Any]:
    message_id = _id_of(arrival)
    return {
        "message_id": message_id,
        "state": State.PENDING.value,
        "ingested_at": now,
        "replay_count": 0,
        "failed_count": 0,
        "edit_count": 0,
        "form": arrival.form.value,
        "digest": None if arrival.had_id else digest_of(arrival.wire),
        "unsettled_until": None if arrival.had_id else now + UNSETTLED_FOR,
        **filing.facts(arrival),
        **filing.packed(arrival, message_id),
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
            actor=ARRIVAL_ACTOR,
            reason="came back: nobody took it from the retry queue in time",
            at=now,
            rules=rules,
        )
        return Disposition.RETURNED
    if arrival.rejected:
        _close_failed(connection, row, arrival, arrival.message.error_message, now, rules)
        return Disposition.FAILED_AGAIN
    filing = Filing(connection, [arrival], now)
    newest = filing.facts(arrival) | filing.latest(arrival, row.message_id)
    with reindexing(connection, [row.id]):
        _close_failed(
            connection,
            row,
            arrival,
            arrival.title,
            now,
            rules,
            failure=Failure(arrival.category, arrival.message.retry_after_s),
            **newest,
        )
    filing.count([arrival])
    return Disposition.FAILED_AGAIN


def _close_failed(
    connection: Connection,
    row: Locked,
    arrival: Arrival,
    what: str,
    now: dt.datetime,
    rules: ReplayRules,
    **changes: Any,
) -> None:
    close(
        connection,
        row,
        Outcome.FAILED,
        actor=ARRIVAL_ACTOR,
        reason=f"failed again: {what}",
        at=now,
        rules=rules,
        worker=arrival.worker,
        error=arrival.message.error_message,
        **changes,
    )
