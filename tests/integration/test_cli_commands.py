"""The commands against a real manager."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dlq.cli import main
from dlq.settings import Settings
from dlq.transport.amqp import AmqpControl
from dlq.worker import RetryWorker
from tests.support.manager import ManagerProcess
from tests.support.ports import free_port
from tests.support.rabbitmq import BrokerNode
from tests.support.waiting import until

DLQ = str(Path(sys.executable).parent / "dlq")
NUMBERS = itertools.count(1)


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
def error_type() -> str:
    return f"provider_{next(NUMBERS)}"


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """The lines of a piped table, without its header."""
        return [line.split("\t") for line in self.out.splitlines()[1:]]

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Cli:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Ran:
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        captured = self._capsys.readouterr()
        assert "Traceback" not in captured.err
        return Ran(int(ended.value.code or 0), captured.out, captured.err)


@pytest.fixture
def cli(
    manager: ManagerProcess,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Cli:
    monkeypatch.setenv("DLQ_URL", manager.url)
    return Cli(capsys)


def publish(
    cli: Cli, error_type: str, count: int = 1, error: str = "429 Too Many Requests"
) -> list[str]:
    ids = []
    for number in range(count):
        ran = cli(
            *("publish", json.dumps({"number": number}), "--error", error),
            *("--error-type", error_type, "--retry-count", "3", "--source-service", "test"),
            *("--metadata", '{"spider": "mixesdb"}'),
        )
        assert ran.code == 0, ran.err
        ids.append(ran.out.strip())
    return ids


def test_what_is_published_is_listed_and_shown(cli: Cli, error_type: str) -> None:
    [message_id] = publish(cli, error_type)
    listed = cli("list", "--error-type", error_type)
    assert [row[:4] for row in listed.rows] == [[message_id, "pending", error_type, "rate_limit"]]
    shown = cli("show", message_id)
    assert shown.code == 0
    for part in ("429 Too Many", '"number": 0', '"spider": "mixesdb"', "History:", "arrived"):
        assert part in shown.out
    assert cli("show", message_id, "--json").json["source_service"] == "test"


def test_publishing_again_under_the_same_id_changes_nothing(cli: Cli, error_type: str) -> None:
    again = ("publish", "{}", "--error", "x", "--error-type", error_type, "--message-id", "same-1")
    assert cli(*again).out == cli(*again).out == "same-1\n"
    assert len(cli("list", "--error-type", error_type).rows) == 1


def test_pages_follow_each_other_and_say_so(cli: Cli, error_type: str) -> None:
    ids = publish(cli, error_type, count=3)
    first = cli("list", "--error-type", error_type, "--limit", "2")
    assert [row[0] for row in first.rows] == ids[:2]
    assert first.err.strip() == "2 of 3. Next: --offset 2"
    rest = cli("list", "--error-type", error_type, "--limit", "2", "--offset", "2")
    assert [row[0] for row in rest.rows] == ids[2:]
    assert rest.err == ""
    newest = cli("list", "--error-type", error_type, "--newest", "--json")
    assert [message["message_id"] for message in newest.json] == ids[::-1]


def test_hostile_failures_do_nothing_to_the_reader(cli: Cli, error_type: str) -> None:
    error = "boom \x1b[2J\x1b]0;owned\x07 [bold]x[/bold] \u202e"
    [message_id] = publish(cli, error_type, error=error)
    for ran in (cli("show", message_id), cli("list", "--error-type", error_type), cli("groups")):
        assert ran.code == 0
        assert not any(c in ran.out for c in "\x1b\x07\u202e")
    assert "[bold]x[/bold]" in cli("show", message_id).out


def test_groups_and_stats_count_what_is_there(cli: Cli, error_type: str) -> None:
    ids = publish(cli, error_type, count=2)
    causes = [
        g for g in cli("groups", "--limit", "1000", "--json").json if g["error_type"] == error_type
    ]
    assert [cause["count"] for cause in causes] == [2]
    by_type = [
        row
        for row in cli("groups", "--by", "error-type", "--limit", "1000").rows
        if row[0] == error_type
    ]
    assert by_type[0][1] == "2"
    assert by_type[0][4] in ids
    assert cli("stats", "--json").json["by_error_type"][error_type] == 2
    assert error_type in cli("stats").out


def test_replay_by_cause_is_a_job_and_a_worker_resolves_it(
    cli: Cli, error_type: str, manager: ManagerProcess
) -> None:
    ids = publish(cli, error_type, count=5)
    [cause] = [
        g for g in cli("groups", "--limit", "1000", "--json").json if g["error_type"] == error_type
    ]
    asked = ("replay", "--fingerprint", cause["fingerprint"], "--detach")
    refused = cli(*asked)
    assert (refused.code, refused.out) == (2, "")
    assert "Replay 5 dead letters?" in refused.err
    ran = cli(*asked, "--yes")
    assert ran.code == 0
    seen: list[str] = []
    worker = RetryWorker(
        {error_type: lambda m: seen.append(m.message_id)}, settings=manager.settings
    )
    assert worker.run_until_idle(30, idle_s=0.5).succeeded == 5
    assert sorted(seen) == sorted(ids)
    assert cli("jobs", "follow", ran.out.strip(), "--json").json["succeeded"] == 5
    states = cli("list", "--state", "resolved", "--error-type", error_type).rows
    assert len(states) == 5


def test_replay_says_per_message_what_did_not_go(cli: Cli, error_type: str) -> None:
    [message_id] = publish(cli, error_type)
    partly = cli("replay", message_id, "missing-1")
    assert partly.code == 1
    assert "Replayed 1 of 2 dead letters." in partly.out
    assert "missing-1\tnot_found\t" in partly.out
    assert cli("replay", message_id).code == 5
    assert cli("replay", "missing-1").code == 4


def test_delete_takes_only_what_it_is_given_and_only_if_told_so(cli: Cli, error_type: str) -> None:
    gone, kept = publish(cli, error_type, count=2)
    assert cli("delete", gone).code == 2
    assert cli("delete", gone, "--yes").out == "Deleted 1 of 1.\n"
    assert cli("delete", gone, "--yes").code == 4
    assert [row[0] for row in cli("list", "--error-type", error_type).rows] == [kept]


def test_a_dead_letter_in_replay_cannot_be_deleted(cli: Cli, error_type: str) -> None:
    [message_id] = publish(cli, error_type)
    assert cli("replay", message_id).code == 0
    ran = cli("delete", message_id, "--yes", "--json")
    assert ran.code == 5
    assert ran.json["errors"][0]["code"] == "illegal_state"


def test_export_writes_every_dead_letter_once(cli: Cli, error_type: str, tmp_path: Path) -> None:
    ids = publish(cli, error_type, count=3)
    target = tmp_path / "failures.jsonl"
    ran = cli("export", "--error-type", error_type, "--output", str(target))
    assert ran.code == 0
    lines = target.read_text("utf-8").splitlines()
    assert [json.loads(line)["message_id"] for line in lines] == ids
    assert cli("export", "--error-type", error_type).out.splitlines() == lines
    assert [path.name for path in tmp_path.glob("failures*")] == ["failures.jsonl"]


def test_export_to_a_place_that_cannot_be_written_exits_2(cli: Cli, tmp_path: Path) -> None:
    ran = cli("export", "--output", str(tmp_path / "no" / "where.jsonl"))
    assert ran.code == 2
    assert "cannot be written: No such file or directory" in ran.err


class _CutsOff(socketserver.BaseRequestHandler):
    """Promises more lines than it sends."""

    def handle(self) -> None:
        self.request.recv(65536)
        self.request.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nX-Total-Count: 2\r\n"
            b'Content-Length: 1000\r\n\r\n{"message_id": "a"}\n'
        )


def test_an_export_that_is_cut_off_leaves_no_file_and_exits_3(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socketserver.TCPServer(("127.0.0.1", free_port()), _CutsOff) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        monkeypatch.setenv("DLQ_URL", f"http://127.0.0.1:{server.server_address[1]}")
        ran = cli("export", "--output", str(tmp_path / "failures.jsonl"))
    assert ran.code == 3
    assert list(tmp_path.glob("failures*")) == []


def test_a_failure_published_while_the_manager_is_down_is_spooled_and_flushed(
    cli: Cli, error_type: str, manager: ManagerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLQ_URL", f"http://127.0.0.1:{free_port()}")
    ran = cli("publish", "{}", "--error", "x", "--error-type", error_type, "--json")
    assert (ran.code, ran.json["state"]) == (0, "spooled")
    [waiting] = cli("spool", "--json").json
    assert waiting["waiting"] == 1
    assert cli("spool", "flush", "--timeout", "0.5").code == 1
    [entry] = cli("spool", "list", "--json").json
    assert entry["message_id"] == ran.json["message_id"]

    moved = cli("spool", "readdress", waiting["destination"], manager.url, "--yes")
    assert moved.out == "Readdressed: 1\n"
    monkeypatch.setenv("DLQ_URL", manager.url)
    assert cli("spool", "flush").code == 0
    assert cli("spool", "--json").json == []
    assert [row[0] for row in cli("list", "--error-type", error_type).rows] == [
        ran.json["message_id"]
    ]


def test_doctor_finds_a_sound_embedded_system_sound(cli: Cli) -> None:
    ran = cli("doctor", "--json")
    assert ran.code == 0
    assert {check["name"]: check["verdict"] for check in ran.json} == {
        "manager": "ok",
        "access": "ok",
        "ledger": "ok",
        "clock": "ok",
        "broker": "ok",
        "spool": "ok",
    }


def test_doctor_fails_with_advice_when_the_manager_is_down(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLQ_URL", "http://127.0.0.1:9")
    ran = cli("doctor")
    assert ran.code == 1
    assert "fail manager: The manager at http://127.0.0.1:9 does not answer" in ran.out


class _WithoutLedger(BaseHTTPRequestHandler):
    """Answers as a manager does whose database is away."""

    def do_GET(self) -> None:
        body: dict[str, Any] = {"detail": "The ledger is away.", "code": "ledger_unavailable"}
        if self.path == "/health":
            body = {
                "status": "unhealthy",
                "timestamp": "2025-10-10T12:30:45Z",
                "broker": {"shape": "embedded", "mismatches": []},
                "ledger": {"ok": False, "problem": "disk I/O error"},
            }
        self.send_response(503)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: Any) -> None: ...


def test_doctor_tells_a_broken_ledger_and_a_wrong_clock_from_a_missing_manager(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", free_port()), _WithoutLedger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("DLQ_URL", f"http://127.0.0.1:{server.server_port}")
        ran = cli("doctor", "--json")
        assert cli("stats").code == 3
        server.shutdown()
    assert ran.code == 1
    checks = {check["name"]: check for check in ran.json}
    assert checks["manager"]["verdict"] == "ok"
    assert (checks["ledger"]["verdict"], checks["ledger"]["detail"]) == ("fail", "disk I/O error")
    assert checks["clock"]["verdict"] == "warn"


def test_doctor_misses_the_consumer_of_the_retry_queue(
    cli: Cli, broker: BrokerNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.start()
    url = broker.url(broker.fresh_vhost())
    monkeypatch.setenv("DLQ_BROKER_URL", url)
    before = {c["name"]: c for c in cli("doctor", "--json").json}
    assert "enrichment.dlq.retry" in before["queues"]["detail"]
    assert "dlq topology apply" in before["queues"]["remedy"]
    assert before["shape"]["verdict"] == "warn"

    assert cli("topology", "apply").out == "Exchange, queues and bindings are there.\n"
    after = {c["name"]: c for c in cli("doctor", "--json").json}
    assert "queues" not in after
    assert after["retry consumer"]["verdict"] == "warn"
    assert "dlq worker" in after["retry consumer"]["remedy"]
    assert "not-a-secret" not in json.dumps(after)


def test_doctor_fails_when_the_broker_cannot_be_reached(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLQ_BROKER_URL", f"amqp://u:hidden@127.0.0.1:{free_port()}/v")
    ran = cli("doctor", "--json")
    assert ran.code == 1
    assert {c["name"]: c["verdict"] for c in ran.json}["broker"] == "fail"
    assert "hidden" not in ran.out + ran.err


def test_from_the_first_token_on_the_manager_wants_one(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded = ManagerProcess(tmp_path).start()
    try:
        monkeypatch.setenv("DLQ_URL", guarded.url)
        monkeypatch.setenv("DLQ_TOKENS_FILE", guarded.environment["DLQ_TOKENS_FILE"])
        assert cli("stats").code == 0
        token = cli("token", "create", "--name", "looker", "--role", "viewer").out.strip()
        refused = cli("stats")
        assert refused.code == 5
        assert "DLQ_TOKEN" in refused.err
        monkeypatch.setenv("DLQ_TOKEN", token)
        assert cli("stats").code == 0
        forbidden = cli("delete", "some-id", "--yes")
        assert forbidden.code == 5
        assert "needs the role admin" in forbidden.err
    finally:
        guarded.stop()


def test_a_worker_process_ends_cleanly_on_sigterm_after_the_message_in_hand(
    cli: Cli, error_type: str, manager: ManagerProcess, tmp_path: Path
) -> None:
    [message_id] = publish(cli, error_type)
    assert cli("replay", message_id).code == 0
    started = tmp_path / "started"
    (tmp_path / "slow.py").write_text(
        "import pathlib, time\n"
        "def handle(message):\n"
        f"    pathlib.Path({str(started)!r}).touch()\n"
        "    time.sleep(0.7)\n"
    )
    process = subprocess.Popen(
        [DLQ, "worker", "slow:handle", "--error-type", error_type, "--name", "w-7"],
        cwd=tmp_path,
        env={**os.environ, **manager.environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(started.exists, 30, "the worker did not get the message")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert "1 succeeded, 0 failed again, 0 given back." in said
    story = cli("show", message_id, "--json").json
    assert (story["state"], story["replays"][0]["worker"]) == ("resolved", "w-7")


def test_a_reader_that_goes_away_early_gets_no_traceback(
    cli: Cli, error_type: str, manager: ManagerProcess
) -> None:
    publish(cli, error_type, count=3)
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {DLQ} export | head -c 1"],
        env={**os.environ, "DLQ_URL": manager.url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "{"
    assert "Traceback" not in done.stderr


def test_the_topology_that_is_applied_is_there(
    cli: Cli, broker_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert broker_settings.broker_url is not None
    monkeypatch.setenv("DLQ_BROKER_URL", broker_settings.broker_url.get_secret_value())
    assert cli("topology", "apply", "--json").json == {"mismatches": []}
    control = AmqpControl(broker_settings)
    try:
        assert None not in control.inspect(5).values()
    finally:
        control.close(5)
