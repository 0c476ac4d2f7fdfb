"""Groups over the API: what broke, what is said of it, and what sticks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from dlq.ledger.cause_book import MARKING
from dlq.manager.app import create_app
from dlq.manager.service import Manager
from dlq.settings import Settings
from tests.support.failures import failure

BASE = "http://127.0.0.1:8024"
AUTH = "401 Unauthorized: Invalid client credentials"


@pytest.fixture
def api(sqlite_ledger_url: str) -> Iterator[TestClient]:
    settings = Settings(ledger_url=sqlite_ledger_url)
    with TestClient(create_app(Manager(settings)), base_url=BASE) as client:
        yield client


def publish(api: TestClient, count: int = 1, **fields: Any) -> list[str]:
    """Returns: the message ids."""
    given = [failure(**fields) for _ in range(count)]
    answer = api.post("/dlq/messages", json=given)
    assert answer.status_code == 201, answer.text
    return [each["message_id"] for each in given]


def listed(api: TestClient, **params: Any) -> list[dict[str, Any]]:
    answer = api.get("/dlq/groups", params=params)
    assert answer.status_code == 200, answer.text
    return list(answer.json())


def group_of(api: TestClient, message_id: str) -> str:
    return str(api.get(f"/dlq/messages/{message_id}").json()["fingerprint"])


def change(api: TestClient, method: str, path: str, body: Any = None) -> Any:
    answer = api.request(method, f"/dlq/groups/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def succeed(api: TestClient, message_id: str) -> None:
    """Replay it, as a worker over HTTP that does the work."""
    assert api.post(f"/dlq/replay/{message_id}").status_code == 200
    [lease] = api.post("/dlq/leases", json={"worker": "w", "limit": 1}).json()["leases"]
    assert api.post(f"/dlq/leases/{lease['lease_id']}/ack").status_code < 300


@pytest.fixture
def rate_limits(api: TestClient) -> str:
    """Three dead letters of one cause. Returns: its fingerprint."""
    return group_of(api, publish(api, 3, metadata={"release": "1.0"})[0])


@pytest.fixture
def credentials(api: TestClient) -> str:
    """Two of another."""
    return group_of(api, publish(api, 2, error_message=AUTH)[0])


# --- what is there -----------------------------------------------------------------------


def test_an_operator_sees_what_broke(api: TestClient, rate_limits: str, credentials: str) -> None:
    answer = api.get("/dlq/groups")
    assert answer.headers["X-Total-Count"] == "2"
    first, second = answer.json()
    assert (first["id"], first["fingerprint"], first["count"]) == (rate_limits, rate_limits, 3)
    assert (first["category"], first["error_type"], first["status"]) == (
        *("rate_limit", "spotify"),
        "open",
    )
    assert first["by_state"] == {"pending": 3}
    assert first["services"] == {"api-enrichment-pipeline": 3}
    assert first["last_24h"] == first["last_7d"] == sum(first["hourly"]) == 3
    assert len(first["hourly"]) == 24
    assert first["is_new"] is True
    assert "Spotify" in first["hint"]
    assert second["id"] == credentials
    assert "credentials" in second["hint"]


def test_a_story_has_all_that_is_known(api: TestClient, rate_limits: str) -> None:
    story = api.get(f"/dlq/groups/{rate_limits[:6]}").json()
    assert story["fingerprint"] == rate_limits
    assert (len(story["hourly"]), len(story["daily"])) == (24, 7)
    assert sum(story["hourly"]) == story["daily"][-1] == story["last_24h"] == 3
    assert [(r["release"], r["failures"]) for r in story["releases"]] == [("1.0", 3)]
    assert [(c["fingerprint"], c["count"]) for c in story["causes"]] == [(rate_limits, 3)]
    assert len(story["sample_messages"]) == 3
    assert story["outcomes"]["success_rate"] is None
    assert f"group:{rate_limits}" in story["steps"][-1]
    assert story["history"] == []


def test_the_hint_tells_what_worked_before(api: TestClient) -> None:
    first, _ = publish(api, 2)
    succeed(api, first)
    [group] = listed(api)
    assert group["replay_success_rate"] == 1.0
    assert group["hint"].endswith("Replays of it succeeded in 1 of 1 try: replay it.")


def test_groups_come_in_pages_in_the_order_asked(
    api: TestClient, rate_limits: str, credentials: str
) -> None:
    assert [g["id"] for g in listed(api, limit=1, offset=1)] == [credentials]
    assert [g["id"] for g in listed(api, sort="last_seen")] == [credentials, rate_limits]
    assert [g["id"] for g in listed(api, sort="trend")] == [rate_limits, credentials]
    assert listed(api, state="parked") == []


@pytest.mark.parametrize(
    "params",
    [{"status": "none"}, {"sort": "name"}, {"limit": 0}, {"limit": 1001}, {"state": "gone"}],
)
def test_a_list_that_cannot_be_is_refused(api: TestClient, params: dict[str, Any]) -> None:
    answer = api.get("/dlq/groups", params=params)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")


def test_resolved_groups_are_listed_only_when_asked_for(api: TestClient) -> None:
    [message_id] = publish(api)
    succeed(api, message_id)
    assert listed(api) == []
    [resolved] = listed(api, status="all")
    assert (resolved["count"], resolved["by_state"]) == (0, {"resolved": 1})


# --- merge and split ---------------------------------------------------------------------


def test_a_merge_is_taken_back(api: TestClient, rate_limits: str, credentials: str) -> None:
    merged = change(api, "POST", f"{credentials[:8]}/merge", {"into": rate_limits})
    assert (merged["id"], merged["count"]) == (rate_limits, 5)
    assert len(merged["causes"]) == 2
    assert merged["history"][0]["target"] == credentials
    assert api.get(f"/dlq/groups/{credentials}").json()["id"] == rate_limits
    back = change(api, "POST", f"{rate_limits}/split", {"fingerprint": credentials})
    assert [(g["id"], g["count"]) for g in back] == [(rate_limits, 3), (credentials, 2)]


def test_all_that_was_merged_is_split_at_once(
    api: TestClient, rate_limits: str, credentials: str
) -> None:
    change(api, "POST", f"{credentials}/merge", {"into": rate_limits})
    assert len(change(api, "POST", f"{rate_limits}/split")) == 2


def test_a_group_merged_into_itself_is_refused(api: TestClient, rate_limits: str) -> None:
    answer = api.post(f"/dlq/groups/{rate_limits}/merge", json={"into": rate_limits[:5]})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert "one group already" in answer.json()["detail"]


# --- marks -------------------------------------------------------------------------------


def test_a_note_is_written_and_removed(api: TestClient, rate_limits: str) -> None:
    noted = change(api, "PUT", f"{rate_limits}/note", {"note": "<b>ask</b>"})
    assert (noted["note"], noted["marks"]["noted_by"]) == ("<b>ask</b>", "local")
    assert change(api, "PUT", f"{rate_limits}/note", {"note": ""})["note"] is None


def test_a_muted_group_is_hidden_until_it_is_unmuted(api: TestClient, rate_limits: str) -> None:
    muted = change(api, "POST", f"{rate_limits}/mute", {"for_s": 3600})
    until = dt.datetime.fromisoformat(muted["muted_until"])
    assert abs((until - dt.datetime.now(dt.UTC)).total_seconds() - 3600) < 60
    assert muted["status"] == "muted"
    assert listed(api) == []
    assert [g["id"] for g in listed(api, status="muted")] == [rate_limits]
    assert change(api, "POST", f"{rate_limits}/unmute")["status"] == "open"
    assert change(api, "POST", f"{rate_limits}/mute")["muted_until"].startswith("9999-")


def test_an_archived_group_is_hidden_until_it_is_restored(
    api: TestClient, rate_limits: str
) -> None:
    assert change(api, "POST", f"{rate_limits}/archive")["status"] == "archived"
    publish(api)
    assert listed(api) == []
    assert [g["count"] for g in listed(api, status="archived")] == [4]
    assert change(api, "POST", f"{rate_limits}/restore")["status"] == "open"


def test_what_is_left_of_a_fixed_group_is_still_shown(api: TestClient, rate_limits: str) -> None:
    fixed = change(api, "POST", f"{rate_limits}/fixed", {"release": "1.1"})
    assert (fixed["status"], fixed["fixed_in"]) == ("fixed", "1.1")
    [group] = listed(api)
    assert "replay what is left" in group["hint"]
    assert change(api, "POST", f"{rate_limits}/reopen")["status"] == "open"


def test_a_fixed_group_reopens_when_it_comes_back(api: TestClient, rate_limits: str) -> None:
    change(api, "POST", f"{rate_limits}/fixed", {"release": "1.1"})
    publish(api, metadata={"release": "1.0"})
    assert [g["status"] for g in listed(api)] == ["fixed"]
    publish(api, metadata={"release": "1.1"})
    [group] = listed(api)
    assert (group["status"], group["fixed_in"]) == ("open", None)
    assert group["came_back_at"] is not None
    assert group["hint"].startswith("It came back")
    history = api.get(f"/dlq/groups/{rate_limits}").json()["history"]
    assert [entry["action"] for entry in history] == ["group_came_back", "group_fixed"]
    assert change(api, "POST", f"{rate_limits}/acknowledge")["came_back_at"] is None


def test_what_comes_back_after_it_was_resolved_is_marked(api: TestClient) -> None:
    [message_id] = publish(api)
    succeed(api, message_id)
    publish(api)
    [group] = listed(api)
    assert group["came_back_at"] is not None


def test_a_corrected_category_sticks(api: TestClient, rate_limits: str) -> None:
    corrected = change(api, "PUT", f"{rate_limits}/category", {"category": "auth"})
    assert (corrected["category"], corrected["category_corrected"]) == ("auth", True)
    [later] = publish(api)
    assert api.get(f"/dlq/messages/{later}").json()["category"] == "auth"
    assert "credentials" in listed(api)[0]["hint"]
    back = change(api, "PUT", f"{rate_limits}/category", {"category": None})
    assert (back["category"], back["category_corrected"]) == ("rate_limit", False)


# --- what is refused ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "category", {"category": "bad luck"}),
        ("PUT", "category", {}),
        ("PUT", "note", {"note": "x" * 4001}),
        ("POST", "mute", {"for_s": 0}),
        ("POST", "mute", {"for_s": 1e300}),
        ("POST", "fixed", {"release": ""}),
        ("POST", "merge", {}),
        ("POST", "merge", {"into": ""}),
    ],
)
def test_a_bad_change_changes_nothing(
    api: TestClient, rate_limits: str, method: str, path: str, body: Any
) -> None:
    before = api.get(f"/dlq/groups/{rate_limits}").json()
    answer = api.request(method, f"/dlq/groups/{rate_limits}/{path}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert api.get(f"/dlq/groups/{rate_limits}").json() == before


CHANGES = [
    ("POST", "merge", {"into": "dead0000"}),
    ("POST", "split", None),
    ("PUT", "category", {"category": "auth"}),
    ("PUT", "note", {"note": "a note"}),
    *(("POST", name, None) for name in ("mute", "unmute", "acknowledge", "archive")),
    *(("POST", name, None) for name in ("restore", "fixed", "reopen")),
]


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
def test_a_change_of_no_group_is_not_found_and_audited(
    api: TestClient, method: str, path: str, body: Any
) -> None:
    answer = api.request(method, f"/dlq/groups/deadbeef/{path}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    [entry] = api.get("/dlq/audit", params={"limit": 1}).json()
    assert (entry["action"], entry["target"]) == (f"group_{path}", "deadbeef")
    assert entry["result"] == "not_found"
    assert entry["action"] in MARKING


def test_every_change_is_audited_under_the_whole_fingerprint(
    api: TestClient, rate_limits: str
) -> None:
    done = CHANGES[1:]
    for method, path, body in done:
        change(api, method, f"{rate_limits[:5]}/{path}", body)
    history = api.get(f"/dlq/groups/{rate_limits}").json()["history"]
    assert [entry["action"] for entry in reversed(history)] == [f"group_{p}" for _, p, _ in done]
    assert {(e["actor"], e["target"], e["result"]) for e in history} == {
        ("local", rate_limits, "ok")
    }


def test_a_start_that_several_groups_share_is_refused(
    api: TestClient, rate_limits: str, credentials: str
) -> None:
    answer = api.get(f"/dlq/groups/{rate_limits[:3]}")
    assert answer.status_code == 404  # too short to be a start
    assert "first 4 hex digits" in answer.json()["detail"]
