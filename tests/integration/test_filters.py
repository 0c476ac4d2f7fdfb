"""The filter language in the HTTP API."""

from __future__ import annotations

import json
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
def api(tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings(
        ledger_url=f"sqlite:///{tmp_path / 'api.sqlite'}", tokens_file=tmp_path / "tokens.json"
    )
    with TestClient(create_app(Manager(settings)), base_url=BASE) as client:
        yield client


@pytest.fixture
def three(api: TestClient) -> None:
    for message in (
        failure(message_id="spotify-1", payload={"track_id": "Ünï"}),
        failure(message_id="lastfm-1", error_type="lastfm", error_message="Invalid API key"),
        failure(message_id="lastfm-2", error_type="lastfm", error_message="429 Too Many Requests"),
    ):
        assert api.post("/dlq/messages", json=message).status_code == 201


def found(api: TestClient, *, is_counted: bool = True, **params: Any) -> list[str]:
    """Args: is_counted: what would have to be read one by one to be counted is not."""
    answer = api.get("/dlq/messages", params=params)
    assert answer.status_code == 200, answer.text
    ids = [message["message_id"] for message in answer.json()]
    export = api.get("/dlq/export", params=params)
    assert [json.loads(line)["message_id"] for line in export.text.splitlines()] == ids
    total = str(len(ids)) if is_counted else None
    assert [each.headers.get("X-Total-Count") for each in (answer, export)] == [total, total]
    return ids


@pytest.mark.usefixtures("three")
def test_a_filter_chooses_what_is_listed_and_exported(api: TestClient) -> None:
    assert found(api, where="provider:lastfm") == ["lastfm-1", "lastfm-2"]
    assert found(api, where="uni age<1h", is_counted=False) == ["spotify-1"]
    assert found(api, where="un age<1h", is_counted=False) == [], "words are whole"
    assert found(api, where="payload.track_id:Ünï", is_counted=False) == ["spotify-1"]
    assert found(api, where="-id:lastfm* replay_count:0") == ["spotify-1"]
    assert found(api, where="state:resolved") == []


@pytest.mark.usefixtures("three")
def test_a_filter_and_the_other_parameters_all_hold(api: TestClient) -> None:
    assert found(api, where="provider:lastfm", category="auth") == ["lastfm-1"]
    assert found(api, where="provider:spotify", error_type="lastfm") == []
    assert found(api, where="state:pending", state=["parked"]) == []
    assert found(api, where="state:dlq", state=["all"], error_type="spotify") == ["spotify-1"]


@pytest.mark.parametrize("path", ["/dlq/messages", "/dlq/export"])
def test_a_filter_that_cannot_be_read_is_refused_with_its_place(api: TestClient, path: str) -> None:
    answer = api.get(path, params={"where": "age>1h categry:auth"})
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_filter"
    assert "at character 8" in answer.json()["detail"]
    assert "Did you mean category?" in answer.json()["detail"]


@pytest.mark.parametrize("where", ["", " ", "\n\t", "x" * 2001, '"\x00', "state:pending,", "-"])
def test_an_empty_or_broken_filter_never_means_all(api: TestClient, where: str) -> None:
    assert api.get("/dlq/export", params={"where": where}).status_code == 422


def test_a_category_that_does_not_exist_is_refused(api: TestClient) -> None:
    answer = api.get("/dlq/messages", params={"category": "rate_limt"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert "rate_limit" in answer.json()["detail"]
