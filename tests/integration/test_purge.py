"""Purging by filter: the dry run, the confirmation by count, and what is recorded."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from dlq.cli import main
from dlq.errors import LedgerUnavailable
from dlq.manager.app import create_app
from dlq.manager.service import Manager
from dlq.manager.tokens import Role, create_token
from dlq.settings import Settings
from dlq.states import State
from tests.support.failures import failure
from tests.support.manager import ManagerProcess
from tests.support.waiting import until

BASE = "http://127.0.0.1:8024"


@pytest.fixture
def service(tmp_path: Path) -> Manager:
    return Manager(Settings(ledger_url=f"sqlite:///{tmp_path / 'purge.sqlite'}"))


@pytest.fixture
def api(service: Manager) -> Iterator[TestClient]:
    with TestClient(create_app(service), base_url=BASE) as client:
        yield client


def publish(api: TestClient, count: int = 1, **fields: Any) -> list[str]:
    failures = [failure(**fields) for _ in range(count)]
    answer = api.post("/dlq/messages", json=failures)
    assert answer.status_code == 201, answer.text
    return [result["message_id"] for result in answer.json()["results"]]


def purge(api: TestClient, where: str, expected_count: int) -> list[dict[str, Any]]:
    """The lines of the answer."""
    answer = api.post("/dlq/purge", json={"where": where, "expected_count": expected_count})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def in_dlq(api: TestClient) -> int:
    return int(api.get("/dlq/stats").json()["total_messages"])


def audits(service: Manager) -> list[tuple[str, str, str, dict[str, Any]]]:
    found = [entry for entry in service.ledger.audits() if entry.action == "purge"]
    return [(entry.actor, entry.target, entry.result, entry.detail) for entry in found]


def test_a_dry_run_tells_what_would_go_and_changes_nothing(
    api: TestClient, service: Manager
) -> None:
    ids = publish(api, 3, error_type="spotify")
    publish(api, error_type="lastfm")
    answer = api.post("/dlq/purge", json={"where": "error_type:spotify", "dry_run": True})
    assert answer.status_code == 200
    plan = answer.json()
    assert plan["total"] == 3
    assert plan["by_error_type"] == {"spotify": 3}
    assert plan["by_state"] == {"pending": 3}
    assert plan["message_ids"] == ids
    assert sum(cause["count"] for cause in plan["causes"]) == sum(plan["by_category"].values()) == 3
    assert in_dlq(api) == 4
    assert audits(service) == []


def test_a_purge_that_names_the_count_is_carried_out_and_recorded(
    api: TestClient, service: Manager
) -> None:
    ids = publish(api, 120, error_type="spotify")
    kept = publish(api, error_type="lastfm")
    lines = purge(api, "error_type:spotify", 120)
    assert lines[0] == {"done": 0, "total": 120}
    assert [line["done"] for line in lines[:-1]] == [0, 50, 100, 120]
    assert lines[-1] == {"purged": 120, "left": 0}
    assert api.get(f"/dlq/messages/{ids[0]}").status_code == 404
    assert service.ledger.get(kept[0]).state is State.PENDING
    assert service.ledger.history(ids[5])[-1].reason == "purged"
    assert audits(service) == [("local", "error_type:spotify", "ok", {"total": 120, "purged": 120})]


@pytest.mark.parametrize("expected", [0, 2, 4])
def test_another_count_is_refused_with_the_new_one(
    api: TestClient, service: Manager, expected: int
) -> None:
    publish(api, 3)
    answer = api.post("/dlq/purge", json={"where": "state:dlq", "expected_count": expected})
    assert answer.status_code == 409
    assert answer.json()["code"] == "count_changed"
    assert f"Expected {expected} dead letters to match, now it is 3." in answer.json()["detail"]
    assert in_dlq(api) == 3
    assert audits(service) == [("local", "state:dlq", "count_changed", {})]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"where": "state:dlq"}, "expected_count"),
        ({"where": "", "dry_run": True}, "where"),
        ({"where": "  ", "expected_count": 0}, "is state:dlq"),
        ({"where": "state:all", "dry_run": True}, "allows the states"),
        ({"where": "state:replaying", "expected_count": 0}, "allows the states: replaying"),
        ({"where": "category:nonsense", "dry_run": True}, "expected one of"),
        ({"where": "state:dlq", "expected_count": -1}, "expected_count"),
        ({"where": "state:dlq", "dry_run": True, "force": True}, "force"),
    ],
)
def test_what_is_not_said_clearly_purges_nothing(
    api: TestClient, body: dict[str, Any], told: str
) -> None:
    publish(api)
    answer = api.post("/dlq/purge", json=body)
    assert answer.status_code == 422
    assert told in answer.json()["detail"]
    assert in_dlq(api) == 1


def test_nothing_to_purge_is_done_at_once(api: TestClient) -> None:
    assert purge(api, "error_type:nobody", 0) == [
        {"done": 0, "total": 0},
        {"purged": 0, "left": 0},
    ]


def test_only_an_admin_may(api: TestClient, service: Manager) -> None:
    publish(api)
    operator = create_token(service.settings.tokens_file, "olga", Role.OPERATOR)
    refused = api.post(
        "/dlq/purge",
        json={"where": "state:dlq", "dry_run": True},
        headers={"Authorization": f"Bearer {operator}"},
    )
    assert refused.status_code == 403


def test_a_ledger_that_goes_away_ends_it_with_what_is_done(
    api: TestClient, service: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(api, 120)
    real = service.ledger.retention.purge
    calls: list[int] = []

    def failing(*args: Any, **more: Any) -> int:
        calls.append(1)
        if len(calls) == 2:
            raise LedgerUnavailable("The disk is full.")
        return real(*args, **more)

    monkeypatch.setattr(service.ledger.retention, "purge", failing)
    lines = purge(api, "state:dlq", 120)
    assert lines[-1] == {"detail": "The disk is full.", "code": "ledger_unavailable", "purged": 50}
    assert in_dlq(api) == 70
    assert audits(service)[0][2:] == ("ledger_unavailable", {"total": 120, "purged": 50})


def test_a_caller_that_goes_away_ends_it_and_what_is_done_is_recorded(tmp_path: Path) -> None:
    manager = ManagerProcess(tmp_path).start()
    try:
        published(manager, 1000, "spotify")
        body = {"where": "state:dlq", "expected_count": 1000}
        with httpx2.stream("POST", manager.url + "/dlq/purge", json=body, timeout=60) as answer:
            lines = answer.iter_lines()
            while json.loads(next(lines))["done"] < 100:
                pass
        until(lambda: bool(_purges(manager)), 20, "no audit row for the purge")
        (audit,) = _purges(manager)
        assert audit["result"] == "interrupted"
        assert 100 <= audit["detail"]["purged"] < 1000
        assert manager.stored_count() == 1000 - audit["detail"]["purged"]
        manager.stop()
    finally:
        manager.kill()


def _purges(manager: ManagerProcess) -> list[dict[str, Any]]:
    return [row for row in manager.get("/dlq/audit") if row["action"] == "purge"]


# --- the command -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagerProcess]:
    """One for all; each test has an error_type of its own."""
    running = ManagerProcess(tmp_path_factory.mktemp("manager")).start()
    try:
        yield running
        running.stop()
    finally:
        running.kill()


@pytest.fixture
def command(manager: ManagerProcess, monkeypatch: pytest.MonkeyPatch) -> ManagerProcess:
    monkeypatch.setenv("DLQ_URL", manager.url)
    return manager


def run(*arguments: str) -> int:
    """Returns: the exit code."""
    with pytest.raises(SystemExit) as ended:
        main(("purge", *arguments))
    return int(ended.value.code or 0)


def published(manager: ManagerProcess, count: int, error_type: str) -> None:
    failures = [failure(error_type=error_type) for _ in range(count)]
    assert manager.post("/dlq/messages", failures).status_code == 201


def left(manager: ManagerProcess, error_type: str) -> int:
    return int(manager.get("/dlq/stats")["by_error_type"].get(error_type, 0))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_command_shows_what_would_go(
    command: ManagerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    published(command, 3, "shown")
    assert run("--where", "error_type:shown", "--dry-run") == 0
    out = capsys.readouterr().out
    assert "Would delete 3 dead letters for good: 3 pending; 3 shown." in out
    assert run("--where", "error_type:shown", "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["total"] == 3
    assert left(command, "shown") == 3


def test_the_command_purges_what_was_named_by_its_count(
    command: ManagerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    published(command, 3, "named")
    assert run("--where", "error_type:named", "--yes-delete", "2") == 5
    assert "now it is 3" in capsys.readouterr().err
    assert left(command, "named") == 3
    assert run("--where", "error_type:named", "--yes-delete", "3") == 0
    assert capsys.readouterr().out == "Purged 3 of 3 dead letters.\n"
    assert left(command, "named") == 0
    assert run("--where", "error_type:named", "--yes-delete", "0", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"purged": 0, "left": 0}
    assert run("--where", "error_type:named") == 0
    assert "Nothing matches." in capsys.readouterr().err


@pytest.mark.parametrize(("typed", "code", "rest"), [("2", 0, 0), ("y", 1, 2), ("", 1, 2)])
def test_the_command_asks_for_the_count(
    command: ManagerProcess, monkeypatch: pytest.MonkeyPatch, typed: str, code: int, rest: int
) -> None:
    name = f"asked_{code}_{len(typed)}"
    published(command, 2, name)
    monkeypatch.setattr(sys, "stdin", Terminal(typed + "\n"))
    assert run("--where", f"error_type:{name}") == code
    assert left(command, name) == rest


def test_without_a_terminal_the_command_says_how_to_confirm(
    command: ManagerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    published(command, 1, "piped")
    assert run("--where", "error_type:piped") == 2
    assert "pass --yes-delete 1" in capsys.readouterr().err
    assert left(command, "piped") == 1


@pytest.mark.parametrize("arguments", [(), ("--where", ""), ("--where", " "), ("--dry-run",)])
def test_the_command_wants_a_filter(arguments: tuple[str, ...]) -> None:
    assert run(*arguments) == 2
