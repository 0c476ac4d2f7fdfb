"""Automatic retry end to end, and the policies that decide on it over the API."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from dlq.errors import SettingsError
from dlq.manager.app import create_app
from dlq.manager.service import Manager
from dlq.policy import load_policies
from dlq.settings import Settings
from tests.support.failures import failure
from tests.support.waiting import until

BASE = "http://127.0.0.1:8024"
SOON_S = 15.0
POLICIES = """\
version: 1
rules:
  - name: passing
    match: {category: [rate_limit, server_error]}
    retry: backoff
    base: 1s
    cap: 1s
    budget: 2
  - name: credentials
    match: {category: auth}
    retry: when_mended
  - name: the rest
    retry: never
"""
NEVER = "version: 1\nrules:\n  - name: nothing\n    retry: never\n"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    file = tmp_path / "policies.yml"
    file.write_text(POLICIES)
    return Settings(
        ledger_url=f"sqlite:///{tmp_path / 'policies.sqlite'}",
        provider_limits="*=1000/s:1000,spotify=1000/s:1000,lastfm=1000/s:1000",
        auto_retry=True,
        policies_file=file,
    )


@pytest.fixture
def service(settings: Settings) -> Manager:
    return Manager(settings)


@pytest.fixture
def api(service: Manager) -> Iterator[TestClient]:
    with serving(service) as client:
        yield client


@contextmanager
def serving(service: Manager) -> Iterator[TestClient]:
    with TestClient(create_app(service), base_url=BASE) as client:
        yield client


def publish(api: TestClient, error: str, count: int = 1, **fields: Any) -> list[str]:
    failures = [failure(error_message=error, **fields) for _ in range(count)]
    answer = api.post("/dlq/messages", json=failures)
    assert answer.status_code == 201, answer.text
    return [result["message_id"] for result in answer.json()["results"]]


def story(api: TestClient, message_id: str) -> dict[str, Any]:
    return dict(api.get(f"/dlq/messages/{message_id}").json())


def wait_for(api: TestClient, message_id: str, **wanted: Any) -> dict[str, Any]:
    def is_so() -> bool:
        return wanted.items() <= story(api, message_id).items()

    until(is_so, SOON_S, lambda: f"expected {wanted}: {story(api, message_id)}")
    return story(api, message_id)


def take(api: TestClient) -> list[dict[str, Any]]:
    """This is what makes a worker be there."""
    return list(api.post("/dlq/leases", json={"worker": "w", "limit": 100}).json()["leases"])


def take_some(api: TestClient, count: int) -> list[dict[str, Any]]:
    leases: list[dict[str, Any]] = []

    def enough() -> bool:
        leases.extend(take(api))
        return len(leases) >= count

    until(enough, SOON_S, lambda: f"expected {count} replays, got {leases}")
    assert len(leases) == count
    return leases


def succeed(api: TestClient, lease: dict[str, Any]) -> None:
    assert api.post(f"/dlq/leases/{lease['lease_id']}/ack").status_code == 200


def fail(api: TestClient, lease: dict[str, Any], error: str) -> None:
    again = failure(message_id=lease["message"]["message_id"], error_message=error)
    path = f"/dlq/leases/{lease['lease_id']}/fail"
    assert api.post(path, json={"message": again}).status_code == 200


# --- automatic retry ---------------------------------------------------------------------


def test_what_is_due_waits_for_a_worker_and_then_goes_by_its_rule(
    api: TestClient, service: Manager
) -> None:
    [message_id] = publish(api, "503 Service Unavailable")
    scheduled = wait_for(api, message_id, state="scheduled", plan="replay")
    failed_at = dt.datetime.fromisoformat(scheduled["failed_at"])
    due_at = dt.datetime.fromisoformat(scheduled["next_replay_at"])
    assert failed_at <= due_at <= failed_at + dt.timedelta(seconds=2)
    assert scheduled["plan_reason"]
    provider = api.get("/dlq/providers/spotify").json()
    assert (provider["scheduled"], provider["next_replay_at"]) == (1, scheduled["next_replay_at"])
    assert 'dlq_scheduled_messages{error_type="spotify"} 1.0' in api.get("/metrics").text
    for minutes in range(1, 4):  # due since long, and nobody takes it
        service.runner.step(due_at + dt.timedelta(minutes=minutes))
    assert story(api, message_id)["replays"] == []
    assert api.get("/dlq/policies").json()["worker_is_there"] is False

    [lease] = take_some(api, 1)
    assert api.get("/dlq/policies").json()["worker_is_there"] is True
    assert lease["message"]["message_id"] == message_id
    succeed(api, lease)
    told = story(api, message_id)
    [replay] = told["replays"]
    assert (replay["rule"], replay["job_id"], replay["actor"]) == ("passing", None, "policy")
    assert (replay["outcome"], replay["category"]) == ("succeeded", "server_error")
    assert [h["to_state"] for h in told["history"]] == [
        "pending",
        "scheduled",
        "replaying",
        "resolved",
    ]
    assert told["history"][1]["reason"].startswith("passing: ")
    assert told["last_outcome"] == "succeeded"


def test_a_budget_that_is_spent_parks(api: TestClient) -> None:
    [message_id] = publish(api, "503 Service Unavailable")
    for _ in range(2):
        [lease] = take_some(api, 1)
        fail(api, lease, "500 Internal Server Error")
    parked = wait_for(api, message_id, state="parked", plan="park")
    assert parked["history"][-1]["reason"].startswith("passing: ")
    assert [replay["outcome"] for replay in parked["replays"]] == ["failed", "failed"]
    assert api.post(f"/dlq/replay/{message_id}").status_code == 200  # a person may


def test_what_only_a_person_can_mend_is_left_alone(api: TestClient) -> None:
    [message_id] = publish(api, "KeyError: 'album'", error_class="KeyError")
    left = wait_for(api, message_id, state="pending", plan="never")
    assert left["next_replay_at"] is None
    assert take(api) == []


def test_auth_waits_until_the_credentials_are_said_to_be_mended(
    api: TestClient, service: Manager
) -> None:
    ids = publish(api, "401 Unauthorized: Invalid API key", 3, error_type="lastfm")
    for message_id in ids:
        wait_for(api, message_id, state="pending", plan="wait")
    assert api.get("/dlq/providers/lastfm").json()["waiting_for_credentials"] == 3
    assert take(api) == []
    service.runner.step(dt.datetime.now(dt.UTC) + dt.timedelta(days=1))
    assert take(api) == []
    assert api.post("/dlq/providers/lastfm/mended").status_code == 200
    leases = take_some(api, 3)
    for lease in leases:
        succeed(api, lease)
    assert {lease["message"]["message_id"] for lease in leases} == set(ids)
    assert [r["rule"] for r in story(api, ids[0])["replays"]] == ["credentials"]
    assert api.get("/dlq/providers/lastfm").json()["waiting_for_credentials"] == 0


def test_auth_flows_once_one_that_was_replayed_by_hand_succeeds(api: TestClient) -> None:
    first, *others = publish(api, "401 Unauthorized: Invalid API key", 3, error_type="lastfm")
    for message_id in (first, *others):
        wait_for(api, message_id, plan="wait")
    assert api.post(f"/dlq/replay/{first}").status_code == 200
    succeed(api, *take_some(api, 1))
    flowing = take_some(api, 2)
    assert {lease["message"]["message_id"] for lease in flowing} == set(others)
    assert api.get("/dlq/providers/lastfm").json()["mended_by"] == "a replay that came right"


def test_turned_off_what_was_scheduled_is_pending_again(settings: Settings) -> None:
    with serving(Manager(settings)) as api:
        [message_id] = publish(api, "503 Service Unavailable")
        wait_for(api, message_id, state="scheduled")
    with serving(Manager(settings.model_copy(update={"auto_retry": False}))) as api:
        off = wait_for(api, message_id, state="pending", next_replay_at=None)
        assert off["history"][-1]["reason"] == "automatic retry is off"
        assert api.get("/dlq/policies").json() == {
            "automatic_retry": False,
            "digest": None,
            "file": str(settings.policies_file),
            "worker_is_there": False,
            "rules": [],
        }


def test_other_policies_decide_anew(settings: Settings) -> None:
    with serving(Manager(settings)) as api:
        [message_id] = publish(api, "503 Service Unavailable")
        wait_for(api, message_id, state="scheduled")
    assert settings.policies_file is not None
    settings.policies_file.write_text(NEVER)
    with serving(Manager(settings)) as api:
        wait_for(api, message_id, state="pending", plan="never")


def test_quiet_hours_put_it_off(settings: Settings) -> None:
    assert settings.policies_file is not None
    now = dt.datetime.now(dt.UTC)
    ends = now.replace(minute=0, second=0, microsecond=0) + dt.timedelta(hours=3)
    window = f"{now - dt.timedelta(hours=1):%H}:00-{ends:%H}:00"
    quiet = POLICIES.replace("    budget: 2\n", f'    budget: 2\n    quiet: "{window}"\n')
    settings.policies_file.write_text(quiet)
    with serving(Manager(settings)) as api:
        [message_id] = publish(api, "503 Service Unavailable")
        put_off = wait_for(api, message_id, state="scheduled")
        assert dt.datetime.fromisoformat(put_off["next_replay_at"]) >= ends
        assert take(api) == []


# --- the policies ------------------------------------------------------------------------


def test_the_policies_in_force_are_told(api: TestClient, settings: Settings) -> None:
    told = api.get("/dlq/policies").json()
    in_force = load_policies(settings.policies_file)
    assert told == {
        "automatic_retry": True,
        "digest": in_force.digest,
        "file": str(settings.policies_file),
        "worker_is_there": False,
        "rules": in_force.as_dict()["rules"],
    }
    assert [rule["name"] for rule in told["rules"]] == ["passing", "credentials", "the rest"]


def test_a_policy_file_that_is_broken_stops_the_start_and_names_the_line(
    settings: Settings,
) -> None:
    assert settings.policies_file is not None
    settings.policies_file.write_text(POLICIES.replace("base: 1s", "base: fast"))
    with pytest.raises(SettingsError, match=r"policies\.yml, line 6.*base.*fast"):
        Manager(settings)


def rehearse(api: TestClient, **body: Any) -> dict[str, Any]:
    answer = api.post("/dlq/policies/rehearse", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_policies_are_rehearsed_on_the_past_and_change_nothing(api: TestClient) -> None:
    long_ago = (dt.datetime.now(dt.UTC) - dt.timedelta(days=2)).isoformat()
    [message_id] = publish(api, "503 Service Unavailable", timestamp=long_ago)
    publish(api, "KeyError: 'album'", error_class="KeyError", timestamp=long_ago)
    succeed(api, *take_some(api, 1))
    wait_for(api, message_id, state="resolved")
    before = api.get("/dlq/messages", params={"state": "all"}).json()

    in_force = rehearse(api)
    assert in_force["digest"] == api.get("/dlq/policies").json()["digest"]
    assert in_force["truncated"] is False
    assert (in_force["total"]["letters"], in_force["total"]["never"]) == (2, 1)
    assert in_force["total"]["would_replay"] == 1
    assert [rule["rule"] for rule in in_force["rules"]] == ["passing", "credentials", "the rest"]

    own = rehearse(api, policies=NEVER, since_s=7 * 24 * 3600)
    assert own["digest"] != in_force["digest"]
    assert (own["total"]["letters"], own["total"]["never"], own["total"]["tries"]) == (2, 2, 0)
    assert api.get("/dlq/messages", params={"state": "all"}).json() == before


def test_without_automatic_retry_the_shipped_policies_are_rehearsed(settings: Settings) -> None:
    off = settings.model_copy(update={"auto_retry": False, "policies_file": None})
    with serving(Manager(off)) as api:
        assert rehearse(api)["digest"] == load_policies().digest
        assert api.get("/dlq/policies").json()["file"] == "shipped"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (POLICIES.replace("base: 1s", "base: fast"), "line 6, column 11"),
        (POLICIES.replace("auth", "no_such"), "line 10"),
        ("rules: [", "line 1"),
        ("", "line 1"),
        ("version: 1\nrules: *all\n", "line 2"),
        ("version: 1\x00", "line 1"),
        ("<script>\U0001f4a9\x1b[2J", "line 1"),
    ],
)
def test_policies_that_are_broken_are_answered_with_the_line(
    api: TestClient, text: str, told: str
) -> None:
    answer = api.post("/dlq/policies/rehearse", json={"policies": text})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_policies"), answer.text
    assert told in answer.json()["detail"]
    assert "\x1b" not in answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"since_s": 0},
        {"since_s": 365 * 24 * 3600 + 1},
        {"since_s": "soon"},
        {"policies": "#" * (256 * 1024 + 1)},
    ],
)
def test_rehearsals_are_bounded(api: TestClient, body: dict[str, Any]) -> None:
    answer = api.post("/dlq/policies/rehearse", json=body)
    assert answer.status_code == 422
    assert answer.json()["code"] in ("invalid_input", "invalid_policies")
