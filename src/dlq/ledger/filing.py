"""Where arrivals are filed: under which cause, service and shape, packed with which dictionary."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, select

from dlq.ledger import groups
from dlq.ledger.base import Arrival
from dlq.ledger.bulk import insert_rows
from dlq.ledger.causes import resolve, wanted_of
from dlq.ledger.columns import Name
from dlq.ledger.entries import own_words
from dlq.ledger.packing import (
    Shape,
    archive_of,
    newest_dictionary,
    resolve_shapes,
    split_trace,
)
from dlq.ledger.schema import services
from dlq.ledger.tally import tally_of
from dlq.message import shorten_utf8
from dlq.payload import clean_text

RELEASE = "release"
"""The key of metadata that names the release of the failing code."""


class Filing:
    """Of some arrivals, all found or made in a few statements."""

    def __init__(
        self, connection: Connection, arrivals: Sequence[Arrival], now: dt.datetime
    ) -> None:
        self._connection = connection
        self._dictionary = newest_dictionary(connection)
        wanted = {id(arrival): wanted_of(arrival) for arrival in arrivals}
        by_identity = {one.identity: one for one in wanted.values()}
        found = resolve(connection, by_identity, now)
        self._causes = {key: found[one.identity] for key, one in wanted.items()}
        self._services = service_ids(connection, (a.message.source_service for a in arrivals))
        self._traces = {id(a): split_trace(a.message.stack_trace or "") for a in arrivals}
        self._shapes = resolve_shapes(
            connection, {frames for frames, _ in self._traces.values() if frames}
        )

    def facts(self, arrival: Arrival) -> dict[str, Any]:
        """Columns that tell of the newest failure."""
        message = arrival.message
        return {
            "error_type": message.error_type,
            "cause_id": self._causes[id(arrival)].id,
            "service_id": self._services[service_name(message.source_service)],
            "failed_at": failed_at(arrival),
            "retry_count": message.retry_count,
            "retry_after_s": message.retry_after_s,
        }

    def packed(self, arrival: Arrival, message_id: str) -> dict[str, Any]:
        """The columns of the original message."""
        shape = self._shape(arrival)
        return {
            "shape_id": None if shape is None else shape.id,
            "wire": self._pack(arrival, message_id, shape),
        }

    def latest(self, arrival: Arrival, message_id: str) -> dict[str, Any]:
        """The column of a newer failure's message. Its trace is another one, so that the row's
        shape is none for it."""
        return {"latest_wire": self._pack(arrival, message_id, None)}

    def words(self, arrival: Arrival) -> frozenset[str]:
        """The words of the original message, for the index."""
        cause = self._causes[id(arrival)]
        rest = self._traces[id(arrival)][1]
        return own_words(arrival.message, cause, self._shape(arrival), rest)

    def count(self, arrivals: Iterable[Arrival]) -> None:
        """Note that these have failed, and whether their groups came back by it."""
        tally = tally_of(self._connection)
        newest: dict[int, dt.datetime] = {}
        releases: dict[int, set[str]] = {}
        for arrival in arrivals:
            cause_id = self._causes[id(arrival)].id
            at, release = failed_at(arrival), release_of(arrival)
            tally.failed(cause_id, at, release)
            newest[cause_id] = max(at, newest.get(cause_id, at))
            releases.setdefault(cause_id, set()).add(release or "")
        met = [
            groups.Met(cause_id, at, frozenset(releases[cause_id]))
            for cause_id, at in newest.items()
        ]
        if met:
            groups.met(self._connection, met)

    def _shape(self, arrival: Arrival) -> Shape | None:
        return self._shapes.get(self._traces[id(arrival)][0])

    def _pack(self, arrival: Arrival, message_id: str, shape: Shape | None) -> bytes:
        return archive_of(self._connection).pack(
            self._connection,
            arrival.wire,
            message_id=message_id,
            dictionary=self._dictionary,
            shape=None if shape is None else shape.id,
        )


def failed_at(arrival: Arrival) -> dt.datetime:
    return arrival.message.failed_at or arrival.message.timestamp


def release_of(arrival: Arrival) -> str | None:
    release = arrival.message.metadata.get(RELEASE)
    return release if isinstance(release, str) and release else None


def service_ids(connection: Connection, names: Iterable[str]) -> dict[str, int]:
    """By name as it is stored; made now if they are new."""
    wanted = {service_name(name) for name in names}
    found = _services_by(connection, wanted)
    if missing := sorted(wanted - set(found)):
        rows = [{"name": name} for name in missing]
        insert_rows(connection, services, rows, unless_known=services.c.name)
        found |= _services_by(connection, missing)
    return found


def service_name(name: str) -> str:
    return shorten_utf8(clean_text(name), Name.MAX_BYTES)


def _services_by(connection: Connection, names: Iterable[str]) -> dict[str, int]:
    query = select(services.c.name, services.c.id).where(services.c.name.in_(list(names)))
    return {row.name: row.id for row in connection.execute(query)}
