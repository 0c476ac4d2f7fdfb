"""Edits of a payload: through the ledger, the API, the command line, and out to a worker."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from dlq.cli import main
from dlq.edit import with_payload
from dlq.errors import IllegalTransition, NotFound
from dlq.ledger.base import DeadLetter, Edited, Ledger
from dlq.manager.app import create_app
from dlq.manager.service import Manager
from dlq.manager.tokens import Role, create_token
from dlq.message import DLQMessage, WireMessage
from dlq.settings import Settings
from dlq.states import State
from dlq.transport.amqp import AmqpConsumer, AmqpPublisher
from dlq.worker import RetryWorker
from tests.support.failures import failure
from tests.support.ledger import from_wire, replaying, stored
from tests.support.manager import ManagerProcess
from tests.support.waiting import until

BASE = "http://127.0.0.1:8024"
MENDED = {"op": "replace", "path": "/track_id", "value": "xyz"}


# --- the ledger --------------------------------------------------------------------------


def to(payload: dict[str, Any]) -> Callable[[DeadLetter], Edited]:
    def make(letter: DeadLetter) -> Edited:
        wire = with_payload(letter.wire, letter.form, payload)
        difference = [{"op": "replace", "path": "", "value": payload}]
        return Edited(wire.body, wire.properties, difference)

    return make


def back(letter: DeadLetter) -> Edited:
    return Edited(None, letter.wire.properties, [{"op": "replace", "path": "", "value": {}}])


def test_an_edit_is_in_force_and_the_original_is_kept(ledger: Ledger) -> None:
    message_id = stored(ledger)
    before = ledger.get(message_id)
    edited = ledger.edit_payload(message_id, to({"a": 1}), actor="ann", reason="typo", edit_count=0)
    assert edited == ledger.get(message_id)
    assert (edited.edit_count, edited.message.payload) == (1, {"a": 1})
    assert edited.wire == before.wire
    assert edited.edited_wire is not None
    assert json.loads(edited.edited_wire.body)["payload"] == {"a": 1}
    assert edited.edited_wire.headers == before.wire.headers
    assert (edited.state, edited.title) == (before.state, before.title)
    again = ledger.edit_payload(message_id, to({"a": 2}), actor="bob", reason="", edit_count=1)
    assert (again.edit_count, again.message.payload) == (2, {"a": 2})
    first, second = ledger.edits(message_id)
    assert (first.number, first.actor, first.reason) == (1, "ann", "typo")
    assert (second.number, second.actor, second.difference[0]["value"]) == (2, "bob", {"a": 2})
    told = ledger.history(message_id)[-2:]
    assert [(entry.actor, entry.from_state, entry.to_state) for entry in told] == [
        ("ann", State.PENDING, State.PENDING),
        ("bob", State.PENDING, State.PENDING),
    ]
    assert told[0].reason == "payload edited (1): typo"


def test_an_edit_is_taken_back_as_an_edit(ledger: Ledger) -> None:
    message_id = stored(ledger)
    before = ledger.get(message_id)
    ledger.edit_payload(message_id, to({"a": 1}), actor="ann", reason="", edit_count=None)
    reverted = ledger.edit_payload(message_id, back, actor="bob", reason="", edit_count=None)
    assert (reverted.edit_count, reverted.edited_wire) == (2, None)
    assert reverted.message.payload == before.message.payload
    unchanged = ledger.edit_payload(message_id, back, actor="bob", reason="", edit_count=None)
    assert unchanged == reverted
    assert len(ledger.edits(message_id)) == 2


def test_an_edit_of_what_was_edited_meanwhile_is_refused(ledger: Ledger) -> None:
    message_id = stored(ledger)
    ledger.edit_payload(message_id, to({"a": 1}), actor="ann", reason="", edit_count=0)
    with pytest.raises(IllegalTransition, match="edited meanwhile: expected 0 edits, there are 1"):
        ledger.edit_payload(message_id, to({"a": 2}), actor="bob", reason="", edit_count=0)
    assert ledger.get(message_id).message.payload == {"a": 1}


def test_of_many_editors_who_saw_the_same_one_wins(ledger: Ledger) -> None:
    message_id = stored(ledger)
    refused: list[IllegalTransition] = []
    together = threading.Barrier(8)

    def run(number: int) -> None:
        together.wait(10)
        try:
            ledger.edit_payload(
                message_id, to({"by": number}), actor=str(number), reason="", edit_count=0
            )
        except IllegalTransition as error:
            refused.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(refused) == 7
    [edit] = ledger.edits(message_id)
    assert ledger.get(message_id).message.payload == {"by": int(edit.actor)}


def test_what_is_on_its_way_or_gone_cannot_be_edited(ledger: Ledger) -> None:
    message_id = stored(ledger)
    replaying(ledger, message_id)
    with pytest.raises(IllegalTransition, match="replaying; its payload can be edited only"):
        ledger.edit_payload(message_id, to({}), actor="ann", reason="", edit_count=None)
    with pytest.raises(NotFound):
        ledger.edit_payload("none", to({}), actor="ann", reason="", edit_count=None)
    with pytest.raises(NotFound):
        ledger.edits("none")


def test_an_edit_that_fails_changes_nothing(ledger: Ledger) -> None:
    message_id = stored(ledger)
    before = ledger.get(message_id)

    def make(_letter: DeadLetter) -> Edited:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        ledger.edit_payload(message_id, make, actor="ann", reason="", edit_count=None)
    assert ledger.get(message_id) == before
    assert ledger.edits(message_id) == []


# --- the API -----------------------------------------------------------------------------


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        ledger_url=f"sqlite:///{tmp_path / 'api.sqlite'}",
        tokens_file=tmp_path / "tokens.json",
        max_body_bytes=200_000,
    )


@pytest.fixture
def service(settings: Settings) -> Manager:
    return Manager(settings)


@pytest.fixture
def api(service: Manager) -> Iterator[TestClient]:
    with TestClient(create_app(service), base_url=BASE) as client:
        yield client


def publish(api: TestClient, **fields: Any) -> str:
    answer = api.post("/dlq/messages", json=failure(**fields))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["results"][0]["message_id"])


def patch(api: TestClient, message_id: str, *operations: Any, **params: Any) -> Response:
    return api.patch(
        f"/dlq/messages/{message_id}/payload",
        content=json.dumps(operations),
        headers={"Content-Type": "application/json-patch+json"},
        params=params,
    )


def test_a_patch_is_answered_and_told_with_its_difference_and_its_maker(api: TestClient) -> None:
    message_id = publish(api)
    answer = patch(api, message_id, MENDED, {"op": "remove", "path": "/artist_name"}, reason="typo")
    assert answer.status_code == 200, answer.text
    edited = {"track_id": "xyz", "track_name": "Strobe"}
    difference = [{"op": "remove", "path": "/artist_name"}, MENDED]
    original = failure()["payload"]
    assert answer.json() == {
        "message_id": message_id,
        "edit_count": 1,
        "payload": edited,
        "difference": difference,
        "original_payload": original,
    }
    story = api.get(f"/dlq/messages/{message_id}").json()
    assert (story["payload"], story["original_payload"]) == (edited, original)
    assert story["edit_count"] == 1
    [edit] = story["edits"]
    assert (edit["number"], edit["reason"], edit["difference"]) == (1, "typo", difference)
    audit = api.get("/dlq/audit").json()[0]
    assert (audit["action"], audit["target"], audit["result"]) == ("edit", message_id, "ok")
    assert audit["detail"] == {"edit_count": 1, "reason": "typo"}
    assert edit["actor"] == audit["actor"]


def test_an_unedited_dead_letter_tells_so(api: TestClient) -> None:
    story = api.get(f"/dlq/messages/{publish(api)}").json()
    assert (story["edit_count"], story["edits"], story["original_payload"]) == (0, [], None)


def test_a_document_is_put_and_taken_back(api: TestClient) -> None:
    message_id = publish(api, message_id="with/slash and é")
    url = "/dlq/messages/with%2Fslash%20and%20%C3%A9/payload"
    put = api.put(url, json={"track_id": 7}, params={"edit_count": 0}).json()
    assert (put["message_id"], put["payload"]) == (message_id, {"track_id": 7})
    same = api.put(url, json={"track_id": 7}).json()
    assert (same["edit_count"], same["difference"]) == (1, [])
    reverted = api.delete(url, params={"edit_count": 1}).json()
    assert reverted["edit_count"] == 2
    assert reverted["payload"] == reverted["original_payload"] == failure()["payload"]
    story = api.get("/dlq/messages/with%2Fslash%20and%20%C3%A9").json()
    assert story["original_payload"] is None
    assert [edit["number"] for edit in story["edits"]] == [1, 2]


@pytest.mark.parametrize(
    ("operations", "told"),
    [
        (({"op": "remove", "path": "/nowhere"},), 'Operation 0 of the patch ("remove" at "/nowhe'),
        (({"op": "replace", "path": "", "value": []},), "the edit would make it a list"),
        ((MENDED, "x"), "Operation 1"),
        ((MENDED,) * 1001, "at most 1000 operations"),
        (({"op": "add", "path": "/x", "value": "x" * 200_000},), "DLQ_MAX_BODY_BYTES"),
    ],
)
def test_a_patch_that_cannot_be_applied_changes_nothing(
    api: TestClient, operations: Any, told: str
) -> None:
    message_id = publish(api)
    before = api.get(f"/dlq/messages/{message_id}").json()
    answer = patch(api, message_id, *operations)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert told in answer.json()["detail"]
    assert api.get(f"/dlq/messages/{message_id}").json() == before


@pytest.mark.parametrize("body", ['{"op": "add"}', '"x"', "{", "[" * 100_000, ""])
def test_a_body_that_is_no_patch_is_refused(api: TestClient, body: str) -> None:
    message_id = publish(api)
    answer = api.patch(
        f"/dlq/messages/{message_id}/payload",
        content=body,
        headers={"Content-Type": "application/json-patch+json"},
    )
    assert answer.status_code in (400, 422)
    assert answer.json()["code"] == "invalid_input"


@pytest.mark.parametrize("document", [[], "x", 7, None])
def test_a_document_that_is_no_object_is_refused(api: TestClient, document: Any) -> None:
    answer = api.put(f"/dlq/messages/{publish(api)}/payload", json=document)
    assert answer.status_code == 422


def test_edits_know_their_bounds(api: TestClient) -> None:
    message_id = publish(api)
    assert patch(api, "none", MENDED).status_code == 404
    assert patch(api, message_id, MENDED, reason="x" * 501).status_code == 422
    stale = patch(api, message_id, MENDED, edit_count=3)
    assert (stale.status_code, stale.json()["code"]) == (409, "illegal_state")
    assert api.post(f"/dlq/replay/{message_id}").status_code == 200
    for refused in (
        patch(api, message_id, MENDED),
        api.put(f"/dlq/messages/{message_id}/payload", json={}),
        api.delete(f"/dlq/messages/{message_id}/payload"),
    ):
        assert (refused.status_code, refused.json()["code"]) == (409, "illegal_state")


def test_viewers_may_not_edit(api: TestClient, settings: Settings) -> None:
    message_id = publish(api)
    token = create_token(settings.tokens_file, "vera", Role.VIEWER)
    api.headers["Authorization"] = f"Bearer {token}"
    assert api.get(f"/dlq/messages/{message_id}").status_code == 200
    assert patch(api, message_id, MENDED).status_code == 403
    assert api.delete(f"/dlq/messages/{message_id}/payload").status_code == 403


def test_broken_json_is_mended_by_a_whole_document_only(api: TestClient, service: Manager) -> None:
    arrival = from_wire(
        WireMessage(b'{"track_id": "abc', "spotify.enrichment.failed", {}, {"message_id": "m"})
    )
    service.ledger.ingest([arrival])
    refused = patch(api, "m", {"op": "add", "path": "/a", "value": 1})
    assert refused.status_code == 422
    assert "PUT the whole payload" in refused.json()["detail"]
    mended = api.put("/dlq/messages/m/payload", json={"track_id": "abc"}).json()
    assert mended["payload"] == {"track_id": "abc"}
    assert mended["original_payload"] == {"text": '{"track_id": "abc'}
    assert patch(api, "m", MENDED).json()["payload"] == {"track_id": "xyz"}


# --- what a worker receives --------------------------------------------------------------


def test_a_worker_over_a_broker_receives_the_edit_and_all_else_as_before(
    broker_manager: ManagerProcess,
) -> None:
    settings = broker_manager.settings
    body = b'{"error_type" : "spotify", "error_message": "x", "n": 1.10, "payload": {"a": 1}}'
    original = WireMessage(
        body,
        "spotify.enrichment.failed",
        {"x-trace": "t-1", "x-retry-count": 3},
        {"message_id": "m-1", "correlation_id": "c-1", "app_id": "imports", "priority": 3},
    )
    publisher = AmqpPublisher(settings, name="test")
    publisher.publish(original).result(10)
    publisher.close(5)
    broker_manager.wait_in_dlq(1)
    run_cli("edit", "m-1", "--set", "payload.a=2", "--yes", url=broker_manager.url)
    assert broker_manager.post("/dlq/replay/m-1").status_code == 200
    received: list[Any] = []
    consumer = AmqpConsumer(
        settings, queue=settings.retry_queue, prefetch=1, on_delivery=received.append, name="test"
    )
    consumer.start()
    try:
        until(lambda: len(received) == 1, 15, "no replay came")
        wire = received[0].wire
        consumer.nack(received, requeue=True)
    finally:
        consumer.close(5)
    assert wire.body == body.replace(b'{"a": 1}', b'{"a": 2}')
    assert wire.headers.items() >= original.headers.items()
    assert wire.properties.items() >= original.properties.items()
    seen: list[DLQMessage] = []
    RetryWorker(default=seen.append, settings=settings).run_until_idle(30, idle_s=0.5)
    assert [message.payload for message in seen] == [{"a": 2}]


# --- the command line --------------------------------------------------------------------


def run_cli(*arguments: str, url: str) -> int:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("DLQ_URL", url)
        with pytest.raises(SystemExit) as ended:
            main(arguments)
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagerProcess]:
    manager = ManagerProcess(tmp_path_factory.mktemp("edits")).start()
    try:
        yield manager
        manager.stop()
    finally:
        manager.kill()


Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(running: ManagerProcess, capsys: pytest.CaptureFixture[str]) -> Cli:
    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run_cli(*arguments, url=running.url)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def letter(running: ManagerProcess) -> str:
    """Its id."""
    payload = {"track_id": "abc", "isrc": None, "tags": ["a", "b"], "artist": {"name": "X"}}
    answer = running.post("/dlq/messages", failure(payload=payload))
    return str(answer.json()["results"][0]["message_id"])


def test_set_and_unset_show_what_changes_and_how_to_send_it(cli: Cli, letter: str) -> None:
    code, out, err = cli(
        *("edit", letter, "--set", "payload.track_id=xyz", "--set", "payload.tags.0=7"),
        *("--set", 'payload.artist.id="8"', "--unset", "payload.isrc"),
        *("--reason", "wrong\x1b[2J track", "--yes"),
    )
    assert code == 0, err
    lines = out.splitlines()
    for line in ('-  "track_id": "abc",', '+  "track_id": "xyz",', '-  "isrc": null,', "+    7,"):
        assert line in lines
    assert '+    "id": "8"' in lines
    assert lines[-1] == f"The payload of {letter} is edited (edit 1)."
    assert f"dlq replay {letter}" in err
    code, shown, _ = cli("show", letter)
    assert code == 0
    assert "Payload as it arrived:" in shown
    assert "replace /track_id" in shown
    assert "wrong\\x1b[2J track" in shown


def test_without_yes_and_a_terminal_the_difference_is_shown_and_nothing_done(
    cli: Cli, letter: str
) -> None:
    code, out, err = cli("edit", letter, "--set", "payload.track_id=\x1b[2J\u202e")
    assert code == 2
    assert '+  "track_id": "\\u001b[2J\\u202e",' in out.splitlines()
    assert "pass --yes" in err
    assert "edit 1" not in cli("show", letter)[1]


def test_a_patch_or_a_document_comes_from_a_file_and_json_is_answered(
    cli: Cli, letter: str, tmp_path: Path
) -> None:
    (tmp_path / "patch.json").write_text(json.dumps([MENDED]))
    (tmp_path / "payload.json").write_text('{"track_id": 1}')
    code, out, err = cli("edit", letter, "--patch", str(tmp_path / "patch.json"), "--yes", "--json")
    assert code == 0, err
    assert json.loads(out)["difference"] == [MENDED]
    assert '+  "track_id": "xyz",' in err.splitlines()
    whole = ("edit", letter, "--document", str(tmp_path / "payload.json"), "--yes", "--json")
    assert json.loads(cli(*whole)[1])["payload"] == {"track_id": 1}
    unchanged = json.loads(cli(*whole)[1])
    assert (unchanged["edit_count"], unchanged["difference"]) == (2, [])


def test_an_edit_is_reverted(cli: Cli, letter: str) -> None:
    assert cli("edit", letter, "--set", "payload.track_id=xyz", "--yes")[0] == 0
    code, out, _ = cli("edit", letter, "--revert", "--yes")
    assert code == 0
    assert out.splitlines()[-1] == f"The payload of {letter} is as it arrived (edit 2)."
    code, _, err = cli("edit", letter, "--revert", "--yes")
    assert (code, err.strip()) == (0, "Nothing to change: the payload is so already.")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "one of them"),
        (("--revert", "--set", "payload.a=1"), "one of them"),
        (("--set", "track_id=1"), "expected payload.KEY"),
        (("--set", "payload.a"), "expected payload.KEY=VALUE"),
        (("--unset", "payload.nowhere"), "Operation 0 of the patch"),
        (("--set", "payload.nowhere.a=1"), "Operation 0 of the patch"),
        (("--patch", "/nowhere"), "cannot be read"),
        (("--document", "/dev/null"), "is not JSON"),
        (("--editor",), "no terminal"),
    ],
)
def test_what_cannot_be_used_exits_2_and_says_why(
    cli: Cli, letter: str, arguments: tuple[str, ...], told: str
) -> None:
    code, out, err = cli("edit", letter, *arguments, "--yes")
    assert (code, out) == (2, "")
    assert told in err
