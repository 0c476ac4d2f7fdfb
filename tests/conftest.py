"""Fixtures for the whole suite: private servers, and an environment that cannot leak in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["tests.support.rabbitmq", "tests.support.postgres", "tests.support.ledger"]


@pytest.fixture(autouse=True)
def _clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the developer's shell reaches a test, no test writes to the home, and
    nothing is replayed by itself unless the test is about that."""
    for name in list(os.environ):
        if name.startswith(("DLQ_", "RABBITMQ_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DLQ_AUTO_RETRY", "false")
    monkeypatch.setenv("DLQ_SPOOL_DIR", str(tmp_path / "spool"))
    monkeypatch.setenv("DLQ_TOKENS_FILE", str(tmp_path / "tokens.json"))
    monkeypatch.setenv("DLQ_LEDGER_URL", f"sqlite:///{tmp_path / 'ledger.sqlite'}")
