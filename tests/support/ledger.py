"""Ledgers on both databases, and arrivals to put into them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dlq.decode import decode
from dlq.ledger import ReplayRules, open_ledger
from dlq.ledger.base import Arrival, Ledger
from dlq.message import DLQMessage, WireMessage, encode
from dlq.outcome import OutcomeReport
from dlq.states import Outcome
from tests.support.postgres import PostgresCluster

RETRY_KEY = "spotify.enrichment.retry"
A_MOMENT = dt.timedelta(seconds=1)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest) -> str:
    """A database of either kind with the ledger's schema, and nothing in it."""
    url: str = request.getfixturevalue(f"{request.param}_ledger_url")
    return url


@pytest.fixture
def sqlite_ledger_url(_sqlite_template: Path, tmp_path: Path) -> str:
    path = tmp_path / "ledger.sqlite"
    shutil.copy(_sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgresql_ledger_url(postgres: PostgresCluster, _postgresql_template: str) -> Iterator[str]:
    url = postgres.fresh_database(like=_postgresql_template)
    yield url
    postgres.drop_database(url)


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "template.sqlite"
    open_ledger(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def _postgresql_template(postgres: PostgresCluster) -> str:
    url = postgres.fresh_database()
    open_ledger(url).close()
    return url


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    opened = open_ledger(ledger_url, rules=ReplayRules(replay_budget=3))
    yield opened
    opened.close()


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def a_message(message_id: str | None = None, **fields: Any) -> DLQMessage:
    failed_at = fields.pop("failed_at", now())
    given: dict[str, Any] = {
        "message_id": message_id or str(uuid.uuid4()),
        "routing_key": "spotify.enrichment.failed",
        "timestamp": failed_at.replace(microsecond=0),
        "failed_at": failed_at,
        "retry_count": 3,
        "error_type": "spotify",
        "error_message": "429 Too Many Requests",
        "stack_trace": "Traceback (most recent call last):\n  ...",
        "source_service": "api-enrichment-pipeline",
        "payload": {"track_id": "abc123", "artist_name": "Deadmau5"},
        "metadata": {"spider": "mixesdb"},
    }
    return DLQMessage(**given | fields)


def an_arrival(
    message_id: str | None = None,
    *,
    category: str = "rate_limit",
    fingerprint: str = "a" * 16,
    title: str = "HTTPError: 429",
    **fields: Any,
) -> Arrival:
    """A dead letter in our own form, as ingest hands it to the ledger."""
    wire = encode(a_message(message_id, **fields))
    return from_wire(wire, category=category, fingerprint=fingerprint, title=title)


def from_wire(
    wire: WireMessage,
    *,
    category: str = "unknown",
    fingerprint: str = "b" * 16,
    title: str = "a title",
    redelivered: bool = False,
) -> Arrival:
    decoded = decode(wire)
    return Arrival(
        wire=wire,
        message=decoded.message,
        form=decoded.form,
        had_id=decoded.had_id,
        redelivered=redelivered,
        category=category,
        fingerprint=fingerprint,
        title=title,
    )


def failed_again(
    message_id: str, replay_id: str | None, *, worker: str | None = None, **fields: Any
) -> Arrival:
    """The report of a worker whose replay of this dead letter failed."""
    arrival = an_arrival(message_id, **fields)
    return dataclasses.replace(arrival, replay_id=replay_id, worker=worker)


def stored(ledger: Ledger, **fields: Any) -> str:
    """Put one new dead letter in. Returns: its message_id."""
    return ledger.ingest([an_arrival(**fields)])[0].message_id


def replaying(ledger: Ledger, message_id: str, *, confirmed: bool = True) -> str:
    """Begin a replay. Returns: its replay_id."""
    replay, _ = ledger.begin_replay(message_id, actor="operator", max_retries=None)
    if confirmed:
        ledger.confirm_replay(replay.replay_id)
    return replay.replay_id


def recorded(ledger: Ledger, report: OutcomeReport) -> bool:
    """Record one outcome. Returns: whether it closed a replay."""
    return ledger.record_outcomes([report])[0] is not None


def brought_back(
    ledger: Ledger, before: dt.datetime, limit: int, outcome: Outcome = Outcome.RETURNED
) -> int:
    """Close what is overdue. Returns: how many."""
    return len(ledger.close_overdue(before, limit, outcome))
