"""Managers in the shapes that people deploy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.manager import ManagerProcess
from tests.support.postgres import PostgresCluster
from tests.support.rabbitmq import BrokerNode


@pytest.fixture(params=["embedded", "rabbitmq-sqlite", "rabbitmq-postgresql"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ManagerProcess]:
    """A running manager, once in each shape."""
    environment: dict[str, str] = {}
    if request.param != "embedded":
        broker: BrokerNode = request.getfixturevalue("broker")
        broker.start()
        environment["DLQ_BROKER_URL"] = broker.url(broker.fresh_vhost())
    if request.param == "rabbitmq-postgresql":
        postgres: PostgresCluster = request.getfixturevalue("postgres")
        environment["DLQ_LEDGER_URL"] = postgres.fresh_database()
    yield from _running(ManagerProcess(tmp_path, **environment))


@pytest.fixture
def broker_manager(broker: BrokerNode, tmp_path: Path) -> Iterator[ManagerProcess]:
    """A running manager over RabbitMQ and SQLite."""
    broker.start()
    url = broker.url(broker.fresh_vhost())
    yield from _running(ManagerProcess(tmp_path, DLQ_BROKER_URL=url))


def _running(manager: ManagerProcess) -> Iterator[ManagerProcess]:
    manager.start()
    try:
        if "DLQ_BROKER_URL" in manager.environment:
            manager.wait_connected()
        yield manager
        manager.stop()
    finally:
        manager.kill()
