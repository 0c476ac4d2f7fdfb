"""What reaches a terminal: tables that fit, and log lines that do it no harm."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dlq.cli import main
from dlq.cli.logs import log_errors_only, log_to_stderr
from dlq.cli.messages import COLUMNS as LIST_COLUMNS
from dlq.cli.output import Column, print_table


def run(*arguments: str) -> int:
    """Returns: the exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


# --- tables ------------------------------------------------------------------------------


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


ID = "550e8400-e29b-41d4-a716-446655440000"
TABLE = ((Column("ID", whole=True), Column("WHY")), [(ID, "[red]\x1b[2J\u202e " + "long " * 40)])


def test_on_a_terminal_ids_stay_whole_and_hostile_text_does_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    print_table(*TABLE)
    assert ID in terminal.written
    assert "[red]\\x1b[2J" in terminal.written
    assert "\x1b[2J" not in terminal.written
    assert "\u202e" not in terminal.written


CAUSE = "too many requests in one hour from here"


@pytest.mark.parametrize("width", [80, 100, 200])
def test_one_long_id_or_type_is_folded_and_leaves_the_others_their_room(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    long_id, long_type = "0123456789abcdef" * 15 + "!", "t" * 200
    row = (long_id, "pending", long_type, "rate_limit", "3 h 20 min", 3, 0, CAUSE)
    usual = (ID, "pending", "spotify", "rate_limit", "2 d 4 h", 3, 0, "no such track")
    print_table(LIST_COLUMNS, [row, usual])
    lines = [re.sub(r"\x1b\[\d*m", "", line) for line in terminal.written.splitlines()]
    assert max(map(len, lines)) <= width
    assert "".join(line[1:37].strip() for line in lines[3:10]) == long_id
    assert ("TRIES" in terminal.written) is (width >= 140)
    if width >= 96:
        assert terminal.written.count("t" * 16) == 12
    [line] = [line for line in lines if ID in line]
    assert "pending" in line
    assert "2 d 4 h" in line
    assert "no such" in line
    assert [word for line in lines[3:] for word in line.split() if word in CAUSE.split()] == (
        CAUSE.split()
    )


@pytest.mark.parametrize(("width", "shown"), [(80, False), (120, True)])
def test_a_narrow_terminal_gets_fewer_columns(
    width: int, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    print_table((Column("ID"), Column("MORE", from_width=100)), [(ID, "more")])
    assert ("more" in terminal.written) is shown


def test_a_pipe_gets_tab_separated_lines_without_colours(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table(*TABLE)
    header, line = capsys.readouterr().out.splitlines()
    assert header == "ID\tWHY"
    assert line.split("\t")[0] == ID
    assert "\x1b" not in line


# --- logs --------------------------------------------------------------------------------


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger without handlers, as a process begins; put back afterwards."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers = []
    yield root
    root.handlers = before
    root.setLevel(level)


HOSTILE = "x\n2025 INFO forged \x1b[31m"


def test_a_failures_text_cannot_forge_a_log_line(
    root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    log_to_stderr("info")
    logging.getLogger("dlq.test").warning("bad: %s", HOSTILE)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].endswith("WARNING dlq.test: bad: x 2025 INFO forged \\x1b[31m")


def test_every_command_has_its_logging_set_up(
    root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert run("spool") == 0
    capsys.readouterr()
    logging.getLogger("dlq.client.drain").warning("not worth a word")
    logging.getLogger("dlq.client.drain").error("bad: %s", HOSTILE)
    logging.getLogger("dlq.client.courier").error("told by the command itself")
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("ERROR dlq.client.drain: bad: x 2025 INFO forged \\x1b[31m")


def test_a_command_that_runs_on_logs_as_it_is_told(
    root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    log_errors_only()
    log_to_stderr("info")
    logging.getLogger("dlq.client.courier").info("said")
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("INFO dlq.client.courier: said")


def test_an_unsafe_failure_is_told_once_and_without_effect_on_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("DLQ_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("DLQ_SPOOL_DIR", str(tmp_path / "file" / "spool"))
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from dlq.cli import main; main()"),
            *("publish", "{}", "--error", "x", "--message-id", "evil-\x1b[2J"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("Error: Nobody holds this failure: The spool ")
    assert "\x1b" not in done.stderr + done.stdout
