"""`dlq jobs`, `dlq providers`, `dlq policy` and what `dlq stats` tells of replays."""

from __future__ import annotations

import datetime as dt
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dlq.cli import main
from dlq.cli.figures import pace, percent, time_to
from dlq.policy import load_policies
from dlq.policy.reading import default_text
from tests.support.fake_jobs import EVIL, FINISHED, JOB_ID, LETTER_ID, FakeJobs, canary, job


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeJobs]:
    with FakeJobs() as running:
        running.start()
        monkeypatch.setenv("DLQ_URL", running.url)
        yield running


def run(*arguments: str) -> int:
    """Returns: the exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


# --- figures -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "shown"),
    [(None, "–"), (0.0, "0%"), (1.0, "100%"), (0.9999, "99.9%"), (0.7, "70%"), (0.29, "29%")],
)
def test_a_share_says_100_only_if_it_is_all(share: float | None, shown: str) -> None:
    assert percent(share) == shown


@pytest.mark.parametrize(
    ("rate", "shown"),
    [(None, "–"), (10.0, "10/s"), (0.9, "0.9/s"), (1 / 20, "3/min"), (1 / 1800, "2/h")],
)
def test_a_pace_is_told_by_its_unit(rate: float | None, shown: str) -> None:
    assert pace(rate) == shown


def test_what_is_past_is_not_waited_for() -> None:
    now = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
    assert time_to("2026-11-24T00:05:00Z", now) == "5 min"
    assert time_to("2026-11-23T00:05:00Z", now) == time_to(None, now) == "–"


# --- jobs --------------------------------------------------------------------------------

STOPPED = job(
    state="stopped",
    done=10,
    succeeded=2,
    failed=8,
    success_rate=0.2,
    where=EVIL,
    stop_reason=f"the canary failed: {EVIL}",
    canary=canary(succeeded=2, failed=8),
    new_errors=[{"error": EVIL, "count": 8}],
)


def test_jobs_are_listed_with_who_what_and_how_far(
    manager: FakeJobs, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.answers["/dlq/jobs"] = [STOPPED, FINISHED | {"where": None, "chosen_ids": 12}]
    assert run("jobs", "--state", "stopped") == 0
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split("\t") == ["ID", "STATE", "WHO", "DONE", "OK", "AGE", "WHAT"]
    assert first.split("\t")[:5] == [JOB_ID, "stopped", "maria", "10/120", "20%"]
    assert first.endswith("evil \\x1b[2J\\u{202e} [red]x[/red]")
    assert second.endswith("12 by id")
    assert run("jobs", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 2


def test_one_job_is_shown_with_its_items(
    manager: FakeJobs, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.script = [STOPPED]
    item = {
        "message_id": LETTER_ID,
        "status": "failed",
        "canary": True,
        "reason": None,
        "replay_id": "r",
        "error": EVIL,
        "sent_at": "2026-11-24T02:00:00Z",
        "done_at": None,
    }
    manager.answers[f"/dlq/jobs/{JOB_ID}/items"] = [item]
    assert run("jobs", "show", JOB_ID, "--status", "failed") == 0
    told = capsys.readouterr().out
    for part in (
        "rate 1/s",
        "10 of 120",
        "2 succeeded, 8 failed",
        "10, not passed: 2 succeeded, 8 failed",
        "the canary failed: evil",
        f"{LETTER_ID}\tfailed\tyes\t",
    ):
        assert part in told
    assert not any(c in told for c in "\x1b\u202e")
    assert run("jobs", "show", JOB_ID, "--items", "--json") == 0
    assert json.loads(capsys.readouterr().out)["items"] == [item]


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_a_job_is_paused_and_resumed(
    verb: str, manager: FakeJobs, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.answers[f"/dlq/jobs/{JOB_ID}/{verb}"] = job(state="paused", in_flight=5)
    assert run("jobs", verb, JOB_ID) == 0
    shown = capsys.readouterr()
    assert shown.out == f"Job {JOB_ID} is paused: 0/120 done.\n"
    assert "5 are on their way" in shown.err
    assert run("jobs", verb, JOB_ID, "--json") == 0
    assert json.loads(capsys.readouterr().out)["state"] == "paused"


@pytest.mark.parametrize("verb", ["cancel", "repeat"])
def test_cancelling_and_repeating_ask_first(
    verb: str, manager: FakeJobs, capsys: pytest.CaptureFixture[str]
) -> None:
    path = f"/dlq/jobs/{JOB_ID}/{verb}"
    manager.answers[path] = job(state="cancelled")
    assert run("jobs", verb, JOB_ID) == 2
    assert "error_type:spotify" in capsys.readouterr().err
    assert ("POST", path) not in [asked[:2] for asked in manager.asked]
    assert run("jobs", verb, JOB_ID, "--yes") == 0
    assert JOB_ID in capsys.readouterr().out
    assert ("POST", path) in [asked[:2] for asked in manager.asked]


def test_a_job_that_is_not_there_exits_4(manager: FakeJobs) -> None:
    assert run("jobs", "pause", "another") == 4


# --- providers ---------------------------------------------------------------------------


def provider(**changes: Any) -> dict[str, Any]:
    seen: dict[str, Any] = {
        "provider": "spotify",
        "limit_per_s": 10.0,
        "burst": 20,
        "rate_per_s": 2.25,
        "share": 0.25,
        "hold_until": None,
        "circuit": {"state": "closed", "failures": 0, "opened_at": None, "probe_at": None},
        "last_error": EVIL,
        "mended_at": None,
        "mended_by": None,
        "scheduled": 120,
        "next_replay_at": None,
        "waiting_for_credentials": 0,
        "in_flight": 5,
        "outcomes": {
            **dict.fromkeys(("failed", "returned", "presumed"), 0),
            "succeeded": 5,
            "success_rate": 1.0,
        },
    }
    return {**seen, **changes}


def test_providers_are_listed_with_pace_circuit_and_what_waits(
    manager: FakeJobs, capsys: pytest.CaptureFixture[str]
) -> None:
    probe_at = (dt.datetime.now(dt.UTC) + dt.timedelta(minutes=5, seconds=30)).isoformat()
    circuit = {"state": "open", "failures": 5, "opened_at": None, "probe_at": probe_at}
    manager.answers["/dlq/providers"] = [
        provider(),
        provider(provider="b", circuit=circuit, waiting_for_credentials=33),
    ]
    assert run("providers") == 0
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.startswith("PROVIDER\tRATE NOW\tLIMIT\tCIRCUIT")
    assert first.split("\t")[:5] == ["spotify", "2.25/s", "10/s", "closed", "–"]
    assert "open, probe in 5 min" in second
    assert "\t33\t" in second
    assert run("providers", "--json") == 0
    assert json.loads(capsys.readouterr().out)[1]["provider"] == "b"


def test_mended_credentials_are_told_to_the_manager(
    manager: FakeJobs, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.answers["/dlq/providers/spotify/mended"] = provider()
    assert run("providers", "mended", "spotify") == 0
    shown = capsys.readouterr()
    assert shown.out == "The credentials of spotify are said to be mended.\n"
    assert shown.err == "Scheduled: 120 dead letters, at 2.25/s.\n"
    assert [asked[:2] for asked in manager.asked] == [("POST", "/dlq/providers/spotify/mended")]


# --- policies ----------------------------------------------------------------------------

POLICIES = """\
version: 1
timezone: Europe/Berlin
rules:
  - name: off-peak
    match: {provider: musicbrainz, category: [rate_limit, server_error]}
    retry: backoff
    quiet: ["Sat 07:00-23:00"]
  - name: the rest
    retry: cooldown
    after: [1d, 2d]
"""


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    path = tmp_path / "policies.yml"
    path.write_text(POLICIES)
    return path


def test_a_policy_file_is_checked_without_a_manager(
    policies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("policy", "check", str(policies)) == 0
    _, first, second = capsys.readouterr().out.splitlines()
    assert first.split("\t") == [
        "off-peak",
        "rate_limit, server_error; provider musicbrainz",
        "backoff 1 min to 6 h, Retry-After",
        "6",
        "Sat 07:00 - Sat 23:00 Europe/Berlin",
    ]
    assert second.split("\t") == ["the rest", "everything", "after 1 d, 2 d", "2", "–"]
    assert run("policy", "check", str(policies), "--json") == 0
    assert json.loads(capsys.readouterr().out)["digest"] == load_policies(policies).digest


def test_what_is_wrong_with_a_policy_file_is_told_by_line(
    policies: Path, manager: FakeJobs, capsys: pytest.CaptureFixture[str]
) -> None:
    policies.write_text(POLICIES.replace("backoff", "bakoff"))
    for command in ("check", "rehearse"):
        assert run("policy", command, str(policies)) == 2
        assert f"{policies}, line 6, column 12:" in capsys.readouterr().err
    assert run("policy", "check", str(policies.parent / "none.yml")) == 2
    assert manager.asked == []


def test_the_shipped_policies_are_printed_to_be_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("policy", "show", "--defaults") == 0
    printed = capsys.readouterr().out
    assert printed == default_text()
    (tmp_path / "mine.yml").write_text(printed)
    assert run("policy", "check", str(tmp_path / "mine.yml")) == 0


@pytest.mark.parametrize(
    ("automatic", "worker", "said"),
    [
        (True, True, "A person may replay anything"),
        (True, False, "no worker is there"),
        (False, True, "automatic retry is off"),
    ],
)
def test_the_rules_in_force_are_shown_and_whether_they_act(
    automatic: bool,
    worker: bool,
    said: str,
    manager: FakeJobs,
    capsys: pytest.CaptureFixture[str],
) -> None:
    manager.answers["/dlq/policies"] = {
        "automatic_retry": automatic,
        "digest": "d",
        "file": "shipped",
        "worker_is_there": worker,
        "rules": load_policies().as_dict()["rules"],
    }
    assert run("policy", "show") == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("Policies: shipped\nRULE\tMATCHES\tRETRY\tTRIES\n")
    assert "credentials\tauth\tonce mended\t6" in shown.out
    assert said in shown.err


def rehearsal(days: int) -> dict[str, Any]:
    first = dt.date(2026, 10, 5)  # a Monday
    count = {
        "letters": 100,
        "would_replay": 90,
        "tries": 200,
        "came_right": 40,
        "failed": 110,
        "unknown": 50,
        "parked": 4,
        "waiting": 3,
        "never": 3,
        "first_at": "2026-10-25T03:15:00+00:00",
        "last_at": None,
    }
    return {
        "since": "2026-10-25T00:00:00+00:00",
        "now": "2026-11-24T00:00:00+00:00",
        "left_out": 0,
        "total": count,
        "rules": [{"rule": "rate limits", **count}],
        "tries_per_day": [
            {"day": (first + dt.timedelta(days=n)).isoformat(), "tries": n + 1} for n in range(days)
        ],
        "digest": "d",
        "truncated": False,
    }


def test_a_rehearsal_tells_what_when_and_how_many_would_have_come_right(
    policies: Path, manager: FakeJobs, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.answers["/dlq/policies/rehearse"] = rehearsal(days=4)
    assert run("policy", "rehearse", str(policies), "--since", "36h") == 0
    [(_, _, asked)] = manager.asked
    assert asked == {"policies": POLICIES, "since_s": 129_600}
    shown = capsys.readouterr()
    for part in (
        f"by {policies}: 200 tries",
        "rate limits\t100\t90\t200\t110\t40\t50\t4\t3\t3\t2026-10-25 03:15\t–",
        "    2026-10-05  1  " + "█" * 10 + "\n",
        "    2026-10-08  4  " + "█" * 40 + "\n",
        "40  right",
        "Tries that failed: 110",
    ):
        assert part in shown.out
    assert "Unknown: the past does not show" in shown.err


def test_a_long_rehearsal_is_charted_by_the_week(
    manager: FakeJobs, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.answers["/dlq/policies/rehearse"] = rehearsal(days=35) | {"truncated": True}
    assert run("policy", "rehearse") == 0
    [(_, _, asked)] = manager.asked
    assert asked == {"policies": None, "since_s": 30 * 86_400}
    shown = capsys.readouterr()
    assert "Tries a week, from its Monday (UTC):\n    2026-10-05   28  " in shown.out
    assert "give a shorter --since" in shown.err


@pytest.mark.parametrize("since", ["yesterday", "366d"])
def test_a_span_that_cannot_be_is_refused(since: str, manager: FakeJobs) -> None:
    assert run("policy", "rehearse", "--since", since) == 2
    assert manager.asked == []


# --- stats -------------------------------------------------------------------------------


def test_stats_tell_of_jobs_circuits_and_outcomes(
    manager: FakeJobs, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.answers["/dlq/stats"] = {
        "total_messages": 3,
        "oldest_message_age_seconds": 3,
        "newest_message_age_seconds": 1,
        **{part: {} for part in ("by_error_type", "by_service", "by_state", "queue_stats")},
        "circuits": {"spotify": "closed", EVIL: "half_open"},
        "by_outcome": {"succeeded": 10, "failed": 2, "returned": 0},
        "jobs": {"running": 1, "finished": 20},
    }
    assert run("stats") == 0
    told = capsys.readouterr().out
    assert "running         1\n" in told
    assert "half open" in told
    assert "Success rate: 83.3%" in told
    assert "finished" not in told
    assert "spotify" not in told
    assert "\x1b" not in told


# --- narrow terminals --------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize(
    "command",
    [
        ("jobs",),
        ("providers",),
        ("policy", "show"),
        ("policy", "rehearse"),
        ("replay", "--all", "--dry-run"),
    ],
)
def test_tables_fit_their_terminal(
    command: tuple[str, ...], width: int, manager: FakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.answers |= {
        "/dlq/providers": [provider(provider="p" * 50)],
        "/dlq/policies/rehearse": rehearsal(days=4),
        "/dlq/policies": {
            "automatic_retry": True,
            "file": "shipped",
            "worker_is_there": True,
            "rules": load_policies().as_dict()["rules"],
        },
    }
    if command == ("jobs",):
        manager.answers["/dlq/jobs"] = [STOPPED]
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    for name, value in (("COLUMNS", str(width)), ("NO_COLOR", "1"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)
    assert run(*command) == 0
    lines = [re.sub(r"\x1b\[\d*m", "", line) for line in terminal.getvalue().splitlines()]
    rule = next(n for n, line in enumerate(lines) if line.strip().startswith("──"))
    table = [line for line in lines[rule - 1 : rule + 4] if line.strip()]
    assert max(map(len, table)) <= width
    assert not any("…" in line for line in table)
