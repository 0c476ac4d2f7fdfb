"""What `dlq edit` makes of its options, of an editor, and how it shows a difference."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from dlq.cli import corrections
from dlq.cli.corrections import from_editor, from_paths
from dlq.cli.difference import print_difference, readable_json, told
from dlq.edit import edited_payload
from dlq.errors import InvalidInput

PAYLOAD: dict[str, Any] = {"a/b": 1, "l": [{"x": 1}, 2], "t": "text"}


@pytest.mark.parametrize(
    ("setting", "after"),
    [
        ("payload.new=text", {**PAYLOAD, "new": "text"}),
        ("payload.new=5", {**PAYLOAD, "new": 5}),
        ('payload.new="5"', {**PAYLOAD, "new": "5"}),
        ("payload.new=null", {**PAYLOAD, "new": None}),
        ('payload.new={"a": [1]}', {**PAYLOAD, "new": {"a": [1]}}),
        ("payload.new=", {**PAYLOAD, "new": ""}),
        ("payload.new=a=b", {**PAYLOAD, "new": "a=b"}),
        ("payload.new=NaN", {**PAYLOAD, "new": "NaN"}),
        ("payload.a/b=2", {**PAYLOAD, "a/b": 2}),
        ("payload.l.0.x=2", {**PAYLOAD, "l": [{"x": 2}, 2]}),
        ("payload.l.1=3", {**PAYLOAD, "l": [{"x": 1}, 3]}),
        ("payload.l.2=3", {**PAYLOAD, "l": [{"x": 1}, 2, 3]}),
        ("payload.l.-=3", {**PAYLOAD, "l": [{"x": 1}, 2, 3]}),
    ],
)
def test_a_value_is_set_where_its_path_says(setting: str, after: dict[str, Any]) -> None:
    correction = from_paths(PAYLOAD, [setting], [])
    assert edited_payload(PAYLOAD, patch=correction.patch) == after


def test_a_path_that_leads_nowhere_is_refused_with_its_place() -> None:
    for setting in ("payload.l.7=1", "payload.t.x=1", "payload.no.x=1"):
        correction = from_paths(PAYLOAD, [setting], [])
        with pytest.raises(InvalidInput, match="Operation 0 of the patch"):
            edited_payload(PAYLOAD, patch=correction.patch)


@pytest.mark.parametrize("path", ["payload", "payload.", "payload..a", "a", ".a", ""])
def test_a_path_begins_at_the_payload(path: str) -> None:
    with pytest.raises(InvalidInput, match=r"expected payload\.KEY"):
        from_paths(PAYLOAD, [f"{path}=1"], [])
    with pytest.raises(InvalidInput, match=r"expected payload\.KEY"):
        from_paths(PAYLOAD, [], [path])


# --- the editor --------------------------------------------------------------------------


@pytest.fixture
def edited_by(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Sets an editor that writes the given texts, one at a time."""
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def set_editor(*texts: str) -> None:
        waiting = tmp_path / "texts.txt"
        waiting.write_text(json.dumps(texts))
        script = tmp_path / "editor.py"
        script.write_text(
            "import json, pathlib, sys\n"
            f"waiting = pathlib.Path({str(waiting)!r})\n"
            "text, *rest = json.loads(waiting.read_text())\n"
            "waiting.write_text(json.dumps(rest))\n"
            "pathlib.Path(sys.argv[1]).write_text(text)\n"
        )
        monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")

    return set_editor


def test_what_the_editor_leaves_is_the_document(edited_by: Any, tmp_path: Path) -> None:
    edited_by('{"a": 1}')
    assert from_editor(PAYLOAD).document == {"a": 1}
    assert list(tmp_path.glob("dlq-edit-*")) == []


def test_broken_json_is_edited_again_and_not_lost(
    edited_by: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    edited_by('{"a": ', "[1]", '{"a": 1}')
    monkeypatch.setattr(corrections, "confirmed", lambda _question, *, yes: not yes)
    assert from_editor(PAYLOAD).document == {"a": 1}
    told_errors = capsys.readouterr().err
    assert "is not JSON" in told_errors
    assert "expected a JSON object" in told_errors


def test_an_edit_that_is_given_up_changes_nothing(
    edited_by: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited_by("{")
    monkeypatch.setattr(corrections, "confirmed", lambda _question, *, yes: yes)
    with pytest.raises(InvalidInput, match="was not edited"):
        from_editor(PAYLOAD)


@pytest.mark.parametrize(
    ("editor", "why"),
    [("/no/such/editor", "cannot be run"), ("false", "ended with 1"), ("'", "cannot be run")],
)
def test_an_editor_that_does_not_work_is_named(
    edited_by: Any, monkeypatch: pytest.MonkeyPatch, editor: str, why: str
) -> None:
    edited_by("{}")
    monkeypatch.setenv("EDITOR", editor)
    with pytest.raises(InvalidInput, match=why):
        from_editor(PAYLOAD)


# --- what is shown -----------------------------------------------------------------------


def test_a_difference_is_coloured_on_a_terminal_and_hostile_text_does_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    print_difference({"a": "\x1b[2J"}, {"a": "[red]\u202e\x9b"}, stderr=False)
    shown = capsys.readouterr().out
    assert '\x1b[31m-  "a": "\\u001b[2J"\x1b[0m' in shown
    assert '\x1b[32m+  "a": "[red]\\u202e\\u009b"\x1b[0m' in shown


def test_what_is_edited_reads_as_json_again() -> None:
    hostile = {"é\x1b": ["\u202e", "\U000e0001", "line\nbreak", "日本"]}
    text = readable_json(hostile)
    assert json.loads(text) == hostile
    assert not any(c in text for c in "\x1b\u202e\U000e0001")
    assert "日本" in text


def test_a_difference_is_told_in_a_line() -> None:
    changes = [{"op": "replace", "path": "/a"}, {"op": "add", "path": "/b\x1b"}]
    assert told(changes) == "replace /a, add /b\\x1b"
