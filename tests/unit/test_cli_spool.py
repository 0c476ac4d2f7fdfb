"""`dlq spool` and `dlq doctor` about this host's spool and this host's token."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest

from dlq.cli import main
from dlq.client.courier import destination_of
from dlq.client.spool import Addressed, Spool
from dlq.demo.local_server import Answer, LocalServer, Request, json_answer
from dlq.message import WireMessage
from dlq.payload import iso_z
from dlq.settings import Settings
from dlq.transport.amqp import AmqpPublisher
from dlq.transport.http import HttpPublisher

OLD = "amqp://app@old:5672/musicdb"


class Manager(LocalServer):
    """Sound; confirms what is published; `who` is its answer to whoami (None: it has none)."""

    who: dict[str, Any] | None = None

    def answer(self, request: Request) -> Answer:
        if request.path == "/health":
            sound = {"broker": {"shape": "embedded"}, "ledger": {"ok": True}}
            return json_answer(
                200, {**sound, "timestamp": iso_z(dt.datetime.now(dt.UTC)), "version": "1"}
            )
        if request.path == "/dlq/whoami":
            missing = {"detail": "Not Found"}
            return json_answer(404, missing) if self.who is None else json_answer(200, self.who)
        if request.path == "/dlq/stats":
            return json_answer(200, {})
        letters = json.loads(request.body)
        results = [{"message_id": m["message_id"], "disposition": "stored"} for m in letters]
        return json_answer(201, {"accepted": len(letters), "results": results})


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    with Manager() as running:
        running.start()
        monkeypatch.setenv("DLQ_URL", running.url)
        yield running


def run(*arguments: str) -> int:
    """Returns: the exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def spool(destination: str, message_id: str, *, rejected: bool = False) -> None:
    wire = WireMessage(
        json.dumps({"message_id": message_id}).encode(),
        "spotify.enrichment.failed",
        {},
        {"message_id": message_id},
    )
    there = Spool(Settings.load())
    assert there.append([Addressed(destination, wire, f"because of {message_id}", rejected)])
    there.close()


def doctors_word(name: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    assert run("doctor", "--json") == 0
    checks = json.loads(capsys.readouterr().out)
    return [check for check in checks if check["name"] == name]


def test_the_spools_destination_is_the_one_that_publishers_go_to() -> None:
    http = Settings(url="http://127.0.0.1:9/")
    amqp = Settings.load(broker_url="amqp://me:secret@127.0.0.1:9/v")
    for settings, publisher in (
        (http, HttpPublisher(http, name="test")),
        (amqp, AmqpPublisher(amqp, name="test")),
    ):
        publisher.close(5)
        assert destination_of(settings) == publisher.destination


def test_the_list_names_destination_and_reason(
    manager: Manager, capsys: pytest.CaptureFixture[str]
) -> None:
    spool(OLD, "a")
    assert run("spool", "list") == 0
    header, row = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    shown = dict(zip(header, row, strict=True))
    assert (shown["ID"], shown["DESTINATION"], shown["WHY"]) == ("a", OLD, "because of a")


def test_an_empty_list_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("spool", "list") == 0
    assert capsys.readouterr() == ("", "Nothing waits.\n")
    assert run("spool", "list", "--rejected") == 0
    assert capsys.readouterr() == ("", "No message of this host was rejected.\n")


def test_flushing_takes_up_only_what_its_own_destination_rejected(
    manager: Manager, capsys: pytest.CaptureFixture[str]
) -> None:
    spool(manager.url, "mine", rejected=True)
    spool(OLD, "other", rejected=True)
    assert run("spool", "flush", "--rejected") == 0
    shown = capsys.readouterr()
    assert shown.out == f"Sent 1 to {manager.url}.\n"
    assert shown.err == "Rejected before, tried again: 1\n"
    assert run("spool", "--json") == 0
    [left] = json.loads(capsys.readouterr().out)
    assert (left["destination"], left["waiting"], left["rejected"]) == (OLD, 0, 1)


def test_the_first_reason_is_stored_with_what_is_spooled(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DLQ_URL", "http://127.0.0.1:9")
    assert run("publish", "{}", "--error", "x") == 0
    shown = capsys.readouterr()
    assert shown.err == (
        "Kept in this host's spool, and sent when the other side is back: `dlq spool`.\n"
    )
    assert run("spool", "list", "--json") == 0
    [entry] = json.loads(capsys.readouterr().out)
    assert "http://127.0.0.1:9 cannot be reached" in entry["last_error"]


def test_doctor_tells_what_goes_out_by_itself_from_what_does_not(
    manager: Manager, capsys: pytest.CaptureFixture[str]
) -> None:
    spool(manager.url, "mine")
    assert [c["remedy"] for c in doctors_word("spool", capsys)] == [
        "They go out by themselves with the next publish; now: dlq spool flush"
    ]
    spool(OLD, "other")
    foreign, own = doctors_word("spool", capsys)
    assert (foreign["verdict"], own["verdict"]) == ("warn", "warn")
    assert f"waiting for {OLD}: 1;" in foreign["detail"]
    assert foreign["remedy"].endswith(f"dlq spool readdress {OLD} {manager.url}")


@pytest.mark.parametrize(
    ("who", "verdict"),
    [
        ({"name": "looker", "role": "viewer"}, "warn"),
        ({"name": "me", "role": "operator"}, "ok"),
        ({"name": "me"}, "ok"),
        (None, "ok"),
    ],
)
def test_doctor_warns_of_a_token_that_may_only_look(
    who: dict[str, Any] | None,
    verdict: str,
    manager: Manager,
    capsys: pytest.CaptureFixture[str],
) -> None:
    manager.who = who
    [access] = doctors_word("access", capsys)
    assert access["verdict"] == verdict
    assert ("looker has the role viewer" in access["detail"]) is (verdict == "warn")
