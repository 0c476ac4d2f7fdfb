"""The HTTP API in the embedded shape: inputs refused, states kept, leases, audit."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from dlq.manager.app import create_app
from dlq.manager.service import Manager
from dlq.settings import Settings
from tests.support.failures import failure

BASE = "http://127.0.0.1:8024"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        ledger_url=f"sqlite:///{tmp_path / 'api.sqlite'}",
        tokens_file=tmp_path / "tokens.json",
        replay_budget=2,
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


def lease_one(api: TestClient, **fields: Any) -> dict[str, Any]:
    answer = api.post("/dlq/leases", json={"worker": "w", **fields})
    (lease,) = answer.json()["leases"]
    return dict(lease)


def test_publishing_the_same_message_id_again_changes_nothing(api: TestClient) -> None:
    one = failure()
    assert api.post("/dlq/messages", json=one).json() == {
        "accepted": 1,
        "results": [{"message_id": one["message_id"], "disposition": "stored"}],
    }
    again = api.post("/dlq/messages", json=[one, one]).json()
    assert [r["disposition"] for r in again["results"]] == ["duplicate", "duplicate"]
    assert len(api.get("/dlq/messages").json()) == 1


def test_one_bad_message_in_a_batch_refuses_the_batch_and_says_which(api: TestClient) -> None:
    bad = failure()
    del bad["error_message"]
    answer = api.post("/dlq/messages", json=[failure(), bad])
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_input"
    assert "1.error_message" in answer.json()["detail"]
    assert api.get("/dlq/messages").json() == []


@pytest.mark.parametrize("count", [0, 1001])
def test_batches_outside_1_to_1000_are_refused(api: TestClient, count: int) -> None:
    answer = api.post("/dlq/messages", json=[failure() for _ in range(count)])
    assert answer.status_code == 422
    assert str(count) in answer.json()["detail"]


def test_a_body_over_the_bound_is_refused_declared_or_not(api: TestClient) -> None:
    too_much = b" " * 400_001
    declared = api.post("/dlq/messages", content=too_much)
    streamed = api.post("/dlq/messages", content=iter([too_much[:200_000], too_much[200_000:]]))
    assert (declared.status_code, streamed.status_code) == (413, 413)
    assert declared.json()["code"] == "too_large"


def test_json_that_cannot_be_parsed_is_refused(api: TestClient) -> None:
    for body in (b"[" * 50_000, b"{", b"\xff"):
        answer = api.post(
            "/dlq/messages", content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code in (400, 422)
        assert answer.json()["code"] == "invalid_input"


def test_a_payload_nested_too_deeply_is_kept_with_its_depths_as_text(api: TestClient) -> None:
    deep: Any = "bottom"
    for _ in range(400):
        deep = {"d": deep}
    message_id = publish(api, payload=deep)
    assert "nested deeper than" in str(api.get(f"/dlq/messages/{message_id}").json()["payload"])


def test_filters_choose_and_the_total_is_told(api: TestClient) -> None:
    spotify = publish(api)
    publish(api, error_type="lastfm", error_message="Invalid API key", source_service="other")
    answer = api.get("/dlq/messages", params={"error_type": "spotify", "limit": 1})
    assert [m["message_id"] for m in answer.json()] == [spotify]
    assert answer.headers["x-total-count"] == "1"
    by_category = api.get("/dlq/messages", params={"category": "auth"}).json()
    assert [m["source_service"] for m in by_category] == ["other"]
    newest = api.get("/dlq/messages", params={"order": "newest"}).json()
    assert [m["error_type"] for m in newest] == ["lastfm", "spotify"]
    assert api.get("/dlq/messages", params={"state": "no-such"}).status_code == 422
    for name in ("error_type", "category", "fingerprint", "source_service"):
        assert api.get("/dlq/export", params={name: ""}).status_code == 422  # never "all"


def test_causes_group_what_broke_in_the_same_way(api: TestClient) -> None:
    for track in ("a", "b", "c"):
        publish(api, payload={"track_id": track})
    publish(api, error_message="500 Internal Server Error")
    groups = api.get("/dlq/errors/grouped", params={"by": "cause"}).json()
    assert [(g["count"], g["category"]) for g in groups] == [
        (3, "rate_limit"),
        (1, "server_error"),
    ]
    assert groups[0]["title"]
    only = api.get("/dlq/messages", params={"fingerprint": groups[1]["fingerprint"]}).json()
    assert [m["message_id"] for m in only] == groups[1]["sample_messages"]


def test_the_export_streams_one_object_a_line(api: TestClient) -> None:
    ids = [publish(api) for _ in range(3)]
    answer = api.get("/dlq/export")
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert answer.headers["x-total-count"] == "3"
    assert [line.split('"message_id": "')[1][:36] for line in answer.iter_lines()] == ids


def test_unknown_ids_are_404_with_a_code(api: TestClient) -> None:
    for method, path in (
        ("GET", "/dlq/messages/none"),
        ("POST", "/dlq/replay/none"),
        ("DELETE", "/dlq/message/none"),
        ("POST", "/dlq/leases/none/ack"),
        ("POST", "/dlq/leases/none/release"),
    ):
        answer = api.request(method, path)
        assert answer.status_code == 404, path
        assert answer.json()["code"] == "not_found"
    assert 'dlq_replay_total{status="not_found"} 1.0' in api.get("/metrics").text


def test_ids_with_slashes_and_spaces_can_be_replayed_and_deleted(api: TestClient) -> None:
    odd = "odd/id with spaces?#"
    publish(api, message_id=odd)
    quoted = "odd%2Fid%20with%20spaces%3F%23"
    assert api.get(f"/dlq/messages/{quoted}").json()["message_id"] == odd
    assert api.delete(f"/dlq/message/{quoted}").status_code == 200


def test_a_replay_on_its_way_can_be_neither_replayed_nor_deleted(api: TestClient) -> None:
    message_id = publish(api)
    assert api.post(f"/dlq/replay/{message_id}").status_code == 200
    before = api.get(f"/dlq/messages/{message_id}").json()
    for answer in (
        api.post(f"/dlq/replay/{message_id}"),
        api.delete(f"/dlq/message/{message_id}"),
    ):
        assert answer.status_code == 409
        assert answer.json()["code"] == "illegal_state"
    assert api.get(f"/dlq/messages/{message_id}").json() == before


def test_a_lease_carries_the_replay_and_its_ack_resolves(api: TestClient) -> None:
    message_id = publish(api)
    assert api.post("/dlq/leases", json={"worker": "w"}).json() == {"leases": []}
    api.post("/dlq/replay/batch", json={"message_ids": [message_id], "max_retries": 4})
    lease = lease_one(api)
    assert lease["message"]["message_id"] == message_id
    assert lease["routing_key"] == "spotify.enrichment.retry"
    assert lease["headers"]["x-replay-id"] == lease["replay_id"]
    assert (lease["replay_count"], lease["max_retries"]) == (1, 4)
    assert api.post("/dlq/leases", json={"worker": "other"}).json() == {"leases": []}

    assert api.post(f"/dlq/leases/{lease['lease_id']}/ack").json()["success"] is True
    story = api.get(f"/dlq/messages/{message_id}").json()
    assert story["state"] == "resolved"
    assert [h["to_state"] for h in story["history"]] == ["pending", "replaying", "resolved"]
    assert story["replays"][0]["outcome"] == "succeeded"
    assert api.post(f"/dlq/leases/{lease['lease_id']}/ack").status_code == 404


def test_a_failed_lease_tells_the_new_error_and_the_budget_parks(api: TestClient) -> None:
    message_id = publish(api)
    for number in (1, 2):
        api.post(f"/dlq/replay/{message_id}")
        lease = lease_one(api)
        again = failure(
            message_id=message_id, error_message="401 Unauthorized: bad token", retry_count=4
        )
        answer = api.post(f"/dlq/leases/{lease['lease_id']}/fail", json={"message": again})
        assert answer.status_code == 200, answer.text
        story = api.get(f"/dlq/messages/{message_id}").json()
        assert story["replay_count"] == number
    assert story["state"] == "parked"
    assert (story["category"], story["retry_count"]) == ("auth", 4)
    assert story["error_message"] == "401 Unauthorized: bad token"
    assert [r["error"] for r in story["replays"]] == ["401 Unauthorized: bad token"] * 2
    assert [r["worker"] for r in story["replays"]] == ["w"] * 2
    assert api.post(f"/dlq/replay/{message_id}").status_code == 200  # a person may


def test_a_declined_lease_is_back_as_it_was(api: TestClient) -> None:
    message_id = publish(api)
    before = api.get(f"/dlq/messages/{message_id}").json()
    for _ in range(3):  # more often than the budget of 2
        api.post(f"/dlq/replay/{message_id}")
        lease = lease_one(api)
        answer = api.post(f"/dlq/leases/{lease['lease_id']}/decline", json={"detail": "not mine"})
        assert answer.status_code == 200
    story = api.get(f"/dlq/messages/{message_id}").json()
    assert (story["state"], story["title"]) == ("pending", before["title"])
    assert {(r["outcome"], r["worker"]) for r in story["replays"]} == {("returned", "w")}
    assert "not mine" in story["history"][-1]["reason"]


def test_a_batch_that_failed_in_part_is_audited_as_that(api: TestClient) -> None:
    message_id = publish(api)
    api.post("/dlq/replay/batch", json={"message_ids": [message_id, "none"]})
    row = api.get("/dlq/audit").json()[0]
    assert (row["action"], row["result"]) == ("replay_batch", "partial")
    assert row["detail"] == {"replayed": [message_id], "refused": {"none": "not_found"}}


def test_a_path_that_is_not_the_managers_is_no_missing_dead_letter(api: TestClient) -> None:
    answer = api.get("/prefix/dlq/messages")
    assert (answer.status_code, answer.json()["code"]) == (404, "no_such_path")


def test_a_lease_fails_only_its_own_message(api: TestClient) -> None:
    message_id = publish(api)
    api.post(f"/dlq/replay/{message_id}")
    lease = lease_one(api)
    answer = api.post(f"/dlq/leases/{lease['lease_id']}/fail", json={"message": failure()})
    assert answer.status_code == 422
    assert message_id in answer.json()["detail"]
    assert api.get(f"/dlq/messages/{message_id}").json()["state"] == "replaying"


def test_leases_extend_and_come_free_when_released(api: TestClient) -> None:
    message_id = publish(api)
    api.post(f"/dlq/replay/{message_id}")
    lease = lease_one(api, ttl_s=5)
    extended = api.post(f"/dlq/leases/{lease['lease_id']}/extend", json={"ttl_s": 600}).json()
    assert extended["expires_at"] > lease["expires_at"]
    assert api.post(f"/dlq/leases/{lease['lease_id']}/release").status_code == 200
    assert lease_one(api, error_types=["spotify"])["message"]["message_id"] == message_id


def test_a_posted_failure_with_the_replay_id_closes_that_replay(api: TestClient) -> None:
    message_id = publish(api)
    api.post(f"/dlq/replay/{message_id}")
    replay_id = api.get(f"/dlq/messages/{message_id}").json()["replays"][0]["replay_id"]
    forged = api.post("/dlq/messages", json=failure(message_id=message_id, replay_id="forged"))
    assert forged.json()["results"][0]["disposition"] == "duplicate"
    real = api.post("/dlq/messages", json=failure(message_id=message_id, replay_id=replay_id))
    assert real.json()["results"][0]["disposition"] == "failed_again"
    assert api.get(f"/dlq/messages/{message_id}").json()["state"] == "pending"


def test_a_deleted_message_does_not_come_back(api: TestClient) -> None:
    message_id = publish(api)
    assert api.delete(f"/dlq/message/{message_id}").status_code == 200
    late = api.post("/dlq/messages", json=failure(message_id=message_id)).json()
    assert late["results"][0]["disposition"] == "duplicate"
    assert api.get(f"/dlq/messages/{message_id}").status_code == 404


def test_every_write_leaves_an_audit_row(api: TestClient) -> None:
    message_id = publish(api)
    api.post(f"/dlq/replay/{message_id}")
    api.delete(f"/dlq/message/{message_id}")
    api.post("/dlq/replay/none")
    rows = [(r["action"], r["target"], r["result"]) for r in api.get("/dlq/audit").json()]
    assert rows == [
        ("replay", "none", "not_found"),
        ("delete", message_id, "illegal_state"),
        ("replay", message_id, "ok"),
        ("publish", message_id, "ok"),
    ]
    assert {r["actor"] for r in api.get("/dlq/audit").json()} == {"local"}


def test_what_is_silent_past_its_time_comes_back(api: TestClient, service: Manager) -> None:
    message_id = publish(api)
    api.post(f"/dlq/replay/{message_id}")
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=24, minutes=1)
    service.sweeper.sweep(later)
    story = api.get(f"/dlq/messages/{message_id}").json()
    assert story["state"] == "pending"
    assert story["replays"][0]["outcome"] == "returned"


def test_hostile_text_comes_back_as_it_was_told(api: TestClient) -> None:
    hostile = "'; DROP TABLE dead_letters; -- <script>alert(1)</script> \u202e\x1b[31m"
    message_id = publish(api, error_message=hostile, source_service=hostile)
    story = api.get(f"/dlq/messages/{message_id}").json()
    assert story["error_message"] == hostile
    assert api.get("/dlq/messages", params={"source_service": hostile}).json()


def test_an_error_that_nobody_foresaw_is_json_and_tells_nothing_of_itself(
    service: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(service.ledger, "stats", broken)
    with TestClient(create_app(service), base_url=BASE, raise_server_exceptions=False) as api:
        answer = api.get("/dlq/stats")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "hunter2" not in answer.text


@pytest.mark.parametrize("instant", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"])
def test_an_instant_outside_the_calendar_is_refused(api: TestClient, instant: str) -> None:
    assert api.post("/dlq/messages", json=failure(timestamp=instant)).status_code == 422


def test_ids_that_are_no_unicode_are_answered_like_any_unknown_id(api: TestClient) -> None:
    body = b'{"message_ids": ["\\ud800"]}'
    answer = api.post(
        "/dlq/replay/batch", content=body, headers={"content-type": "application/json"}
    )
    assert answer.json()["errors"][0]["code"] == "not_found"
    assert api.post("/dlq/leases/%00/ack").status_code == 404


def test_openapi_describes_each_endpoint_with_its_answers(api: TestClient) -> None:
    document = api.get("/openapi.json").json()
    specified = {
        "/health",
        "/metrics",
        "/dlq/messages",
        "/dlq/stats",
        "/dlq/replay/{message_id}",
        "/dlq/replay/batch",
        "/dlq/message/{message_id}",
        "/dlq/errors/grouped",
    }
    assert specified <= set(document["paths"])
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation.get("summary"), (method, path)
    for name in ("DLQMessage", "DLQStats", "ErrorGroup", "ReplayResponse", "ReplayRequest"):
        schema = document["components"]["schemas"].get(name) or {}
        assert schema.get("examples") or name == "DLQMessage", name
