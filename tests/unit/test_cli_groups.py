"""`dlq groups` and `dlq regroup`, against a manager that tells what a test wants it to."""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from dlq.cli import main
from dlq.cli.group_api import GroupManager
from dlq.cli.group_tables import GROUPS, group_row, marks, sparkline
from dlq.cli.output import print_table
from dlq.cli.regroup import CHANGES
from dlq.demo.local_server import Answer, LocalServer, Request, json_answer
from dlq.manager.api.schemas.groups import GroupStoryView
from dlq.manager.api.schemas.regroup import ReportView

ID = "5c457931adde782b"
OTHER = "3f1c0a9be2d47a55"
LETTER_ID = "550e8400-e29b-41d4-a716-446655440000"
EVIL = "evil \x1b[2J\u202e [red]x[/red]"


def ago(**span: float) -> str:
    return (dt.datetime.now(dt.UTC) - dt.timedelta(**span)).isoformat()


def story(**changes: Any) -> dict[str, Any]:
    """As the manager tells one."""
    told: dict[str, Any] = {
        "id": ID,
        "fingerprint": ID,
        "title": f"Spotify 429 {EVIL}",
        "category": "rate_limit",
        "category_corrected": False,
        "error_type": "spotify",
        "error_class": "spotipy.exceptions.SpotifyException",
        "http_status": 429,
        "rule": "status:429",
        "reason": "Spotify allows no more requests for now (HTTP 429)",
        "count": 89,
        "by_state": {"pending": 80, "parked": 9, "resolved": 31},
        "first_seen": ago(days=3),
        "last_seen": ago(minutes=5),
        "last_hour": 4,
        "last_24h": 60,
        "last_7d": 120,
        "is_new": False,
        "came_back_at": None,
        "status": "open",
        "muted_until": None,
        "fixed_in": None,
        "note": None,
        "services": {"api-enrichment-pipeline": 89},
        "sample_messages": [LETTER_ID],
        "replay_success_rate": 31 / 32,
        "hint": "Wait until Spotify's window resets, then replay.",
        "hourly": [0] * 22 + [1, 8],
        "daily": [0, 0, 0, 0, 10, 50, 60],
        "releases": [
            {
                "release": "1.4.1",
                "failures": 120,
                "first_seen": ago(days=3),
                "last_seen": ago(hours=1),
            }
        ],
        "causes": [member(ID, 80)],
        "outcomes": {"succeeded": 31, "failed": 1, "returned": 0, "presumed": 0}
        | {"success_rate": 31 / 32},
        "steps": ["dlq replay --fingerprint 5c457931adde782b", EVIL],
        "marks": dict.fromkeys(
            (
                *("category", "note", "noted_by", "noted_at", "muted_until", "muted_by"),
                *("acknowledged_at", "acknowledged_by", "archived_at", "archived_by"),
                *("fixed_at", "fixed_by", "fixed_in", "came_back_at"),
            )
        ),
        "history": [],
    }
    told |= changes
    GroupStoryView.model_validate(told)
    return told


def member(fingerprint: str, count: int) -> dict[str, Any]:
    return {
        "fingerprint": fingerprint,
        "title": f"Spotify 429 {EVIL}",
        "error_type": "spotify",
        "category": "rate_limit",
        "error_class": None,
        "http_status": 429,
        "rule": "status:429",
        "reason": "",
        "count": count,
        "first_seen": ago(days=3),
        "last_seen": ago(),
    }


class FakeGroups(LocalServer):
    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {}
        self.streams: list[list[dict[str, Any]]] = []

    def answer(self, request: Request) -> Answer:
        body = json.loads(request.body) if request.body else dict(request.query)
        self.asked.append((request.method, request.path, body))
        if request.path == "/dlq/regroup":
            lines = "".join(f"{json.dumps(event)}\n" for event in self.streams.pop(0))
            return Answer(200, lines.encode(), "application/x-ndjson")
        if request.path in self.answers:
            headers = {"X-Total-Count": "21"}
            return json_answer(200, self.answers[request.path], headers)
        problem = {"detail": "There is no group 'abcd'.", "code": "not_found"}
        return json_answer(404, problem)


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGroups]:
    with FakeGroups() as running:
        running.start()
        monkeypatch.setenv("DLQ_URL", running.url)
        yield running


def run(*arguments: str) -> int:
    """Returns: the exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


# --- the list ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "shown"),
    [
        ([], ""),
        ([0, 0], "··"),
        ([1, 2, 3, 4, 5, 6, 7, 8], "▁▂▃▄▅▆▇█"),
        ([0, 1, 1_000_000], "·▁█"),
        ([5, 5], "██"),
    ],
)
def test_a_trend_is_a_bar_a_count(counts: list[int], shown: str) -> None:
    assert sparkline(counts) == shown


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, ""),
        ({"is_new": True}, "NEW"),
        ({"came_back_at": ago(), "status": "muted"}, "BACK muted"),
        ({"came_back_at": ago(), "status": "acknowledged"}, "ack"),
    ],
)
def test_marks_tell_what_is_new_and_what_came_back(changes: dict[str, Any], shown: str) -> None:
    assert marks(story(**changes)) == shown


def test_groups_are_listed_a_line_a_cause(
    manager: FakeGroups, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.answers["/dlq/groups"] = [story(is_new=True), story(id=OTHER, fingerprint=OTHER)]
    assert run("groups", "--status", "open", "--sort", "last-seen", "--limit", "2") == 0
    shown = capsys.readouterr()
    header, first, second = shown.out.splitlines()
    assert header.split("\t")[:3] == ["GROUP", "COUNT", "LAST 24 H"]
    assert first.split("\t") == [
        *(ID, "89", "·" * 22 + "▁█", "60", "5 min", "96.8%", "NEW", "rate_limit"),
        "Spotify 429 evil \\x1b[2J\\u{202e} [red]x[/red]",
    ]
    assert second.startswith(f"{OTHER}\t89\t")
    assert shown.err == "19 more: --offset 2, or --limit\n"
    [(_, _, query)] = manager.asked
    assert query == {"status": "open", "sort": "last_seen", "limit": "2", "offset": "0"}
    assert run("groups", "--json") == 0
    assert [group["id"] for group in json.loads(capsys.readouterr().out)] == [ID, OTHER]


def test_an_empty_list_says_where_the_rest_may_be(
    manager: FakeGroups, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.answers["/dlq/groups"] = []
    assert run("groups") == 0
    assert "muted or archived: --status all" in capsys.readouterr().err


def test_groups_by_error_type_are_as_the_specified_endpoint_has_them(
    manager: FakeGroups, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = {"first_seen": ago(hours=2), "last_seen": ago(minutes=3)}
    manager.answers["/dlq/errors/grouped"] = [
        {"error_type": "spotify", "count": 89, "sample_messages": [LETTER_ID], **seen}
    ]
    assert run("groups", "--by", "error-type") == 0
    assert capsys.readouterr().out.splitlines()[1] == f"spotify\t89\t2 h 0 min\t3 min\t{LETTER_ID}"
    assert run("groups", "--by", "error-type", "--status", "open") == 2


class Terminal:
    """A stream that says it is a terminal."""

    def __init__(self) -> None:
        self.written = ""

    def write(self, text: str) -> int:
        self.written += text
        return len(text)

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [60, 80, 110, 160])
def test_a_terminal_shows_id_count_and_cause_however_narrow(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    print_table(GROUPS, [group_row(story(is_new=True))])
    shown = re.sub(r"\x1b\[\d*m", "", terminal.written)  # bold
    assert max(map(len, shown.splitlines())) <= width
    for word in (ID, "89", "NEW", "429"):
        assert word in shown
    assert ("█" in shown) is (width >= 110)
    assert not any(c in shown for c in "\x1b\u202e")


# --- one ---------------------------------------------------------------------------------


def test_a_group_is_told_from_what_broke_to_what_to_do(
    manager: FakeGroups, capsys: pytest.CaptureFixture[str]
) -> None:
    said = story()["marks"] | {"noted_by": "maria", "noted_at": ago(hours=1), "muted_by": "tom"}
    manager.answers["/dlq/groups/5c45"] = story(
        category_corrected=True,
        status="muted",
        muted_until="9999-12-31T00:00:00Z",
        note=f"a ticket: {EVIL}",
        marks=said,
        causes=[member(ID, 80), member(OTHER, 9)],
        history=[
            {
                "at": "2026-11-24T02:00:00Z",
                "actor": "tom",
                "action": "group_merge",
                "target": OTHER,
                "result": "ok",
                "detail": {"into": ID},
            }
        ],
    )
    assert run("groups", "show", "5c45") == 0
    told = capsys.readouterr().out
    for part in (
        "Marks:          muted by tom\n",
        "Note:           a ticket: evil \\x1b[2J",
        "(maria, 1 h 0 min ago)",
        "Category:       rate_limit (corrected by hand)",
        "(rule status:429)",
        "Goes on:        yes: 4 in this hour",
        "In the DLQ:     89",
        "By state:       80 pending, 9 parked, 31 resolved",
        "Replays:        96.8% succeeded: 31 succeeded, 1 failed",
        f"    {'·' * 22}▁█\n",
        f"{dt.datetime.now(dt.UTC):%a}  60  {'█' * 30}\n",
        "    api-enrichment-pipeline        89",
        "1.4.1\t120\t3 d 0 h\t1 h 0 min",
        f"{OTHER}\t9\t",
        f"    {LETTER_ID}\n",
        "    1. dlq replay --fingerprint 5c457931adde782b",
        f"2026-11-24T02:00:00Z  tom: merge, into {ID}",
    ):
        assert part in told
    assert not any(c in told for c in "\x1b\u202e")
    assert run("groups", "show", "5c45", "--json") == 0
    assert json.loads(capsys.readouterr().out)["id"] == ID


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"last_hour": 0}, "no failure in this hour, 60 in the last 24 h"),
        ({"last_hour": 0, "last_24h": 0, "last_seen": ago(days=2)}, "quiet for 2 d 0 h"),
    ],
)
def test_whether_it_goes_on_is_said(
    changes: dict[str, Any],
    said: str,
    manager: FakeGroups,
    capsys: pytest.CaptureFixture[str],
) -> None:
    manager.answers[f"/dlq/groups/{ID}"] = story(**changes, hourly=[0] * 24, daily=[0] * 7)
    assert run("groups", "show", ID) == 0
    assert f"Goes on:        {said}\n" in capsys.readouterr().out


def test_a_group_that_is_not_there_exits_4_in_the_managers_words(
    manager: FakeGroups, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["show", "abcd"], ["ack", "../x"], ["merge", "abcd", "--into", ID]):
        assert run("groups", *command) == 4
        assert "There is no group 'abcd'." in capsys.readouterr().err
    assert manager.asked[1][1] == "/dlq/groups/..%2Fx/acknowledge"


# --- changes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "verb", "body", "said", "undo"),
    [
        (["ack", "5c45"], "acknowledge", {}, "is acknowledged", "restore"),
        (["archive", "5c45"], "archive", {}, "is archived", "restore"),
        (["mute", "5c45"], "mute", {"for_s": None}, "is muted", "unmute"),
        (["mute", "5c45", "--for", "2h"], "mute", {"for_s": 7200}, "is muted until", "unmute"),
        (["unmute", "5c45"], "unmute", {}, "is not muted", None),
        (["restore", "5c45"], "restore", {}, "is open", None),
        (["fixed", "5c45"], "fixed", {"release": None}, "is fixed", "reopen"),
        (
            ["fixed", "5c45", "--release", "1.4"],
            *("fixed", {"release": "1.4"}, "is fixed in 1.4", "reopen"),
        ),
        (["reopen", "5c45"], "reopen", {}, "is not fixed", None),
        (["merge", "5c45", "--into", OTHER], "merge", {"into": OTHER}, "has 1 causes", "split"),
    ],
)
def test_a_change_says_what_holds_now_and_how_to_take_it_back(
    command: list[str],
    verb: str,
    body: dict[str, Any],
    said: str,
    undo: str | None,
    manager: FakeGroups,
    capsys: pytest.CaptureFixture[str],
) -> None:
    manager.answers[f"/dlq/groups/5c45/{verb}"] = story(muted_until=ago(hours=-2))
    assert run("groups", *command) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(f"Group {ID} {said}")
    assert shown.out.endswith("evil \\x1b[2J\\u{202e} [red]x[/red]\n")
    assert (f"To take it back: dlq groups {undo} {ID}\n" in shown.err) is (undo is not None)
    assert ("dlq replay --fingerprint" in shown.err) is (verb == "fixed")
    assert manager.asked == [("POST", f"/dlq/groups/5c45/{verb}", body)]
    assert run("groups", *command, "--json") == 0
    assert json.loads(capsys.readouterr().out)["id"] == ID


def test_a_split_shows_the_groups_that_there_are_then(
    manager: FakeGroups, capsys: pytest.CaptureFixture[str]
) -> None:
    path = "/dlq/groups/5c45/split"
    manager.answers[path] = [story(), story(id=OTHER, fingerprint=OTHER)]
    assert run("groups", "split", "5c45", "--cause", "3f1c") == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()[1:]] == [ID, OTHER]
    assert manager.asked == [("POST", path, {"fingerprint": "3f1c"})]
    manager.answers[path] = [story()]
    assert run("groups", "split", "5c45") == 0
    assert capsys.readouterr().err == "Nothing is merged into it.\n"


@pytest.mark.parametrize(
    "command",
    [
        ["note", ID],
        ["note", ID, "text", "--remove"],
        ["note", ID, ""],
        ["category", ID],
        ["category", ID, "auth", "--reset"],
        ["mute", ID, "--for", "soon"],
        ["show", ""],
        ["merge", ID],
    ],
)
def test_what_cannot_be_meant_is_refused_before_the_manager_is_asked(
    command: list[str], manager: FakeGroups
) -> None:
    assert run("groups", *command) == 2
    assert manager.asked == []


# --- regroup -----------------------------------------------------------------------------


def part(fingerprint: str, count: int, category: str = "unknown") -> dict[str, Any]:
    return {
        "fingerprint": fingerprint * 16,
        "title": f"cause {fingerprint} {EVIL}",
        "category": category,
        "group": fingerprint * 16,
        "count": count,
    }


def report(**changes: Any) -> dict[str, Any]:
    told: dict[str, Any] = {
        "dry_run": True,
        "total": 1000,
        "to_move": 130,
        "moved": 0,
        "unchanged_causes": 31,
        "changes": [
            change("rename", [part("a", 100)], [part("b", 100)], kept_groups=["a" * 16]),
            change(
                "merge",
                [part("c", 20), part("d", 5), part("e", 5)],
                [part("f", 30, "auth")],
                left_marks=["c" * 16],
            ),
        ],
    }
    told |= changes
    ReportView.model_validate(told)
    return told


def change(kind: str, before: list[Any], after: list[Any], **more: Any) -> dict[str, Any]:
    told = {
        "kind": kind,
        "before": before,
        "after": after,
        "moved": sum(p["count"] for p in before),
        "samples": [LETTER_ID],
        "kept_groups": [],
        "left_marks": [],
    }
    return told | more


def at(phase: str, done: int, total: int, moved: int = 0) -> dict[str, Any]:
    return {"phase": phase, "done": done, "total": total, "moved": moved}


TRIED = [at("reading", 0, 1000), at("reading", 1000, 1000), {"report": report()}]
DONE = [
    *TRIED[:2],
    at("moving", 0, 130),
    at("moving", 130, 130, 130),
    {"report": report(dry_run=False, moved=130)},
]


def test_a_dry_run_shows_what_splits_and_merges_first(
    manager: FakeGroups, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.streams = [TRIED, TRIED]
    assert run("regroup", "--dry-run") == 0
    shown = capsys.readouterr()
    said, kinds, _, header, *rows = shown.out.splitlines()
    assert said == ("Of 1000 dead letters 130 have another cause; 31 causes stay as they are.")
    assert kinds == "1 merge, 1 new fingerprint."
    assert header.split("\t") == [column.name for column in CHANGES]
    assert [row.split("\t")[:5] for row in rows] == [
        ["3 become 1", "was", "20", "c" * 16, "unknown"],
        ["3 become 1", "was", "5", "d" * 16, "unknown"],
        ["3 become 1", "was", "5", "e" * 16, "unknown"],
        ["3 become 1", "is", "30", "f" * 16, "auth"],
        ["1 becomes 1", "was", "100", "a" * 16, "unknown"],
        ["1 becomes 1", "is", "100", "b" * 16, "unknown"],
    ]
    assert not any(c in shown.out for c in "\x1b\u202e")
    assert f"leaves their notes and marks behind: {'c' * 16}\n" in shown.err
    assert manager.asked == [("POST", "/dlq/regroup", {"dry_run": True})]
    assert run("regroup", "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["to_move"] == 130


def test_the_real_one_asks_with_the_count_first(
    manager: FakeGroups, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.streams = [TRIED]
    assert run("regroup") == 2
    assert "Move 130 dead letters? There is no terminal to ask on" in capsys.readouterr().err
    assert [body for _, _, body in manager.asked] == [{"dry_run": True}]


def test_nothing_to_move_asks_nothing(
    manager: FakeGroups, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.streams = [[TRIED[0], {"report": report(to_move=0, changes=[])}]]
    assert run("regroup") == 0
    assert "0 have another cause" in capsys.readouterr().out


def test_told_yes_it_moves_and_says_how_many(
    manager: FakeGroups, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.streams = [DONE, DONE]
    assert run("regroup", "--yes") == 0
    assert capsys.readouterr().out.endswith("Moved 130 dead letters.\n")
    assert [body for _, _, body in manager.asked] == [{"dry_run": False}]
    assert run("regroup", "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out)["moved"] == 130


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        (
            [{"detail": "The disk is full. 50 were moved.", "code": "ledger_unavailable"}],
            *(3, "The disk is full. 50 were moved."),
        ),
        ([{"detail": "The manager stops.", "code": "stopping"}], 1, "The manager stops."),
        (
            [],
            *(1, "At least 50 dead letters moved, which stays so; 50 of 130 were looked at."),
        ),
    ],
)
def test_one_that_ends_early_says_how_far_it_came(
    end: list[dict[str, Any]],
    code: int,
    said: str,
    manager: FakeGroups,
    capsys: pytest.CaptureFixture[str],
) -> None:
    moving = [at("moving", 0, 130), at("moving", 50, 130, 50)]
    manager.streams = [[*TRIED[:2], *moving, *end]]
    assert run("regroup", "--yes") == code
    assert said in capsys.readouterr().err


def test_ctrl_c_leaves_what_is_moved_and_says_that_running_again_goes_on(
    manager: FakeGroups, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.streams = [DONE]
    read = GroupManager._event

    def pressed(self: GroupManager, line: str) -> dict[str, Any]:
        event = read(self, line)
        if "report" in event:
            raise KeyboardInterrupt
        return event

    monkeypatch.setattr(GroupManager, "_event", pressed)
    assert run("regroup", "--yes") == 130
    assert "Interrupted. At least 130 dead letters moved, which stays so" in (
        said := capsys.readouterr().err
    )
    assert "Run it again: it goes on with what is left." in said


def test_what_is_no_manager_is_told(
    manager: FakeGroups, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.answers["/dlq/groups"] = {"not": "a list"}
    assert run("groups") == 3
    assert "is not a DLQ manager" in capsys.readouterr().err
