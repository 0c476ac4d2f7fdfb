"""`dlq replay`: what is asked for, what is asked first, and following the job to its end."""

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

from dlq.cli import follow, job_options, main
from dlq.errors import InvalidInput
from tests.support.fake_jobs import EVIL, FINISHED, JOB_ID, LETTER_ID, FakeJobs, canary, job
from tests.support.screen import Screen

IDS = [f"id-{n}" for n in range(11)]


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeJobs]:
    with FakeJobs() as running:
        running.start()
        monkeypatch.setenv("DLQ_URL", running.url)
        monkeypatch.setattr(follow, "POLL_S", 0.01)
        yield running


def run(*arguments: str) -> int:
    """Returns: the exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


# --- what is asked for -------------------------------------------------------------------


def test_up_to_ten_ids_go_out_at_once(
    manager: FakeJobs, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("replay", *IDS[:10], "id-0") == 0
    assert capsys.readouterr().out == "Replayed 10 of 10 dead letters.\n"
    assert manager.asked == [
        ("POST", "/dlq/replay/batch", {"message_ids": IDS[:10], "max_retries": 3})
    ]


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        (IDS, {"message_ids": IDS}),
        (["a", "--rate", "1/s"], {"message_ids": ["a"], "rate": "1/s"}),
        (["--all"], {"where": "state:dlq"}),
        (["--where", "age>1h", "--max-retries", "2"], {"where": "age>1h", "max_retries": 2}),
        (
            ["--error-type", "spotify", "--state", "parked", "--where", "age>1h"],
            {"where": "state:parked error_type:spotify age>1h"},
        ),
        (["--all", "--canary", "0", "--limit", "5"], {"canary": 0, "limit": 5}),
        (["--all", "--canary-share", "75%"], {"canary_share": 0.75}),
        (["--all", "--concurrency", "2", "--to", "x.retry"], {"routing_key": "x.retry"}),
        (
            ["--all", "--skip-superseded", "payload.track_id", "--ordered-by", "payload.p"],
            {"skip_superseded": "payload.track_id", "ordered_by": "payload.p"},
        ),
    ],
)
def test_anything_else_becomes_a_job(
    options: list[str], asked: dict[str, Any], manager: FakeJobs
) -> None:
    assert run("replay", *options, "--yes") == 0
    [made] = manager.made
    assert asked.items() <= made.items()
    assert ("where" in made) != ("message_ids" in made)


def test_ids_come_from_a_file_or_stdin(
    manager: FakeJobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ids").write_text("a\r\n\n b \na\n")
    assert run("replay", "c", "--ids-from", str(tmp_path / "ids"), "--yes") == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO("d\n"))
    assert run("replay", "--ids-from", "-", "--yes") == 0
    assert [made["message_ids"] for made in manager.made] == [["c", "a", "b"], ["d"]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--ids-from", "/nowhere/ids"], "cannot be read"),
        (["--ids-from", "/dev/null"], "expected ids, one a line"),
        (["--all", "--ids-from", "/dev/null"], "expected ids"),
        (["--ids-from", "/dev/zero"], "got more than"),
        (["--all", "--where", "age>1h"], "one of the three"),
        (["--all", "--rate", "fast"], "--rate: Expected a rate as 1/s"),
        (["--all", "--canary-share", "80"], "--canary-share: expected a share"),
        (["--all", "--canary-share", "nan"], "--canary-share: expected a share"),
        (["--all", "--ordered-by", "track"], "--ordered-by: Expected a path"),
        (["--all", "--at", "soon"], "--at: expected an instant"),
        (["--all", "--at", "2001-01-01"], "has passed"),
        ([f"id-{n}" for n in range(10_001)], "10000 ids at most"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_any_manager_is_asked(
    options: list[str], said: str, manager: FakeJobs, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("replay", *options, "--yes") == 2
    assert said in capsys.readouterr().err
    assert manager.asked == []


NOW = dt.datetime(2026, 11, 24, 15, 30, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-25T02:00:00Z", "2026-11-25T02:00:00+00:00"),
        ("2026-11-25T02:00", "2026-11-25T02:00:00+00:00"),
        ("2026-11-25T02:00:00+01:00", "2026-11-25T01:00:00+00:00"),
        ("02:00", "2026-11-25T02:00:00+00:00"),
        ("15:30", "2026-11-25T15:30:00+00:00"),
        ("15:31", "2026-11-24T15:31:00+00:00"),
        ("+30m", "2026-11-24T16:00:00+00:00"),
        ("+1d2h", "2026-11-25T17:30:00+00:00"),
    ],
)
def test_when_a_job_starts(text: str, at: str) -> None:
    assert job_options.start_at(text, NOW).isoformat() == at


@pytest.mark.parametrize("text", ["+", "+0s", "+99999999d", "25:00", "2026-11-24T15:30:00Z"])
def test_when_a_job_cannot_start(text: str) -> None:
    with pytest.raises(InvalidInput, match="--at"):
        job_options.start_at(text, NOW)


# --- what is told first ------------------------------------------------------------------


def test_a_dry_run_tells_and_makes_nothing(
    manager: FakeJobs, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("replay", "--all", "--dry-run") == 0
    told = capsys.readouterr().out
    for part in (
        "Would replay 120 dead letters: 115 pending, 5 parked.",
        "100\t3f1c0a9be2d47a55\tunknown\tevil \\x1b[2J\\u{202e} [red]x[/red]",
        "musicbrainz\t20\t0.9/s\t3 min",
        "Takes about 3 min if a worker keeps up. A canary of 10 goes first.",
        LETTER_ID[:-3] + "009",
    ):
        assert part in told
    assert LETTER_ID[:-3] + "010" not in told
    assert run("replay", "--all", "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out) == manager.preview
    assert manager.made == []


def test_without_a_terminal_a_job_needs_yes(
    manager: FakeJobs, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("replay", "--all") == 2
    told = capsys.readouterr().err
    assert "Replay 120 dead letters? There is no terminal to ask on: pass --yes." in told
    assert manager.made == []


def test_nothing_to_replay_makes_no_job(
    manager: FakeJobs, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.preview |= {"total": 0}
    assert run("replay", "--all", "--yes") == 0
    assert capsys.readouterr().err == "Nothing to replay.\n"
    manager.preview |= {"unknown_ids": [EVIL]}
    assert run("replay", EVIL, "--rate", "1/s", "--yes") == 4
    assert "Not in the ledger: evil \\x1b[2J" in capsys.readouterr().err
    assert manager.made == []


@pytest.mark.parametrize(("width", "answer", "made"), [(60, "y", 1), (80, "n", 0)])
def test_a_person_is_asked_with_the_causes_the_pace_and_the_duration(
    width: int, answer: str, made: int, manager: FakeJobs
) -> None:
    manager.script = [FINISHED]
    with Screen("replay", "--all", width=width, environment={"DLQ_URL": manager.url}) as screen:
        screen.wait_for("Replay 120 dead letters? [y/N]:")
        asked = screen.text
        screen.enter(f"{answer}\n")
        assert screen.end() == (0 if made else 1)
    for part in (
        "  100  evil \\x1b[2J\\u{202e} [red]x[/red] (unknown)",
        "   10  of other causes; all of them: --dry-run",
        "Pace: spotify 9/s, musicbrainz 0.9/s. Takes about 3 min",
        "A canary of 10 goes first.",
    ):
        assert part in asked
    assert len(manager.made) == made


# --- following ---------------------------------------------------------------------------


def test_detached_it_prints_the_id_and_how_to_follow(
    manager: FakeJobs, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("replay", "--all", "--detach", "--at", "+1h", "--yes") == 0
    shown = capsys.readouterr()
    assert shown.out == f"{JOB_ID}\n"
    for verb in ("follow", "pause", "cancel"):
        assert f"dlq jobs {verb} {JOB_ID}" in shown.err
    [made] = manager.made
    assert dt.datetime.fromisoformat(made["start_at"]) > dt.datetime.now(dt.UTC)
    assert run("replay", "--all", "--detach", "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out)["job_id"] == JOB_ID


def test_without_a_terminal_each_tenth_is_a_line_and_the_end_a_summary(
    manager: FakeJobs, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = [job(done=n, waiting=120 - n, succeeded=n) for n in range(121)]
    end = FINISHED | {
        "succeeded": 100,
        "failed": 15,
        "skipped": 5,
        "success_rate": 100 / 115,
        "new_errors": [{"error": EVIL, "count": 15}],
        "skipped_because": {"superseded: a newer success": 5},
    }
    manager.script = [*seen, end]
    assert run("replay", "--all", "--yes") == 1
    shown = capsys.readouterr()
    lines = [line for line in shown.err.splitlines() if " done: " in line]
    assert [line.split(" done: ")[0] for line in lines] == [
        f"{n} of 120" for n in range(0, 121, 12)
    ]
    assert shown.out == (
        f"Job {JOB_ID} finished after 2 min.\n"
        "Of 120 dead letters: 100 succeeded, 15 failed, 5 skipped.\n"
        "Success rate: 86.9%.\n"
        "\nNew errors:\n    15  evil \\x1b[2J\\u{202e} [red]x[/red]\n"
        "\nNot replayed:\n    5  superseded: a newer success\n"
    )
    assert f"dlq jobs show {JOB_ID} --status failed" in shown.err


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, 0),
        ({"skipped": 5}, 0),
        *(({name: 1}, 1) for name in ("failed", "returned", "presumed", "refused", "cancelled")),
        ({"unknown_ids": ["gone"]}, 1),
        ({"state": "cancelled"}, 1),
        ({"state": "stopped", "stop_reason": "the canary failed"}, 1),
    ],
)
def test_the_exit_code_says_whether_all_is_well(
    changes: dict[str, Any], code: int, manager: FakeJobs, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.script = [FINISHED | changes]
    assert run("replay", "--all", "--yes", "--json") == code
    assert json.loads(capsys.readouterr().out) == FINISHED | changes
    assert run("jobs", "follow", JOB_ID) == code
    assert changes.get("stop_reason", "") in capsys.readouterr().out


def test_a_manager_that_restarts_is_waited_for(
    manager: FakeJobs, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.script = [job(), 503, 503, job(done=60), FINISHED]
    assert run("jobs", "follow", JOB_ID) == 0
    told = capsys.readouterr().err
    assert told.count("The ledger is away.\nWaiting up to 120 s for it") == 1
    assert told.count("The manager answers again.") == 1


def test_a_manager_that_stays_away_ends_the_following_and_not_the_job(
    manager: FakeJobs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(follow, "AWAY_S", 0.05)
    manager.script = [job(), 503]
    assert run("jobs", "follow", JOB_ID) == 3
    assert f"the job goes on: dlq jobs follow {JOB_ID}" in capsys.readouterr().err


def test_a_job_that_is_gone_ends_the_following(manager: FakeJobs) -> None:
    assert run("jobs", "follow", "another") == 4


CANARY = canary(in_flight=3, succeeded=6, failed=1)


@pytest.mark.parametrize("width", [60, 100])
def test_on_a_terminal_a_bar_lives_and_leaves_the_summary(width: int, manager: FakeJobs) -> None:
    waits = f"the outcomes of its canary {EVIL}"
    manager.script = [
        job(done=7, succeeded=6, failed=1, in_flight=3, waiting_for=waits, canary=CANARY),
        job(done=60, succeeded=59, failed=1, rate_per_s=0.98, eta_s=61.0),
        job(state="paused", done=60, succeeded=59, failed=1),
        FINISHED,
    ]
    environment = {"DLQ_URL": manager.url}
    with Screen("jobs", "follow", JOB_ID, width=width, environment=environment) as screen:
        screen.wait_for("Canary: 7 of 10 are back, 6 succeeded. Waits for: the outcomes")
        screen.wait_for("59 succeeded, 1 failed, 0.98/s, 1 min left")
        screen.wait_for(f"Paused. Go on with: dlq jobs resume {JOB_ID}")
        assert screen.end() == 0
        drawn, text = screen.raw, screen.text
    assert "7 of 120" in text
    assert "\u2501" in text
    assert "\x1b[2J" not in drawn
    assert "\u202e" not in drawn
    bars = [line for line in re.split(r"\x1b\[2K|\n", drawn) if "\u2501" in line]
    assert max(len(re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]|\r", "", bar)) for bar in bars) <= width
    assert text.rstrip().endswith("Success rate: 100%.")


def test_ctrl_c_leaves_the_job_running_and_says_so(manager: FakeJobs) -> None:
    manager.script = [job(done=7)]
    environment = {"DLQ_URL": manager.url}
    with Screen("replay", "--all", "--yes", width=80, environment=environment) as screen:
        screen.wait_for("7 of 120")
        screen.press_ctrl_c()
        assert screen.end() == 130
        text = screen.text
    assert "The job is the manager's now and goes on" in text
    for verb in ("follow", "pause", "cancel"):
        assert f"dlq jobs {verb} {JOB_ID}" in text
    assert "Traceback" not in text
    assert ("POST", f"/dlq/jobs/{JOB_ID}/cancel", None) not in manager.asked
