"""What is known of each provider: its bucket, how far it is slowed down, its circuit.

Whoever sends to a provider locks its row first, so that all managers share one pace.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, RowMapping, func, or_, select, update

from dlq.circuit import PROVIDER_FAULTS, Circuit, CircuitRules, CircuitState
from dlq.ledger.books import Provider
from dlq.ledger.bulk import insert_rows
from dlq.ledger.schema import dead_letters, providers, replays, spelled
from dlq.message import shorten_utf8
from dlq.pace import DECREASE_GAP, FRESH_FOR, MAX_HOLD, Limits, share_at, slowed_share
from dlq.payload import clean_text
from dlq.states import State

ERROR_CHARS = 500
UNTOUCHED: dict[str, Any] = {
    "share": 1.0,
    "circuit": CircuitState.CLOSED.value,
    "failures": 0,
    "opened_count": 0,
}


def lock(connection: Connection, name: str) -> dict[str, Any]:
    """The provider's row, made if need be, that nobody else can change until this
    transaction ends."""
    query = select(*providers.c).where(providers.c.name == name).with_for_update()
    row = connection.execute(query).mappings().first()
    if row is None:
        insert_rows(
            connection, providers, [{"name": name} | UNTOUCHED], unless_known=providers.c.name
        )
        row = connection.execute(query).mappings().one()
    return _by_name(row)


def _by_name(row: RowMapping) -> dict[str, Any]:
    return {column.name: row[column] for column in providers.c}


def change(connection: Connection, name: str, **values: Any) -> None:
    connection.execute(update(providers).where(providers.c.name == name).values(**values))


def circuit_of(row: Mapping[str, Any]) -> Circuit:
    return Circuit(
        CircuitState(row["circuit"]),
        row["failures"],
        row["opened_count"],
        row["opened_at"],
        row["probe_at"],
    )


def columns_of(circuit: Circuit) -> dict[str, Any]:
    return {
        "circuit": circuit.state.value,
        "failures": circuit.failures,
        "opened_count": circuit.opened_count,
        "opened_at": circuit.opened_at,
        "probe_at": circuit.probe_at,
    }


# --- what replays tell -------------------------------------------------------------------


def note_success(connection: Connection, name: str, category: str, at: dt.datetime) -> None:
    """A replay came right. That of an `auth` failure proves that the credentials are mended."""
    connection.execute(
        update(providers)
        .where(providers.c.name == name)
        .where(or_(providers.c.failures > 0, providers.c.circuit != CircuitState.CLOSED.value))
        .values(**columns_of(Circuit()), last_error=None)
    )
    if category == "auth":
        lock(connection, name)
        change(connection, name, mended_at=at, mended_by="a replay that came right")


def note_failure(
    connection: Connection,
    name: str,
    category: str,
    *,
    error: str,
    retry_after_s: float | None,
    at: dt.datetime,
    rules: CircuitRules,
) -> None:
    """A replay failed, with that new category."""
    if category == "rate_limit":
        slow_down(connection, name, at=at, retry_after_s=retry_after_s, now=at)
    elif category in PROVIDER_FAULTS:
        circuit = circuit_of(lock(connection, name)).failed(rules, at)
        change(connection, name, **columns_of(circuit), last_error=error[:ERROR_CHARS])
    else:
        _note_answer(connection, name)


def _note_answer(connection: Connection, name: str) -> None:
    """It answered, if not as hoped: this ends a row of failures, and a probe that learns it
    closes the circuit."""
    connection.execute(
        update(providers)
        .where(providers.c.name == name, providers.c.circuit != CircuitState.OPEN.value)
        .where(providers.c.failures > 0)
        .values(**columns_of(Circuit()), last_error=None)
    )


def slow_down(
    connection: Connection,
    name: str,
    *,
    at: dt.datetime,
    retry_after_s: float | None,
    now: dt.datetime,
) -> None:
    row = lock(connection, name)
    values: dict[str, Any] = {}
    if retry_after_s is not None and retry_after_s > 0:
        until = min(at, now) + min(dt.timedelta(seconds=min(retry_after_s, 1e9)), MAX_HOLD)
        if until > max(row["hold_until"] or now, now):
            values["hold_until"] = until
    slowed_at = row["slowed_at"]
    # What was refused long ago, or was sent before the last slowing, says nothing new.
    if now - at < FRESH_FOR and (slowed_at is None or at - slowed_at >= DECREASE_GAP):
        values["share"] = slowed_share(share_at(row["share"], slowed_at, now))
        values["slowed_at"] = now
    if values:
        change(connection, name, **values)


def spend(
    connection: Connection, name: str, count: int, *, limits: Limits, now: dt.datetime
) -> None:
    row = lock(connection, name)
    limit = limits.of(name).shared(share_at(row["share"], row["slowed_at"], now))
    change(connection, name, next_at=limit.spend(row["next_at"], now, count))


def mend(connection: Connection, name: str, *, actor: str, now: dt.datetime) -> Provider:
    lock(connection, name)
    change(
        connection,
        name,
        mended_at=now,
        mended_by=actor,
        hold_until=None,
        slowed_at=None,
        last_error=None,
        **columns_of(Circuit()),
        share=1.0,
    )
    return get(connection, name, now)


# --- what is shown -----------------------------------------------------------------------


def listed(connection: Connection, now: dt.datetime) -> list[Provider]:
    """Those that anything is known of, or that something is scheduled or waits for."""
    rows = [_by_name(row) for row in connection.execute(select(*providers.c)).mappings()]
    known = {row["name"]: row for row in rows}
    scheduled = _scheduled(connection)
    waiting = _waiting(connection)
    on_its_way = _on_its_way(connection)
    names = sorted({*known, *scheduled, *waiting, *on_its_way})
    return [
        _provider_of(
            name,
            known.get(name, UNTOUCHED),
            now,
            scheduled_count=scheduled.get(name, (0, None))[0],
            next_replay_at=scheduled.get(name, (0, None))[1],
            waiting_count=waiting.get(name, 0),
            on_its_way_count=on_its_way.get(name, 0),
        )
        for name in names
    ]


def get(connection: Connection, name: str, now: dt.datetime) -> Provider:
    wanted = shorten_utf8(clean_text(name), 255)
    found = (provider for provider in listed(connection, now) if provider.name == wanted)
    return next(found, None) or _provider_of(wanted, UNTOUCHED, now)


def _provider_of(name: str, row: Mapping[str, Any], now: dt.datetime, **counts: Any) -> Provider:
    full: dict[str, Any] = dict.fromkeys(column.name for column in providers.c)
    full |= row
    hold_until = full["hold_until"]
    return Provider(
        name=name,
        share=share_at(full["share"], full["slowed_at"], now),
        hold_until=hold_until if hold_until and hold_until > now else None,
        circuit=circuit_of(full),
        last_error=full["last_error"],
        mended_at=full["mended_at"],
        mended_by=full["mended_by"],
        **counts,
    )


def _scheduled(connection: Connection) -> dict[str, tuple[int, dt.datetime]]:
    letters = dead_letters.c
    query = (
        select(letters.error_type, func.count(), func.min(letters.next_replay_at))
        .where(spelled(letters.state, State.SCHEDULED))
        .group_by(letters.error_type)
    )
    return {name: (count, first) for name, count, first in connection.execute(query)}


def _waiting(connection: Connection) -> dict[str, int]:
    letters = dead_letters.c
    query = (
        select(letters.error_type, func.count())
        .where(spelled(letters.plan, "wait"))
        .group_by(letters.error_type)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def _on_its_way(connection: Connection) -> dict[str, int]:
    query = (
        select(replays.c.error_type, func.count())
        .where(replays.c.outcome.is_(None))
        .group_by(replays.c.error_type)
    )
    return {row[0]: row[1] for row in connection.execute(query)}
