"""What is replayed by itself: what the retry policies decided, and what of it is due."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, bindparam, func, or_, select, update

from dlq.ledger.base import HistoryEntry
from dlq.ledger.books import Claim, Due, Planned
from dlq.ledger.bulk import insert_rows
from dlq.ledger.gate import Gate
from dlq.ledger.moves import Locked, lock_free, note
from dlq.ledger.replays import Order, begin
from dlq.ledger.rules import ReplayRules
from dlq.ledger.schema import (
    cause_groups,
    causes,
    dead_letters,
    policies,
    providers,
    replays,
    services,
    spelled,
    unplanned,
)
from dlq.ledger.tally import tally_of
from dlq.policy import Decision, Facts, Kind
from dlq.states import Outcome, State, check_move

ACTOR = "policy"
ADOPT_AT_ONCE = 2000
POLL_S = 0.5

_letters = dead_letters.c
_scheduled = spelled(_letters.state, State.SCHEDULED)
_waits = spelled(_letters.plan, "wait")
_closed_at = (
    select(func.max(replays.c.outcome_at))
    .where(replays.c.dead_letter_id == _letters.id)
    .scalar_subquery()
)
_FACTS = (
    select(
        *(
            _letters[name]
            for name in (
                "id",
                "message_id",
                "error_type",
                "failed_at",
                "retry_after_s",
                "failed_count",
                "last_outcome",
            )
        ),
        func.coalesce(cause_groups.c.category, causes.c.category).label("category"),
        causes.c.fingerprint.label("fingerprint"),
        services.c.name.label("source_service"),
        providers.c.mended_at,
        _closed_at.label("closed_at"),
    )
    .select_from(dead_letters)
    .join(causes, causes.c.id == _letters.cause_id)
    .join(cause_groups, cause_groups.c.id == causes.c.group_id)
    .join(services, services.c.id == _letters.service_id)
    .outerjoin(providers, providers.c.name == _letters.error_type)
)


# --- whose decisions count ---------------------------------------------------------------


def adopted(connection: Connection, digest: str, now: dt.datetime) -> bool:
    """Note whose decisions count. Returns: whether they are others than before."""
    before = connection.execute(select(policies.c.digest).with_for_update()).scalar()
    if before is None:
        row = {"id": 1, "digest": digest, "adopted_at": now}
        insert_rows(connection, policies, [row], unless_known=policies.c.id)
    elif before != digest:
        connection.execute(update(policies).values(digest=digest, adopted_at=now))
    return before != digest


def forget(connection: Connection, row_id: int) -> int | None:
    """Ask again about the next dead letters after this row.

    Returns: how far it came; None: there are no more.
    """
    ids = (
        select(_letters.id)
        .where(_letters.state.in_([State.PENDING.value, State.SCHEDULED.value]))
        .where(_letters.planned_at.is_not(None), _letters.id > row_id)
        .order_by(_letters.id)
        .limit(ADOPT_AT_ONCE)
        .with_for_update()
    )
    found: Sequence[int] = connection.execute(ids).scalars().all()
    if not found:
        return None
    connection.execute(
        update(dead_letters).where(_letters.id.in_(found)).values(planned_at=None, plan=None)
    )
    return found[-1]


def unschedule(connection: Connection, now: dt.datetime, limit: int) -> int:
    """Take what is scheduled off the schedule. Returns: how many."""
    ids = select(_letters.id).where(_scheduled).limit(limit)
    rows = lock_free(connection, _letters.id.in_(ids))
    for row in rows:
        values = {"plan": None, "plan_reason": None, "planned_at": None}
        _apply(connection, [_move(row, State.PENDING, now, "automatic retry is off", values)])
    return len(rows)


# --- decisions ---------------------------------------------------------------------------


def undecided(connection: Connection, limit: int) -> list[Due]:
    found = _facts(connection, _FACTS.where(unplanned()).order_by(_letters.id).limit(limit))
    if len(found) < limit:
        mended = _FACTS.where(_waits, _letters.planned_at < providers.c.mended_at)
        found += _facts(connection, mended.limit(limit - len(found)))
    return found


def plan(connection: Connection, planned: Sequence[Planned], now: dt.datetime) -> None:
    ids = [p.due.message_id for p in planned]
    rows = {row.message_id: row for row in lock_free(connection, _letters.message_id.in_(ids))}
    # Once they are locked: what was true before may have changed until then.
    current = {
        due.message_id: due.facts
        for due in _facts(connection, _FACTS.where(_letters.message_id.in_(rows)))
    }
    moves = []
    for one in planned:
        row = rows.get(one.due.message_id)
        unchanged = current.get(one.due.message_id) == one.due.facts
        if row is not None and unchanged and row.state in (State.PENDING, State.SCHEDULED):
            moves.append(_decided(row, one, now))
    _apply(connection, moves)


def _decided(row: Locked, planned: Planned, now: dt.datetime) -> dict[str, Any]:
    decision = planned.decision
    target = {Kind.REPLAY: State.SCHEDULED, Kind.PARK: State.PARKED}.get(
        decision.kind, State.PENDING
    )
    values = {
        "plan": decision.kind.value,
        "plan_reason": decision.why,
        "planned_at": now,
        "next_replay_at": decision.at,
    }
    return _move(row, target, now, _because(decision), values)


def _because(decision: Decision) -> str:
    """With the rule's name, once."""
    rule, why = decision.rule, decision.why
    return why if why.startswith(f"{rule}:") else f"{rule}: {why}"


def _move(
    row: Locked, target: State, now: dt.datetime, why: str, values: dict[str, Any]
) -> dict[str, Any]:
    """Parameters of one change, and the line it leaves in the history, if it is a move."""
    line = None
    if target is not row.state or target is State.SCHEDULED:
        if target is not row.state:
            check_move(row.message_id, row.state, target)
        line = HistoryEntry(now, ACTOR, row.state, target, why, None)
    return {
        "row": row,
        "line": line,
        "values": {"state": target.value, "updated_at": now, "next_replay_at": None, **values},
    }


def _apply(connection: Connection, moves: Sequence[dict[str, Any]]) -> None:
    if not moves:
        return
    names = list(moves[0]["values"])
    connection.execute(
        update(dead_letters)
        .where(_letters.id == bindparam("row_id"))
        .values({name: bindparam(f"new_{name}") for name in names}),
        [
            {"row_id": move["row"].id} | {f"new_{name}": move["values"][name] for name in names}
            for move in moves
        ],
    )
    tally = tally_of(connection)
    for move in moves:
        tally.moved(move["row"], move["row"].state, State(move["values"]["state"]))
    lines = [(move["row"].id, move["line"]) for move in moves if move["line"] is not None]
    if lines:
        note(connection, lines)


# --- what is due -------------------------------------------------------------------------


def due(connection: Connection, now: dt.datetime, *, limit: int) -> dict[str, list[Due]]:
    is_due = (_scheduled, _letters.next_replay_at <= now)
    names = connection.execute(select(_letters.error_type).where(*is_due).distinct()).scalars()
    return {
        name: _facts(
            connection,
            _FACTS.where(*is_due, _letters.error_type == name)
            .order_by(_letters.next_replay_at, _letters.id)
            .limit(limit),
        )
        for name in sorted(names)
    }


def claim(
    connection: Connection,
    provider: str,
    due: Sequence[tuple[Due, str]],
    *,
    rules: ReplayRules,
    now: dt.datetime,
) -> Claim:
    found = Claim()
    gate = Gate(connection, provider, rules, now)
    # Counted once the provider is locked: two managers must not fill one place.
    room = rules.concurrency - _on_their_way(connection, provider, rules, now)
    if room <= 0:
        found.blocked(f"the outcomes of replays of {provider}", POLL_S)
        return found
    wanted = min(room, gate.open_for(found), len(due))
    if not wanted:
        return found
    by_rule: dict[str, list[str]] = {}
    for one, rule in due[:wanted]:
        by_rule.setdefault(rule, []).append(one.message_id)
    for rule, ids in by_rule.items():
        still_due = _letters.message_id.in_(ids) & _scheduled & (_letters.next_replay_at <= now)
        rows = lock_free(connection, still_due)
        found.begun += begin(connection, rows, Order(ACTOR, rule=rule), now=now)
    if found.begun:
        gate.passed(len(found.begun))
        found.wait_s = 0.0
    return found


def _on_their_way(
    connection: Connection, provider: str, rules: ReplayRules, now: dt.datetime
) -> int:
    slot = dt.timedelta(seconds=rules.slot_s)
    query = (
        select(func.count())
        .select_from(replays)
        .where(replays.c.error_type == provider)
        .where(replays.c.outcome.is_(None), replays.c.rule.is_not(None))
        .where(or_(replays.c.started_at > now - slot, replays.c.confirmed_at > now - slot))
    )
    return connection.execute(query).scalar_one()


def _facts(connection: Connection, query: Select[Any]) -> list[Due]:
    return [_due_of(row) for row in connection.execute(query).mappings()]


def _due_of(row: RowMapping) -> Due:
    outcome = row[_letters.last_outcome]
    return Due(
        message_id=row[_letters.message_id],
        facts=Facts(
            error_type=row[_letters.error_type],
            category=row["category"],
            source_service=row["source_service"],
            fingerprint=row["fingerprint"],
            failed_at=row[_letters.failed_at],
            retry_after_s=row[_letters.retry_after_s],
            failed_count=row[_letters.failed_count],
            last_outcome=None if outcome is None else Outcome(outcome),
            mended_at=row[providers.c.mended_at],
            last_replay_at=row["closed_at"],
        ),
    )
