"""Jobs over the API: chosen, watched, steered, and worked off by a taker of leases; over a
broker what only a broker shows."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pika
import pytest
from fastapi.testclient import TestClient
from pika.adapters.blocking_connection import BlockingChannel

from dlq.manager.app import create_app
from dlq.manager.service import Manager
from dlq.message import DLQMessage
from dlq.outcome import OutcomeReport, encode_outcome
from dlq.settings import Settings
from dlq.states import Outcome
from dlq.worker import RetryWorker
from tests.support.failures import SPOTIFY_429, failure
from tests.support.manager import ManagerProcess
from tests.support.rabbitmq import BrokerNode
from tests.support.waiting import until

BASE = "http://127.0.0.1:8024"
SOON_S = 15.0
OVER = ("finished", "stopped", "cancelled")
SETTLED = ("succeeded", "failed", "returned", "presumed", "skipped", "refused", "cancelled")
EVERYTHING = "state:dlq"
TARGET = "priority.of.the.night"

Answer = Callable[[dict[str, Any]], str | None]
"""What becomes of a dead letter that is taken: None is a success, a text the new error."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(f"sqlite:///{tmp_path / 'jobs.sqlite'}")


def settings_of(ledger_url: str) -> Settings:
    limits = "spotify=1000/s:1000,*=1000/s:1000"  # pace is not what these tests are about
    return Settings(ledger_url=ledger_url, provider_limits=limits)


@pytest.fixture
def service(settings: Settings) -> Manager:
    return Manager(settings)


@pytest.fixture
def api(service: Manager) -> Iterator[TestClient]:
    with TestClient(create_app(service), base_url=BASE) as client:
        yield client


def publish(api: TestClient, count: int = 1, **fields: Any) -> list[str]:
    failures = [failure(**fields) for _ in range(count)]
    answer = api.post("/dlq/messages", json=failures)
    assert answer.status_code == 201, answer.text
    return [result["message_id"] for result in answer.json()["results"]]


def make(api: TestClient, **body: Any) -> dict[str, Any]:
    answer = api.post("/dlq/jobs", json={"where": EVERYTHING, **body})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def look(api: TestClient, job_id: str) -> dict[str, Any]:
    """The job, whose counts add up whenever one looks."""
    job = dict(api.get(f"/dlq/jobs/{job_id}").json())
    assert job["done"] == sum(job[status] for status in SETTLED), job
    assert job["total"] == job["waiting"] + job["in_flight"] + job["done"], job
    return job


def take(api: TestClient, limit: int = 100) -> list[dict[str, Any]]:
    answer = api.post("/dlq/leases", json={"worker": "w", "limit": limit})
    return list(answer.json()["leases"])


def take_some(api: TestClient, count: int) -> list[dict[str, Any]]:
    """Until so many were taken."""
    leases: list[dict[str, Any]] = []

    def enough() -> bool:
        leases.extend(take(api))
        return len(leases) >= count

    until(enough, SOON_S, lambda: f"expected {count} replays, got {leases}")
    assert len(leases) == count
    return leases


def settle(api: TestClient, lease: dict[str, Any], error: str | None = None) -> None:
    path = f"/dlq/leases/{lease['lease_id']}"
    if error is None:
        answer = api.post(f"{path}/ack")
    else:
        again = failure(message_id=lease["message"]["message_id"], error_message=error)
        answer = api.post(f"{path}/fail", json={"message": again})
    assert answer.status_code == 200, answer.text


def work(
    api: TestClient, job_id: str, answer: Answer = lambda _message: None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Take and answer until the job is over. Returns: the job, and what was taken in order."""
    taken: list[dict[str, Any]] = []

    def is_over() -> bool:
        for lease in take(api):
            taken.append(lease["message"])
            settle(api, lease, answer(lease["message"]))
        return look(api, job_id)["state"] in OVER

    until(is_over, SOON_S, lambda: str(look(api, job_id)))
    return look(api, job_id), taken


def ids_of(messages: list[dict[str, Any]]) -> list[str]:
    return [message["message_id"] for message in messages]


def states(api: TestClient) -> dict[str, str]:
    found = api.get("/dlq/messages", params={"state": "all", "limit": 1000}).json()
    return {message["message_id"]: message["state"] for message in found}


def steps_in_vain(api: TestClient, service: Manager) -> None:
    """However often the runner looks, nothing more is handed out."""
    for _ in range(3):
        service.runner.step(dt.datetime.now(dt.UTC))
    assert take(api) == []


# --- choosing ----------------------------------------------------------------------------


def test_a_dry_run_names_what_it_would_replay_and_changes_nothing(api: TestClient) -> None:
    spotify = publish(api, 3, error_message="503 Service Unavailable")
    publish(api, error_type="lastfm", error_message="401 Unauthorized")
    before, audit = api.get("/dlq/messages").json(), api.get("/dlq/audit").json()
    body = {"where": "provider:spotify", "rate": "1/s", "canary": 2, "dry_run": True}
    answer = api.post("/dlq/jobs", json=body)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    (cause,) = told.pop("causes")
    assert (cause["category"], cause["count"]) == ("server_error", 3)
    assert told == {
        "dry_run": True,
        "total": 3,
        "by_error_type": {"spotify": 3},
        "by_state": {"pending": 3},
        "message_ids": spotify,
        "unknown_ids": [],
        "canary": 2,
        "pace": [{"provider": "spotify", "count": 3, "rate_per_s": 1.0, "seconds": 3.0}],
        "eta_s": 3.0,
    }
    assert api.get("/dlq/jobs").json() == []
    assert api.get("/dlq/messages").json() == before
    assert api.get("/dlq/audit").json() == audit
    assert take(api) == []


def test_what_arrives_later_is_not_swept_in(api: TestClient) -> None:
    early = publish(api, 3)
    job = make(api, where="provider:spotify")
    (late,) = publish(api)
    assert job["total"] == 3
    job, taken = work(api, job["job_id"])
    assert ids_of(taken) == early
    assert (job["state"], job["total"], job["succeeded"]) == ("finished", 3, 3)
    assert states(api)[late] == "pending"


def test_ids_that_are_unknown_are_told_and_the_others_replayed(api: TestClient) -> None:
    [known] = publish(api)
    body = {"message_ids": [known, "none", known]}
    told = api.post("/dlq/jobs", json=body | {"dry_run": True}).json()
    assert (told["total"], told["unknown_ids"]) == (1, ["none"])
    job = api.post("/dlq/jobs", json=body).json()
    assert (job["total"], job["chosen_ids"], job["unknown_ids"]) == (1, 3, ["none"])
    job, taken = work(api, job["job_id"])
    assert (job["state"], ids_of(taken)) == ("finished", [known])


def test_a_job_of_nothing_finishes_and_says_so(api: TestClient) -> None:
    job, _ = work(api, make(api, where="provider:nobody")["job_id"])
    assert (job["state"], job["total"], job["success_rate"]) == ("finished", 0, None)
    assert job["stop_reason"]


def test_what_is_resolved_by_now_is_skipped_with_the_reason(api: TestClient) -> None:
    [message_id] = publish(api)
    work(api, make(api)["job_id"])
    job, taken = work(
        api, api.post("/dlq/jobs", json={"message_ids": [message_id]}).json()["job_id"]
    )
    assert (taken, job["skipped"]) == ([], 1)
    assert job["skipped_because"] == {"it is resolved already": 1}


def test_10_000_ids_are_taken_and_one_more_is_refused(api: TestClient) -> None:
    ids = publish(api, 2) + [f"unknown-{number}" for number in range(9_999)]
    refused = api.post("/dlq/jobs", json={"message_ids": ids})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input")
    assert "10000" in refused.json()["detail"]
    assert api.get("/dlq/jobs").json() == []
    job = make(api, where=None, message_ids=ids[:10_000])
    assert (job["total"], job["chosen_ids"]) == (2, 10_000)
    assert len(job["unknown_ids"]) == 100


@pytest.mark.parametrize(
    ("body", "code", "told"),
    [
        ({"where": EVERYTHING, "message_ids": ["a"]}, "invalid_input", "either where"),
        ({}, "invalid_input", "either where"),
        ({"message_ids": []}, "invalid_input", "either where"),
        ({"where": ""}, "invalid_input", "where"),
        ({"where": " \t"}, "invalid_input", "state:dlq"),  # must never mean all
        ({"where": "x" * 2001}, "invalid_input", "where"),
        ({"where": EVERYTHING, "rat": "1/s"}, "invalid_input", "rat"),
        ({"where": EVERYTHING, "rate": "fast"}, "invalid_input", "1/s, 30/m"),
        ({"where": EVERYTHING, "canary_share": 1.1}, "invalid_input", "canary_share"),
        ({"where": EVERYTHING, "concurrency": 0}, "invalid_input", "concurrency"),
        ({"where": EVERYTHING, "start_at": "soon"}, "invalid_input", "start_at"),
        ({"where": "state:resolved"}, "invalid_input", "pending, scheduled or parked"),
        ({"where": "state:all"}, "invalid_input", "pending, scheduled or parked"),
        ({"where": "categry:auth"}, "invalid_filter", "Did you mean category"),
        ({"where": EVERYTHING, "ordered_by": "nowhere.a"}, "invalid_input", "payload.track_id"),
        ({"where": EVERYTHING, "skip_superseded": "payload"}, "invalid_input", "payload.track_id"),
    ],
)
def test_a_request_that_cannot_be_meant_is_refused(
    api: TestClient, body: dict[str, Any], code: str, told: str
) -> None:
    publish(api)
    for dry_run in (True, False):
        answer = api.post("/dlq/jobs", json=body | {"dry_run": dry_run})
        assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
        assert told in answer.json()["detail"]
    assert api.get("/dlq/jobs").json() == []
    assert set(states(api).values()) == {"pending"}


def test_a_target_that_is_not_allowed_is_refused_and_the_setting_named(api: TestClient) -> None:
    publish(api)
    for key in ("spotify.enrichment.failed", "<b>\x00\x1b[31m\U0001f4a9"):
        for dry_run in (True, False):
            body = {"where": EVERYTHING, "routing_key": key, "dry_run": dry_run}
            answer = api.post("/dlq/jobs", json=body)
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
            assert "DLQ_REPLAY_TARGETS" in answer.json()["detail"]
            assert "\x1b" not in answer.json()["detail"]
    assert api.get("/dlq/jobs").json() == []
    assert api.get("/dlq/audit").json()[0]["result"] == "invalid_input"


HOSTILE = "<script>alert(1)</script> '; DROP TABLE jobs; -- \u202e\x1b[31m\x00\U0001f4a9"


def test_hostile_text_is_kept_and_told_and_does_no_harm(ledger_url: str) -> None:
    with TestClient(create_app(Manager(settings_of(ledger_url))), base_url=BASE) as api:
        publish(api)
        where = json.dumps(HOSTILE).encode().decode()
        answers = [
            api.post("/dlq/jobs", json={"where": f"provider:{quoted}"})
            for quoted in (where, f'"{HOSTILE}"')
        ]
        answers.append(api.post("/dlq/jobs", json={"message_ids": [HOSTILE, "\U0001f4a9"]}))
        for answer in answers:
            assert answer.status_code in (201, 422), answer.text
        (job, *_) = api.get("/dlq/jobs").json()
        assert (job["total"], len(job["unknown_ids"])) == (0, 2)
        assert "<script>" in job["unknown_ids"][0]
        no_unicode = b'{"where": "\\ud800", "message_ids": null}'
        for body in (no_unicode, b'{"message_ids": ["\\ud800"]}'):
            answer = api.post(
                "/dlq/jobs", content=body, headers={"content-type": "application/json"}
            )
            assert answer.status_code in (201, 422), answer.text
        assert api.get("/dlq/audit").status_code == 200


def test_a_new_error_that_is_hostile_is_told_as_it_came(ledger_url: str) -> None:
    with TestClient(create_app(Manager(settings_of(ledger_url))), base_url=BASE) as api:
        publish(api, 2)
        job = make(api, canary=2)
        job, _ = work(api, job["job_id"], lambda _message: HOSTILE)
        assert job["state"] == "stopped"
        assert "<script>alert(1)</script>" in job["stop_reason"]
        (error,) = job["new_errors"]
        assert (error["count"], "\U0001f4a9" in error["error"]) == (2, True)
        assert "\x00" not in error["error"]


# --- progress ----------------------------------------------------------------------------


def test_progress_adds_up_and_tells_what_became_of_each(api: TestClient) -> None:
    ids = publish(api, 12)
    bad = set(ids[::3])
    job, taken = work(
        api,
        make(api, canary=0)["job_id"],
        lambda message: "500 Internal Server Error" if message["message_id"] in bad else None,
    )
    assert sorted(ids_of(taken)) == sorted(ids)
    assert (job["state"], job["done"], job["succeeded"], job["failed"]) == ("finished", 12, 8, 4)
    assert job["success_rate"] == pytest.approx(8 / 12)
    assert job["new_errors"] == [{"error": "500 Internal Server Error", "count": 4}]
    assert job["finished_at"] >= job["started_at"] >= job["created_at"]
    assert (job["stop_reason"], job["waiting_for"], job["eta_s"]) == (None, None, None)
    items = api.get(f"/dlq/jobs/{job['job_id']}/items").json()
    assert [item["message_id"] for item in items] == ids
    failed = api.get(f"/dlq/jobs/{job['job_id']}/items", params={"status": "failed"}).json()
    assert {item["message_id"] for item in failed} == bad
    assert {item["error"] for item in failed} == {"500 Internal Server Error"}
    story = api.get(f"/dlq/messages/{ids[0]}").json()
    (replay,) = story["replays"]
    assert (replay["job_id"], replay["rule"]) == (job["job_id"], None)
    assert (replay["category"], replay["edit_count"]) == ("rate_limit", 0)
    assert story["last_outcome"] == "failed"


def test_no_more_than_the_concurrency_are_on_their_way(api: TestClient, service: Manager) -> None:
    publish(api, 5)
    job = make(api, concurrency=2)
    leases = take_some(api, 2)
    steps_in_vain(api, service)
    seen = look(api, job["job_id"])
    assert (seen["in_flight"], seen["waiting"]) == (2, 3)
    assert "2 that are on their way" in seen["waiting_for"]
    in_flight = f"/dlq/jobs/{job['job_id']}/items?status=in_flight"
    assert {item["replay_id"] for item in api.get(in_flight).json()} == {
        lease["replay_id"] for lease in leases
    }
    settle(api, leases[0])
    take_some(api, 1)


def test_success_rates_and_counters_tell_the_same(api: TestClient) -> None:
    ids = publish(api, 4)
    job, _ = work(
        api,
        make(api)["job_id"],
        lambda message: SPOTIFY_429 if message["message_id"] == ids[0] else None,
    )
    assert job["success_rate"] == 0.75
    outcomes = {"succeeded": 3, "failed": 1, "returned": 0, "presumed": 0}
    (group,) = api.get("/dlq/errors/grouped", params={"by": "cause"}).json()
    provider = api.get("/dlq/providers/spotify").json()
    assert provider["outcomes"] == outcomes | {"success_rate": 0.75}
    assert group["replay_success_rate"] == 0.75
    assert api.get(f"/dlq/groups/{group['id']}").json()["outcomes"] == provider["outcomes"]
    stats = api.get("/dlq/stats").json()
    assert stats["by_outcome"] == outcomes
    assert stats["jobs"]["finished"] == 1
    metrics = api.get("/metrics").text
    for line in (
        'dlq_replay_total{status="success"} 4.0',
        'dlq_replay_total{status="error"} 0.0',
        'dlq_replay_outcomes_total{error_type="spotify",outcome="succeeded"} 3.0',
        'dlq_replay_outcomes_total{error_type="spotify",outcome="failed"} 1.0',
        'dlq_jobs{state="finished"} 1.0',
    ):
        assert line in metrics.splitlines()


def test_jobs_are_listed_newest_first_by_state_and_page(api: TestClient) -> None:
    publish(api)
    done = make(api)["job_id"]
    work(api, done)
    later = (dt.datetime.now(dt.UTC) + dt.timedelta(days=1)).isoformat()
    waiting = [make(api, start_at=later)["job_id"] for _ in range(2)]

    def listed(**params: Any) -> list[str]:
        return [job["job_id"] for job in api.get("/dlq/jobs", params=params).json()]

    assert listed() == [*reversed(waiting), done]
    assert listed(state="finished") == [done]
    assert listed(state=["finished", "running"], limit=1, offset=1) == [waiting[0]]
    assert api.get("/dlq/jobs", params={"state": "no-such"}).status_code == 422
    for status in ("no-such", "sent"):
        refused = api.get(f"/dlq/jobs/{done}/items", params={"status": status})
        assert refused.status_code == 422


def test_jobs_that_are_unknown_are_404(api: TestClient) -> None:
    for method, path in (
        ("GET", "/dlq/jobs/none"),
        ("GET", "/dlq/jobs/none/items"),
        ("POST", "/dlq/jobs/none/pause"),
        ("POST", "/dlq/jobs/none/resume"),
        ("POST", "/dlq/jobs/none/cancel"),
        ("POST", "/dlq/jobs/none/repeat"),
        ("GET", "/dlq/jobs/%00%F0%9F%92%A9"),
    ):
        answer = api.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path


# --- steering ----------------------------------------------------------------------------


def test_a_job_is_paused_resumed_and_cancelled_and_nothing_else_is_allowed(
    api: TestClient, service: Manager
) -> None:
    ids = publish(api, 4)
    job_id = make(api, concurrency=1)["job_id"]

    def steer(verb: str) -> tuple[int, str]:
        answer = api.post(f"/dlq/jobs/{job_id}/{verb}")
        return answer.status_code, answer.json().get("state") or answer.json()["code"]

    [lease] = take_some(api, 1)
    assert steer("resume") == (409, "illegal_state")
    assert steer("pause") == (200, "paused")
    settle(api, lease)
    steps_in_vain(api, service)
    assert look(api, job_id)["succeeded"] == 1
    assert steer("resume") == (200, "running")
    [lease] = take_some(api, 1)
    assert steer("cancel") == (200, "cancelled")
    settle(api, lease)
    steps_in_vain(api, service)
    job = look(api, job_id)
    assert (job["succeeded"], job["cancelled"], job["waiting"]) == (2, 2, 0)
    assert job["stop_reason"] == "cancelled by local"
    for verb in ("pause", "resume", "cancel"):
        assert steer(verb) == (409, "illegal_state")
    assert [states(api)[message_id] for message_id in ids] == ["resolved"] * 2 + ["pending"] * 2
    actions = [row["action"] for row in api.get("/dlq/audit").json() if row["target"] == job_id]
    assert set(actions) == {"job_pause", "job_resume", "job_cancel"}


def test_a_repeated_job_chooses_anew_with_the_same_options(api: TestClient) -> None:
    ids = publish(api, 3)
    first, _ = work(
        api,
        make(api, where="provider:spotify", max_retries=7, canary=0)["job_id"],
        lambda message: "500 Server Error" if message["message_id"] == ids[1] else None,
    )
    [new] = publish(api)
    answer = api.post(f"/dlq/jobs/{first['job_id']}/repeat")
    assert answer.status_code == 201, answer.text
    again = answer.json()
    assert again["repeat_of"] == first["job_id"]
    assert (again["where"], again["options"]) == (first["where"], first["options"])
    assert again["options"] == {"max_retries": 7, "canary": 0}
    again, taken = work(api, again["job_id"])
    assert ids_of(taken) == [ids[1], new]
    assert look(api, first["job_id"])["total"] == 3
    far = {"start_at": "2999-01-01T00:00:00Z"}
    assert api.post(f"/dlq/jobs/{first['job_id']}/repeat", json=far).status_code == 422
    tomorrow = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(days=1)
    late = {"start_at": tomorrow.isoformat().replace("+00:00", "Z")}
    waits = api.post(f"/dlq/jobs/{first['job_id']}/repeat", json=late).json()
    assert waits["start_at"] == late["start_at"]


def test_a_job_waits_for_its_start(api: TestClient, service: Manager) -> None:
    [message_id] = publish(api)
    start_at = dt.datetime.now(dt.UTC) + dt.timedelta(hours=2)
    job = make(api, start_at=start_at.isoformat())
    steps_in_vain(api, service)
    seen = look(api, job["job_id"])
    assert (seen["state"], seen["waiting"], seen["started_at"]) == ("running", 1, None)
    assert seen["waiting_for"] == f"its start at {start_at:%Y-%m-%d %H:%M:%S} UTC"
    service.runner.step(start_at + dt.timedelta(seconds=1))
    assert [lease["message"]["message_id"] for lease in take(api)] == [message_id]


def test_jobs_survive_the_managers_restart(settings: Settings) -> None:
    with TestClient(create_app(Manager(settings)), base_url=BASE) as api:
        publish(api, 3)
        job_id = make(api, concurrency=1)["job_id"]
        [lease] = take_some(api, 1)
    with TestClient(create_app(Manager(settings)), base_url=BASE) as api:
        settle(api, lease)
        job, taken = work(api, job_id)
        assert (job["state"], job["succeeded"], len(taken)) == ("finished", 3, 2)


# --- canary, superseded, order -----------------------------------------------------------


def test_a_canary_that_fails_stops_the_job_and_tells_the_new_error(api: TestClient) -> None:
    ids = publish(api, 20)
    job_id = make(api, canary=3)["job_id"]
    job, taken = work(api, job_id, lambda _message: "401 Unauthorized: token expired")
    assert len(taken) == 3
    assert (job["state"], job["failed"], job["cancelled"]) == ("stopped", 3, 17)
    assert "0 of 3 succeeded, 80% must" in job["stop_reason"]
    assert "401 Unauthorized: token expired" in job["stop_reason"]
    assert job["canary"]["size"] == job["canary"]["failed"] == 3
    assert job["canary"]["passed"] is False
    replayed = [m["replay_count"] for m in api.get("/dlq/messages").json()]
    assert sorted(replayed) == [0] * 17 + [1] * 3
    assert len(ids) == len(replayed)


def test_the_rest_waits_for_the_canary_and_follows_if_enough_succeed(
    api: TestClient, service: Manager
) -> None:
    publish(api, 6)
    job_id = make(api, canary=2, canary_share=0.5)["job_id"]
    one, other = take_some(api, 2)
    steps_in_vain(api, service)
    seen = look(api, job_id)
    assert "canary" in seen["waiting_for"]
    assert (seen["canary"]["in_flight"], seen["waiting"]) == (2, 4)
    settle(api, one, "503 Service Unavailable")
    settle(api, other)
    job, taken = work(api, job_id)
    assert (job["state"], job["canary"]["passed"], len(taken)) == ("finished", True, 4)


@pytest.mark.parametrize(("count", "canary"), [(100, 0), (101, 10)])
def test_only_a_job_over_100_has_a_canary_unasked(api: TestClient, count: int, canary: int) -> None:
    publish(api, count)
    body = {"where": EVERYTHING, "dry_run": True}
    assert api.post("/dlq/jobs", json=body).json()["canary"] == canary


def test_what_a_newer_success_superseded_is_skipped_with_the_reason(api: TestClient) -> None:
    [old] = publish(api, payload={"track_id": "x"})
    [newer] = publish(api, payload={"track_id": "x"})
    [other] = publish(api, payload={"track_id": "y"})
    api.post(f"/dlq/replay/{newer}")
    settle(api, take_some(api, 1)[0])
    job, taken = work(api, make(api, skip_superseded="payload.track_id")["job_id"])
    assert ids_of(taken) == [other]
    assert (job["skipped"], job["succeeded"]) == (1, 1)
    [reason] = job["skipped_because"]
    assert "superseded" in reason
    assert "payload.track_id" in reason
    [item] = api.get(f"/dlq/jobs/{job['job_id']}/items?status=skipped").json()
    assert (item["message_id"], item["reason"]) == (old, reason)
    assert states(api)[old] == "pending"


def test_within_a_key_each_waits_for_the_outcome_of_the_one_before(
    api: TestClient, service: Manager
) -> None:
    rows = [publish(api, payload={"list": key, "n": n})[0] for n in range(3) for key in "ab"]
    job_id = make(api, ordered_by="payload.list")["job_id"]
    handled: dict[str, list[int]] = {"a": [], "b": []}
    for _ in range(3):
        both = take_some(api, 2)
        assert {lease["message"]["payload"]["list"] for lease in both} == {"a", "b"}
        steps_in_vain(api, service)
        for lease in both:
            payload = lease["message"]["payload"]
            handled[payload["list"]].append(payload["n"])
            settle(api, lease, "503 Service Unavailable" if payload["list"] == "b" else None)
    assert handled == {"a": [0, 1, 2], "b": [0, 1, 2]}
    job, rest = work(api, job_id)
    assert (rest, job["succeeded"], job["failed"]) == ([], 3, 3)
    assert len(rows) == job["total"]


# --- over a broker -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def stage(broker: BrokerNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagerProcess]:
    """One manager over RabbitMQ for all; each test has an error_type of its own."""
    broker.start()
    manager = ManagerProcess(
        tmp_path_factory.mktemp("jobs"),
        DLQ_BROKER_URL=broker.url(broker.fresh_vhost()),
        DLQ_REPLAY_TARGETS=TARGET,
        DLQ_PROVIDER_LIMITS="*=1000/s:1000",
    ).start()
    try:
        manager.wait_connected()
        yield manager
        manager.stop()
    finally:
        manager.kill()


@contextmanager
def channel_of(manager: ManagerProcess) -> Iterator[BlockingChannel]:
    parameters = pika.URLParameters(manager.environment["DLQ_BROKER_URL"])
    connection = pika.BlockingConnection(parameters)
    try:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel
    finally:
        connection.close()


def made(manager: ManagerProcess, error_type: str, count: int, **options: Any) -> dict[str, Any]:
    """Failures of a provider, and a job of them."""
    failures = [failure(error_type, error_message="503") for _ in range(count)]
    assert manager.post("/dlq/messages", failures).status_code == 201
    body = {"where": f"provider:{error_type}", **options}
    answer = manager.post("/dlq/jobs", body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def wait_for(manager: ManagerProcess, job_id: str, **wanted: Any) -> dict[str, Any]:
    def seen() -> dict[str, Any]:
        return dict(manager.get(f"/dlq/jobs/{job_id}"))

    until(lambda: wanted.items() <= seen().items(), SOON_S, lambda: f"{wanted}: {seen()}")
    return seen()


def next_in(channel: BlockingChannel, queue: str) -> tuple[Any, Any]:
    """Delivery and properties of the next message, acked."""
    got: list[tuple[Any, Any]] = []

    def came() -> bool:
        method, properties, _ = channel.basic_get(queue, auto_ack=True)
        if method is not None:
            got.append((method, properties))
        return bool(got)

    until(came, SOON_S, f"nothing came in {queue}")
    return got[0]


def test_a_job_is_worked_off_by_a_worker_over_the_broker(stage: ManagerProcess) -> None:
    job = made(stage, "worked", 7, canary=2)
    seen: list[DLQMessage] = []
    RetryWorker(default=seen.append, settings=stage.settings).run_until_idle(30, idle_s=1)
    job = wait_for(stage, job["job_id"], state="finished")
    assert (job["succeeded"], len({message.message_id for message in seen})) == (7, 7)


def test_an_allowed_target_gets_the_job_and_no_other_queue_does(stage: ManagerProcess) -> None:
    with channel_of(stage) as channel:
        channel.queue_declare("night", durable=True, arguments={"x-queue-type": "quorum"})
        channel.queue_bind("night", stage.settings.exchange, TARGET)
        job = made(stage, "targeted", 1, routing_key=TARGET)
        method, properties = next_in(channel, "night")
    assert method.routing_key == TARGET
    assert stage.get("/dlq/stats")["queue_stats"][stage.settings.retry_queue] == 0
    [item] = stage.get(f"/dlq/jobs/{job['job_id']}/items")
    assert properties.headers["x-replay-id"] == item["replay_id"]
    [replay] = stage.get(f"/dlq/messages/{item['message_id']}")["replays"]
    assert replay["routing_key"] == TARGET
    stage.post(f"/dlq/jobs/{job['job_id']}/cancel")


def test_a_forged_outcome_changes_nothing_and_is_logged_and_counted(stage: ManagerProcess) -> None:
    job = made(stage, "forged", 1)
    seen = wait_for(stage, job["job_id"], in_flight=1)
    until(
        lambda: "nobody takes replays" in str(look_at(stage, seen["job_id"])["waiting_for"]),
        SOON_S,
        lambda: str(look_at(stage, seen["job_id"])),
    )
    [item] = stage.get(f"/dlq/jobs/{job['job_id']}/items")
    with channel_of(stage) as channel:
        _, properties = next_in(channel, stage.settings.retry_queue)
    assert properties.headers["x-replay-id"] == item["replay_id"]
    before = stage.get(f"/dlq/messages/{item['message_id']}")
    with channel_of(stage) as channel:
        report(channel, stage, item["message_id"], "forged-\x1b[31m-id")
        until(lambda: ignored(stage) == 1.0, SOON_S, "the forged outcome was not counted")
        assert stage.get(f"/dlq/messages/{item['message_id']}") == before
        assert look_at(stage, job["job_id"])["in_flight"] == 1
        log = stage.log.read_text()
        assert f"Ignored an outcome for '{item['message_id']}'" in log
        assert "\x1b" not in log
        report(channel, stage, item["message_id"], item["replay_id"])
    assert wait_for(stage, job["job_id"], state="finished")["succeeded"] == 1
    assert ignored(stage) == 1.0


def look_at(manager: ManagerProcess, job_id: str) -> dict[str, Any]:
    return dict(manager.get(f"/dlq/jobs/{job_id}"))


def report(
    channel: BlockingChannel, manager: ManagerProcess, message_id: str, replay_id: str
) -> None:
    told = OutcomeReport(
        message_id=message_id,
        replay_id=replay_id,
        outcome=Outcome.SUCCEEDED,
        worker="somebody\x1b[31m",
    )
    wire = encode_outcome(told, "forged")
    channel.basic_publish(manager.settings.exchange, wire.routing_key, wire.body, mandatory=True)


def ignored(manager: ManagerProcess) -> float:
    page = httpx2.get(f"{manager.url}/metrics").text
    [line] = [x for x in page.splitlines() if x.startswith("dlq_outcomes_ignored_total")]
    return float(line.split()[-1])
