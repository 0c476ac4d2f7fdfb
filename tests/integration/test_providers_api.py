"""Providers over the API: their pace as it is set and as they slowed it, their circuit, and
what an operator says of them."""

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
from tests.support.waiting import until

BASE = "http://127.0.0.1:8024"
SOON_S = 15.0
COOLDOWN_S = 60.0
DOWN = "503 Service Unavailable"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        ledger_url=f"sqlite:///{tmp_path / 'providers.sqlite'}",
        provider_limits="spotify=1000/s:1000,musicbrainz=1/m:3",
        circuit_failures=5,
        circuit_cooldown_s=COOLDOWN_S,
    )


@pytest.fixture
def service(settings: Settings) -> Manager:
    return Manager(settings)


@pytest.fixture
def api(service: Manager) -> Iterator[TestClient]:
    with TestClient(create_app(service), base_url=BASE) as client:
        yield client


def publish(api: TestClient, count: int = 1, **fields: Any) -> None:
    answer = api.post("/dlq/messages", json=[failure(**fields) for _ in range(count)])
    assert answer.status_code == 201, answer.text


def make(api: TestClient, **options: Any) -> str:
    answer = api.post("/dlq/jobs", json={"where": "provider:spotify", "canary": 0, **options})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["job_id"])


def take(api: TestClient) -> list[dict[str, Any]]:
    return list(api.post("/dlq/leases", json={"worker": "w", "limit": 100}).json()["leases"])


def take_some(api: TestClient, count: int) -> list[dict[str, Any]]:
    """Until so many were taken."""
    leases: list[dict[str, Any]] = []

    def enough() -> bool:
        leases.extend(take(api))
        return len(leases) >= count

    until(enough, SOON_S, lambda: f"expected {count} replays, got {leases}")
    assert len(leases) == count
    return leases


def succeed(api: TestClient, lease: dict[str, Any]) -> None:
    assert api.post(f"/dlq/leases/{lease['lease_id']}/ack").status_code == 200


def fail(api: TestClient, lease: dict[str, Any], error: str, **fields: Any) -> None:
    message_id = lease["message"]["message_id"]
    again = failure(message_id=message_id, error_message=error, **fields)
    path = f"/dlq/leases/{lease['lease_id']}/fail"
    assert api.post(path, json={"message": again}).status_code == 200


def provider(api: TestClient, name: str = "spotify") -> dict[str, Any]:
    return dict(api.get(f"/dlq/providers/{name}").json())


def waiting_for(api: TestClient, job_id: str) -> str:
    return str(api.get(f"/dlq/jobs/{job_id}").json()["waiting_for"])


def wait_told(api: TestClient, job_id: str, words: str) -> None:
    """Until the job says that it waits for that."""
    until(lambda: words in waiting_for(api, job_id), SOON_S, lambda: waiting_for(api, job_id))


# --- pace --------------------------------------------------------------------------------


def test_the_limits_of_the_settings_are_told_less_the_headroom(api: TestClient) -> None:
    told = provider(api, "musicbrainz")
    assert (round(told["limit_per_s"], 6), told["burst"], told["rate_per_s"]) == (
        0.016667,
        3,
        0.015,
    )
    assert (told["share"], told["hold_until"]) == (1.0, None)
    assert told["circuit"] == {
        "state": "closed",
        "failures": 0,
        "opened_at": None,
        "probe_at": None,
    }
    assert told["outcomes"]["success_rate"] is None
    assert api.get("/dlq/providers").json() == []  # nothing is known of any


def test_a_429_with_retry_after_holds_the_provider_and_halves_its_share(api: TestClient) -> None:
    publish(api, 2, error_message="429 Too Many Requests", retry_after_s=600)
    told = provider(api)
    assert told["share"] == 0.5
    assert told["rate_per_s"] == pytest.approx(450)
    until_s = _seconds_from_now(told["hold_until"])
    assert 500 < until_s <= 600
    assert api.get("/dlq/providers").json() == [told]
    job_id = make(api)
    wait_told(api, job_id, "spotify, which asked for a pause")
    assert take(api) == []
    assert 'dlq_provider_share{error_type="spotify"} 0.5' in api.get("/metrics").text
    assert api.post("/dlq/providers/spotify/mended").json()["hold_until"] is None
    take_some(api, 2)


def test_a_429_of_a_replay_holds_the_provider_too_but_opens_no_circuit(api: TestClient) -> None:
    publish(api, 6, error_message=DOWN)
    make(api, concurrency=1)
    [lease] = take_some(api, 1)
    fail(api, lease, "429 Too Many Requests", retry_after_s=300)
    told = provider(api)
    assert 200 < _seconds_from_now(told["hold_until"]) <= 300
    assert told["circuit"]["failures"] == 0
    assert take(api) == []


def test_a_provider_is_sent_no_more_than_its_burst_at_once(api: TestClient) -> None:
    publish(api, 6, error_type="musicbrainz", error_message=DOWN)
    job_id = make(api, where="provider:musicbrainz", concurrency=100)
    wait_told(api, job_id, "the pace of musicbrainz: 0.015/s")
    assert api.get(f"/dlq/jobs/{job_id}").json()["in_flight"] == 3
    assert provider(api, "musicbrainz")["in_flight"] == 3


def _seconds_from_now(instant: str) -> float:
    return (dt.datetime.fromisoformat(instant) - dt.datetime.now(dt.UTC)).total_seconds()


# --- the circuit -------------------------------------------------------------------------


@pytest.fixture
def opened(api: TestClient) -> str:
    """A job of 3, after the 5 of another failed in a row. Returns: its id."""
    publish(api, 8, error_message=DOWN)
    make(api, limit=5)
    for lease in take_some(api, 5):
        fail(api, lease, DOWN)
    return make(api, where="provider:spotify outcome:none")


def test_five_failures_in_a_row_open_the_circuit_and_everybody_is_told(
    api: TestClient, opened: str
) -> None:
    told = provider(api)
    assert (told["circuit"]["state"], told["circuit"]["failures"]) == ("open", 5)
    assert 0 < _seconds_from_now(told["circuit"]["probe_at"]) <= COOLDOWN_S
    assert told["last_error"] == DOWN
    assert told["outcomes"]["failed"] == 5
    wait_told(api, opened, "spotify: its circuit is open, the next probe goes at")
    assert take(api) == []
    assert api.get("/dlq/stats").json()["circuits"] == {"spotify": "open"}
    metrics = api.get("/metrics").text
    assert 'dlq_circuit_state{error_type="spotify",state="open"} 1.0' in metrics
    assert 'dlq_circuit_state{error_type="spotify",state="closed"} 0.0' in metrics


def test_a_probe_that_succeeds_closes_the_circuit(
    api: TestClient, service: Manager, opened: str
) -> None:
    later = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=COOLDOWN_S + 1)
    for _ in range(3):
        service.runner.step(later)
    [probe] = take(api)  # one, not all that wait
    assert provider(api)["circuit"]["state"] == "half_open"
    succeed(api, probe)
    assert provider(api)["circuit"]["state"] == "closed"
    assert api.get("/dlq/stats").json()["circuits"] == {"spotify": "closed"}
    service.runner.step(later + dt.timedelta(seconds=10))
    assert len(take_some(api, 2)) == 2
    assert api.get(f"/dlq/jobs/{opened}").json()["waiting"] == 0


def test_a_probe_that_fails_opens_the_circuit_for_longer(
    api: TestClient, service: Manager, opened: str
) -> None:
    service.runner.step(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=COOLDOWN_S + 1))
    [probe] = take(api)
    fail(api, probe, DOWN)
    circuit = provider(api)["circuit"]
    assert circuit["state"] == "open"
    assert COOLDOWN_S < _seconds_from_now(circuit["probe_at"]) <= 2 * COOLDOWN_S
    assert api.get(f"/dlq/jobs/{opened}").json()["waiting"] == 2


def test_mended_closes_the_circuit_and_the_job_goes_on(api: TestClient, opened: str) -> None:
    answer = api.post("/dlq/providers/spotify/mended")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["circuit"]["state"], told["last_error"]) == ("closed", None)
    assert told["mended_by"] == "local"
    assert abs(_seconds_from_now(told["mended_at"])) < SOON_S
    row = api.get("/dlq/audit").json()[0]
    assert (row["action"], row["target"], row["result"]) == ("provider_mended", "spotify", "ok")
    for lease in take_some(api, 3):
        succeed(api, lease)
    until(
        lambda: api.get(f"/dlq/jobs/{opened}").json()["state"] == "finished",
        SOON_S,
        lambda: api.get(f"/dlq/jobs/{opened}").text,
    )


def test_failures_of_the_dead_letter_itself_open_no_circuit(api: TestClient) -> None:
    publish(api, 6, error_message=DOWN)
    make(api, concurrency=6)
    for lease in take_some(api, 6):
        fail(api, lease, "404 Not Found: no such track")
    assert provider(api)["circuit"]["state"] == "closed"


# --- names -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["%3Cscript%3E", "%00%1B%5B31m", "%F0%9F%92%A9", "a%20b"])
def test_a_name_that_nothing_came_from_is_told_and_harms_nothing(
    ledger_url: str, name: str
) -> None:
    with TestClient(create_app(Manager(Settings(ledger_url=ledger_url))), base_url=BASE) as api:
        told = api.get(f"/dlq/providers/{name}").json()
        assert told["circuit"]["state"] == "closed"
        assert "\x00" not in told["provider"]
        mended = api.post(f"/dlq/providers/{name}/mended")
        assert (mended.status_code, mended.json()["code"]) == (404, "not_found")
        assert api.get("/dlq/providers").json() == []
        assert api.get("/metrics").status_code == 200
        assert api.get("/dlq/audit").json()[0]["action"] == "provider_mended"


def test_a_name_that_no_error_type_can_have_is_refused(api: TestClient) -> None:
    for answer in (
        api.get(f"/dlq/providers/{'x' * 65}"),
        api.post(f"/dlq/providers/{'x' * 65}/mended"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert api.get("/dlq/providers").json() == []
