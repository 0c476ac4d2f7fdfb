"""Regrouping on real ledgers, over the API and from the command line."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from dlq.classify import Category
from dlq.classify.ruleset import load_rules, shipped_rules, use_rules
from dlq.cli import main
from dlq.fingerprint import cause
from dlq.ledger import open_ledger
from dlq.ledger.base import Arrival, Ledger
from dlq.manager.app import create_app
from dlq.manager.arrivals import arrival_of
from dlq.manager.regroup import Regrouper, Report
from dlq.manager.regroup_plan import Kind
from dlq.manager.service import Manager
from dlq.manager.tokens import Role, create_token
from dlq.message import encode
from dlq.query import parse
from dlq.settings import Settings
from tests.support.ledger import a_message, an_arrival
from tests.support.manager import ManagerProcess
from tests.support.screen import Screen

BASE = "http://127.0.0.1:8024"
OWN_RULE = 'category = "auth"\nprovider = "spotify"\nwords = ["too many requests"]\n'
OLD_A, OLD_B = "a" * 16, "b" * 16


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def regrouped(ledger: Ledger, *, dry_run: bool = False) -> Report:
    *_, report = Regrouper(ledger, stopping=threading.Event()).run(dry_run=dry_run)
    assert isinstance(report, Report)
    return report


def arrivals(count: int, error: str = "429 Too Many Requests") -> list[Arrival]:
    """As the rules of today diagnose them."""
    return [arrival_of(encode(a_message(error_message=error))) for _ in range(count)]


def old(count: int, fingerprint: str, error: str = "429 Too Many Requests") -> list[Arrival]:
    """As if rules of the past had diagnosed them."""
    return [an_arrival(fingerprint=fingerprint, error_message=error) for _ in range(count)]


def counts(ledger: Ledger) -> dict[str, int]:
    """By group, what the counters say; the dead letters must agree."""
    groups = ledger.groups.all(now=now()).groups
    for group in groups:
        assert ledger.count(parse(f"group:{group.fingerprint}")) == group.count
    return {group.fingerprint: group.count for group in groups if group.count}


# --- on both ledgers ---------------------------------------------------------------------


def test_a_new_version_of_the_algorithm_keeps_groups_with_all_that_was_said(
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger.ingest(arrivals(30) + arrivals(7, "KeyError: 'artist'"))
    before = counts(ledger)
    [large, small] = sorted(before, key=lambda name: -before[name])
    ledger.groups.note(large, "a ticket", actor="maria", now=now())
    monkeypatch.setattr(cause, "ALGORITHM_VERSION", 1000)
    ledger.ingest(arrivals(5))  # since the upgrade
    tried = regrouped(ledger, dry_run=True)
    assert (tried.to_move, tried.moved, len(counts(ledger))) == (37, 0, 3)
    report = regrouped(ledger)
    assert (report.total, report.moved) == (42, 37)
    assert counts(ledger) == {large: 35, small: 7}
    story = ledger.groups.get(large, now=now())
    assert story.group.marks.note == "a ticket"
    assert story.group.trend.last_hour == 35
    ledger.ingest(arrivals(1))
    assert counts(ledger)[large] == 36
    assert regrouped(ledger).changes == ()


def test_two_causes_that_are_one_merge_and_what_is_two_splits(
    ledger: Ledger,
) -> None:
    ledger.ingest(old(4, OLD_A) + old(3, OLD_B) + old(2, OLD_B, "KeyError: 'artist'"))
    ledger.ingest(old(6, "c" * 16, "Connection refused") + arrivals(1, "Connection refused"))
    report = regrouped(ledger)
    assert [change.kind for change in report.changes] == [Kind.MIXED, Kind.MERGE]
    assert sorted(counts(ledger).values()) == [2, 7, 7]
    today = {a.fingerprint for a in arrivals(1) + arrivals(1, "KeyError: 'artist'")}
    assert {letter.fingerprint for letter in ledger.iterate(parse("group:" + min(today)))} <= today
    assert {letter.category for letter in ledger.iterate(parse("KeyError"))} == {"bug"}


def test_a_corrected_category_is_no_change_and_holds_afterwards(
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger.ingest(arrivals(3))
    [group] = counts(ledger)
    ledger.groups.correct(group, Category.AUTH)
    assert regrouped(ledger).changes == ()
    monkeypatch.setattr(cause, "ALGORITHM_VERSION", 1000)
    [change] = regrouped(ledger).changes
    assert (change.kind, change.kept_groups, change.left_marks) == (Kind.RENAME, (group,), ())
    assert {letter.category for letter in ledger.iterate(parse("state:all"))} == {"auth"}
    assert regrouped(ledger).changes == ()


def test_a_rule_of_ones_own_holds_for_what_is_stored_once_it_is_regrouped(
    ledger: Ledger, tmp_path: Path
) -> None:
    captured = a_message(error_message="429 Too Many Requests", category="rate_limit")
    ledger.ingest([*arrivals(2), arrival_of(encode(captured))])
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nname = "locked-out"\n' + OWN_RULE)
    use_rules(load_rules(rules))
    try:
        [change] = regrouped(ledger).changes
    finally:
        use_rules(shipped_rules())
    assert (change.kind, change.moved) == (Kind.CATEGORY, 3)
    assert {(letter.category, letter.rule) for letter in ledger.iterate(parse("state:all"))} == {
        ("auth", "own:locked-out")
    }


def test_marks_that_stay_behind_at_a_split_are_named(ledger: Ledger) -> None:
    ledger.ingest(old(4, OLD_A) + old(3, OLD_A, "KeyError: 'artist'"))
    ledger.groups.mute(OLD_A, until=now() + dt.timedelta(hours=1), actor="maria")
    [change] = regrouped(ledger, dry_run=True).changes
    assert (change.kind, change.kept_groups, change.left_marks) == (Kind.SPLIT, (), (OLD_A,))


# --- over the API ------------------------------------------------------------------------


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = Settings(
        ledger_url=f"sqlite:///{tmp_path / 'ledger.sqlite'}", tokens_file=tmp_path / "tokens.json"
    )
    filled = open_ledger(found.resolved_ledger_url)
    filled.ingest(old(4, OLD_A) + old(3, OLD_B))
    filled.close()
    return found


@pytest.fixture
def manager(settings: Settings) -> Manager:
    return Manager(settings)


@pytest.fixture
def api(manager: Manager) -> Iterator[TestClient]:
    with TestClient(create_app(manager), base_url=BASE) as client:
        yield client


def lines(api: TestClient, *, dry_run: bool) -> list[dict[str, Any]]:
    answer = api.post("/dlq/regroup", json={"dry_run": dry_run})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_it_streams_progress_and_ends_with_the_report(api: TestClient, manager: Manager) -> None:
    *progress, last = lines(api, dry_run=True)
    assert progress[-1] == {"phase": "reading", "done": 7, "total": 7, "moved": 0}
    [change] = last["report"]["changes"]
    assert (change["kind"], change["moved"]) == ("merge", 7)
    assert "regroup" not in {entry.action for entry in manager.ledger.audits()}
    *progress, last = lines(api, dry_run=False)
    assert progress[-1] == {"phase": "moving", "done": 7, "total": 7, "moved": 7}
    assert last["report"]["moved"] == 7
    [entry] = [e for e in manager.ledger.audits() if e.action == "regroup"]
    assert (entry.actor, entry.result) == ("local", "ok")
    assert entry.detail == {"moved": 7, "total": 7, "changes": 1}


def test_a_second_one_is_refused_while_one_runs(api: TestClient, manager: Manager) -> None:
    running = manager.regrouper.run(dry_run=True)
    next(running)
    answer = api.post("/dlq/regroup", json={"dry_run": True})
    assert (answer.status_code, answer.json()["code"]) == (409, "regroup_running")
    running.close()
    assert "report" in lines(api, dry_run=True)[-1]


def test_viewers_may_try_and_only_admins_may_move(
    api: TestClient, manager: Manager, settings: Settings
) -> None:
    for role in Role:
        secret = create_token(settings.tokens_file, role.value, role)
        headers = {"Authorization": f"Bearer {secret}"}
        for dry_run in (True, False):
            answer = api.post("/dlq/regroup", json={"dry_run": dry_run}, headers=headers)
            may = dry_run or role is Role.ADMIN
            assert answer.status_code == (200 if may else 403)
    assert len(counts(manager.ledger)) == 1


# --- from the command line ---------------------------------------------------------------


@pytest.fixture
def running(tmp_path: Path, settings: Settings) -> Iterator[ManagerProcess]:
    process = ManagerProcess(tmp_path, DLQ_LEDGER_URL=settings.resolved_ledger_url).start()
    try:
        yield process
        process.stop()
    finally:
        process.kill()


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def test_the_commands_show_it_ask_and_do_it(
    running: ManagerProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DLQ_URL", running.url)
    assert run("regroup", "--dry-run") == 0
    assert "2 become 1\twas\t4\t" + OLD_A in capsys.readouterr().out
    with Screen("regroup", width=100, environment={"DLQ_URL": running.url}) as screen:
        screen.wait_for("Move 7 dead letters?")
        screen.enter("y\n")
        assert screen.end() == 0
        assert "Moved 7 dead letters." in screen.text
    assert run("groups", "--json") == 0
    [group] = json.loads(capsys.readouterr().out)
    assert group["count"] == 7
    for command, field, value in (
        (("note", "a ticket"), "note", "a ticket"),
        (("category", "auth"), "category", "auth"),
        (("category", "--reset"), "category", "rate_limit"),
        (("note", "--remove"), "note", None),
    ):
        assert run("groups", command[0], group["id"][:6], *command[1:], "--json") == 0
        assert json.loads(capsys.readouterr().out)[field] == value
    assert run("groups", "show", group["id"][:6]) == 0
    assert "Goes on:        yes: 7 in this hour" in capsys.readouterr().out
    assert run("groups", "category", group["id"], "no_such") == 2
    assert "rate_limit" in capsys.readouterr().err
    assert run("regroup") == 0  # nothing is left: it does not ask
