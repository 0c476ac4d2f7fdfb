"""Jobs from the command line, with a real manager and a real worker."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dlq.cli import main
from dlq.client import DLQClient
from dlq.message import DLQMessage
from dlq.worker import RetryWorker
from tests.support.manager import ManagerProcess
from tests.support.screen import Screen
from tests.support.waiting import until

NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagerProcess]:
    """One for all; each test has an error_type of its own."""
    settings = {"DLQ_PROVIDER_LIMITS": "*=200/s:50", "DLQ_LEASE_TTL_S": "2"}
    running = ManagerProcess(tmp_path_factory.mktemp("manager"), **settings).start()
    try:
        yield running
        running.stop()
    finally:
        running.kill()


@pytest.fixture
def error_type(manager: ManagerProcess, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DLQ_URL", manager.url)
    return f"provider_{next(NUMBERS)}"


def fail(
    manager: ManagerProcess, error_type: str, count: int, error: str = "429 Too Many Requests"
) -> list[str]:
    with DLQClient(manager.settings) as dlq:
        return [
            dlq.publish_to_dlq(
                {"number": n}, RuntimeError(error), 3, error_type=error_type
            ).message_id
            for n in range(count)
        ]


@contextmanager
def working(manager: ManagerProcess, error_type: str, failing: set[int]) -> Iterator[list[int]]:
    """A worker in a thread, for which some numbers fail again. Yields: what it was given."""
    given: list[int] = []

    def handle(message: DLQMessage) -> None:
        number = message.payload["number"]
        given.append(number)
        if number in failing:
            raise RuntimeError("404 no such track \x1b[2J")

    worker = RetryWorker({error_type: handle}, settings=manager.settings, concurrency=4)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield given
    finally:
        worker.stop()
        thread.join(30)
        assert not thread.is_alive()


def run(*arguments: str) -> int:
    """Returns: the exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert run(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_a_job_is_followed_to_its_end_and_its_failures_are_shown(
    manager: ManagerProcess, error_type: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = fail(manager, error_type, 20)
    with working(manager, error_type, failing={7}) as given:
        code = run("replay", "--where", f"error_type:{error_type}", "--canary", "3", "--yes")
    told = capsys.readouterr()
    assert code == 1
    assert sorted(given) == list(range(20))
    assert "Of 20 dead letters: 19 succeeded, 1 failed." in told.out
    assert "1  404 no such track \\x1b[2J" in told.out
    assert "20 of 20 done" in told.err
    [job, *_] = shown(capsys, "jobs")
    assert (job["state"], job["done"], job["where"]) == ("finished", 20, f"error_type:{error_type}")
    [item] = shown(capsys, "jobs", "show", job["job_id"], "--status", "failed")["items"]
    assert item["message_id"] == ids[7]
    assert run("jobs", "show", job["job_id"], "--items") == 0
    told = capsys.readouterr()
    assert told.out.count("\tsucceeded\t") == 19
    assert "3, passed: 3 succeeded" in told.out


def test_a_canary_that_fails_stops_the_job_and_says_why(
    manager: ManagerProcess, error_type: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(manager, error_type, 12)
    with working(manager, error_type, failing=set(range(12))) as given:
        code = run(
            *("replay", "--error-type", error_type, "--yes", "--canary", "4"),
            *("--canary-share", "50%"),
        )
    told = capsys.readouterr()
    assert code == 1
    assert len(given) == 4
    assert " stopped after " in told.out
    assert "Why: the canary failed: 0 of 4 succeeded, 50% must" in told.out
    assert "404 no such track \\x1b[2J" in told.out
    assert "dlq jobs repeat" in told.err


def test_ids_in_a_file_and_an_unknown_one(
    manager: ManagerProcess,
    error_type: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ids = fail(manager, error_type, 12)
    (tmp_path / "ids").write_text("\n".join([*ids, "nowhere-1"]))
    with working(manager, error_type, failing=set()) as given:
        assert run("replay", "--ids-from", str(tmp_path / "ids"), "--yes") == 1
    assert len(given) == 12
    told = capsys.readouterr()
    assert "Of 12 dead letters: 12 succeeded." in told.out
    assert "Not in the ledger: nowhere-1." in told.err


def test_a_dry_run_names_pace_and_causes_and_changes_nothing(
    manager: ManagerProcess, error_type: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(manager, error_type, 3)
    before = shown(capsys, "jobs")
    asked = ("replay", "--error-type", error_type, "--rate", "30/m", "--dry-run")
    assert run(*asked) == 0
    told = capsys.readouterr().out
    assert "Would replay 3 dead letters: 3 pending." in told
    assert f"{error_type}\t3\t0.5/s\t6 s" in told
    assert "\trate_limit\t" in told
    assert shown(capsys, "jobs") == before
    assert len(shown(capsys, "list", "--error-type", error_type, "--state", "pending")) == 3


def test_a_job_is_paused_resumed_cancelled_and_repeated(
    manager: ManagerProcess, error_type: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(manager, error_type, 3)
    made = shown(capsys, "replay", "--error-type", error_type, "--at", "+1h", "--detach", "--yes")
    job_id = made["job_id"]
    assert shown(capsys, "jobs", "pause", job_id)["state"] == "paused"
    assert run("jobs", "cancel", job_id) == 2
    assert "3 of 3 are not sent yet" in capsys.readouterr().err
    assert shown(capsys, "jobs", "resume", job_id)["state"] == "running"
    assert run("jobs", "resume", job_id) == 5
    assert run("jobs", "show", job_id) == 0
    assert "Waits for: its start at " in capsys.readouterr().out
    assert shown(capsys, "jobs", "cancel", job_id, "--yes")["state"] == "cancelled"
    assert run("jobs", "follow", job_id) == 1
    assert "3 not sent" in capsys.readouterr().out
    again = shown(capsys, "jobs", "repeat", job_id, "--at", "+1h", "--yes")
    assert (again["repeat_of"], again["total"]) == (job_id, 3)
    assert shown(capsys, "jobs", "cancel", again["job_id"], "--yes")["cancelled"] == 3


def test_a_target_that_is_not_allowed_is_refused(
    manager: ManagerProcess, error_type: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(manager, error_type, 1)
    assert run("replay", "--error-type", error_type, "--to", "a.b", "--yes") == 2
    assert "DLQ_REPLAY_TARGETS" in capsys.readouterr().err


def test_providers_and_policies_of_a_real_manager(
    manager: ManagerProcess, error_type: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(manager, error_type, 2, error="401 token expired")
    with working(manager, error_type, failing={1}):
        assert run("replay", "--error-type", error_type, "--yes") == 1
    [provider] = [p for p in shown(capsys, "providers") if p["provider"] == error_type]
    assert provider["outcomes"]["success_rate"] == 0.5
    assert run("providers", "mended", error_type) == 0
    assert f"The credentials of {error_type} are said to be mended." in capsys.readouterr().out
    assert run("providers") == 0
    assert error_type in capsys.readouterr().out
    assert run("policy", "show") == 0
    assert "automatic retry is off" in capsys.readouterr().err
    assert run("policy", "rehearse", "--since", "1h") == 0
    assert "\ncredentials\t" in capsys.readouterr().out
    assert run("stats") == 0
    assert "Success rate: " in capsys.readouterr().out


def test_on_a_terminal_a_restart_of_the_manager_is_waited_for(
    manager: ManagerProcess, error_type: str
) -> None:
    fail(manager, error_type, 20)
    environment = {"DLQ_URL": manager.url}
    asked = ("replay", "--error-type", error_type, "--rate", "10/s")
    with (
        working(manager, error_type, failing=set()) as given,
        Screen(*asked, width=60, environment=environment) as screen,
    ):
        screen.wait_for("Replay 20 dead letters? [y/N]:")
        screen.enter("y\n")
        until(lambda: len(given) >= 3, 30, "nothing is replayed")
        manager.kill()
        screen.wait_for("Waiting up to 120 s for it")
        manager.start()
        screen.wait_for("The manager answers again.")
        assert screen.end() == 0, screen.text
        assert "Of 20 dead letters: 20 succeeded." in screen.text
    assert set(given) == set(range(20))


def test_ctrl_c_leaves_a_job_that_goes_on(
    manager: ManagerProcess, error_type: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(manager, error_type, 5)
    asked = ("replay", "--error-type", error_type, "--yes")
    with Screen(*asked, width=80, environment={"DLQ_URL": manager.url}) as screen:
        screen.wait_for("on their way")
        screen.press_ctrl_c()
        assert screen.end() == 130
    [job, *_] = shown(capsys, "jobs", "--state", "running")
    assert f"dlq jobs follow {job['job_id']}" in screen.text
    with working(manager, error_type, failing=set()):
        assert run("jobs", "follow", job["job_id"]) == 0
