"""Commands over several dead letters: what they choose, and what they tell when cut short."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dlq.cli import main
from tests.support.hearing import hearing
from tests.support.waiting import until

DLQ = str(Path(sys.executable).parent / "dlq")
NOT_LEDGER = (503, {"detail": "The ledger is away.", "code": "ledger_unavailable"})


class FakeManager(ThreadingHTTPServer):
    """Replays and deletes what it is asked to; `answers_left` bounds how often it does so,
    then it fails, or hangs until `go_on`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ids: list[str] = []
        self.asked: list[str] = []
        self.answers_left = 1000
        self.hangs = False
        self.go_on = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        self.asked.append(f"{method} {path}")
        if method == "GET":
            return 200, {"message_id": path}
        self.answers_left -= 1
        if self.answers_left < 0:
            if self.hangs:
                self.go_on.wait(30)
            return NOT_LEDGER
        if method == "DELETE":
            return 200, {"success": True}
        count = len(json.loads(body)["message_ids"])
        return 200, {"success": True, "replayed_count": count, "failed_count": 0, "errors": []}


class _Handler(BaseHTTPRequestHandler):
    server: FakeManager

    def _reply(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/dlq/export"):
            self.server.asked.append(f"GET {self.path}")
            self._send(200, "".join(json.dumps({"message_id": i}) + "\n" for i in self.server.ids))
        else:
            status, document = self.server.answer(self.command, self.path, body)
            self._send(status, json.dumps(document))

    do_GET = do_POST = do_DELETE = _reply  # noqa: N815 - the names that http.server calls

    def _send(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeManager]:
    with FakeManager() as running:
        monkeypatch.setenv("DLQ_URL", running.url)
        yield running
        running.go_on.set()
        running.shutdown()


def run(*arguments: str) -> int:
    """Returns: the exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


# --- what is chosen ----------------------------------------------------------------------

FILTERS = ("--error-type", "--category", "--fingerprint", "--source-service")


@pytest.mark.parametrize(
    ("command", "option"),
    [
        *(
            (command, option)
            for command in (("replay", "--yes"), ("list",), ("export",))
            for option in FILTERS
        ),
        *(
            (command, "--where")
            for command in (("list",), ("export",), ("delete", "--yes"), ("replay",))
        ),
    ],
)
@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_filter_is_refused_and_nothing_is_asked(
    command: tuple[str, ...],
    option: str,
    value: str,
    manager: FakeManager,
    capsys: pytest.CaptureFixture[str],
) -> None:
    manager.ids = ["a", "b"]
    assert run(*command, option, value) == 2
    said = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert option in said
    assert "expected a text that is not empty" in said
    assert manager.asked == []


def test_a_filter_chooses_what_is_deleted(
    manager: FakeManager, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.ids = ["a", "b"]
    chosen = ("delete", "--where", "category:bug age>30d")
    assert run(*chosen) == 2  # nobody said yes
    assert "Delete 2 dead letters for good?" in capsys.readouterr().err
    assert run(*chosen, "--yes") == 0
    assert capsys.readouterr().out == "Deleted 2 of 2.\n"
    export = "GET /dlq/export?where=category%3Abug+age%3E30d"
    assert manager.asked == [export, export, "DELETE /dlq/message/a", "DELETE /dlq/message/b"]


@pytest.mark.parametrize("wrong", [(), ("a", "--where", "category:bug"), ("--where", " ")])
def test_delete_wants_ids_or_a_filter(wrong: tuple[str, ...], manager: FakeManager) -> None:
    manager.ids = ["a"]
    assert run("delete", *wrong, "--yes") == 2
    assert manager.asked == []


def test_a_filter_that_finds_nothing_deletes_nothing(
    manager: FakeManager, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("delete", "--where", "category:bug") == 0
    assert capsys.readouterr().err == "Nothing to delete.\n"
    assert run("delete", "--where", "category:bug", "--json", "--yes") == 0
    assert json.loads(capsys.readouterr().out)["deleted_count"] == 0


@pytest.mark.parametrize("command", [("replay", ""), ("show", ""), ("delete", "a", "", "--yes")])
def test_an_empty_id_is_refused(command: tuple[str, ...], manager: FakeManager) -> None:
    assert run(*command) == 2
    assert manager.asked == []


@pytest.mark.parametrize(("message_id", "part"), [("..", "%2E%2E"), (".", "%2E"), ("a/b", "a%2Fb")])
def test_an_id_cannot_step_out_of_its_path(
    message_id: str, part: str, manager: FakeManager
) -> None:
    assert run("delete", message_id, "--yes") == 0
    assert run("show", message_id, "--json") == 0
    assert manager.asked == [f"DELETE /dlq/message/{part}", f"GET /dlq/messages/{part}"]


# --- cut short ---------------------------------------------------------------------------


def test_an_error_in_the_middle_ends_with_what_was_done(
    manager: FakeManager, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.answers_left = 0
    assert run("replay", "a", "b", "c") == 3
    shown = capsys.readouterr()
    assert shown.out == "Replayed 0 of 3 dead letters.\n"
    assert shown.err == "Error: The ledger is away. 3 dead letters may not have been replayed.\n"
    manager.answers_left = 1
    assert run("delete", "a", "b", "c", "--yes") == 3
    shown = capsys.readouterr()
    assert shown.out == "Deleted 1 of 3.\n"
    assert shown.err == "Error: The ledger is away. 2 may not have been deleted.\n"


@pytest.mark.parametrize(
    ("command", "done", "left"),
    [
        (["replay"], "Replayed 0 of 3", "3 dead letters may not"),
        (["delete", "--yes"], "Deleted 1 of 3", "2 may not"),
    ],
)
def test_ctrl_c_tells_what_was_done(
    command: list[str], done: str, left: str, manager: FakeManager
) -> None:
    manager.answers_left, manager.hangs = (0 if command == ["replay"] else 1), True
    process = subprocess.Popen(
        hearing(DLQ, *command, "a", "b", "c"),
        env={**os.environ, "DLQ_URL": manager.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: manager.answers_left < 0, 30, "the request that hangs did not come")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130
    assert done in out
    assert f"Interrupted. {left}" in err
    assert "Traceback" not in err


# --- output that cannot be written -------------------------------------------------------


@pytest.mark.parametrize(
    "command", [["export"], ["replay", "a", "--json"], ["token", "list"], ["--help"]]
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_stdout_is_one_line_and_exit_1(
    command: list[str], unbuffered: str, manager: FakeManager
) -> None:
    if command == ["token", "list"]:
        assert run("token", "create", "--name", "me") == 0
    manager.ids = [f"id-{n}" for n in range(2000)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [DLQ, *command],
            env={**os.environ, "DLQ_URL": manager.url, "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "Error: Standard output cannot be written: No space left on device.\n"


@pytest.mark.parametrize("count", [1, 20_000])
def test_a_reader_that_has_gone_is_no_error_worth_a_word(count: int, manager: FakeManager) -> None:
    manager.ids = [f"id-{n}" for n in range(count)]
    done = subprocess.run(
        ["bash", "-c", f"{DLQ} export | true; echo ${{PIPESTATUS[0]}}"],
        env={**os.environ, "DLQ_URL": manager.url},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout == "141\n"
    assert "Error" not in done.stderr
    assert "Exception" not in done.stderr


def test_exports_at_once_do_not_share_a_half_written_file(
    manager: FakeManager, tmp_path: Path
) -> None:
    manager.ids = ["a"]
    target = tmp_path / "failures.jsonl"
    mine = tmp_path / "failures.jsonl.part"
    mine.write_text("somebody's own")
    assert run("export", "--output", str(target)) == 0
    assert target.read_text() == '{"message_id": "a"}\n'
    assert mine.read_text() == "somebody's own"
    assert sorted(path.name for path in tmp_path.glob("failures*")) == [target.name, mine.name]


def test_an_export_does_not_replace_what_is_no_file(
    manager: FakeManager, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.ids = ["a"]
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    assert run("export", "--output", str(pipe), "--force") == 2
    assert "is not a file that could be replaced" in capsys.readouterr().err
    assert pipe.is_fifo()
