"""Who may do what: roles, loopback, names, cross-site writes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from dlq.errors import InvalidInput, SettingsError
from dlq.manager.app import create_app
from dlq.manager.service import Manager
from dlq.manager.tokens import Role, TokenStore, create_token, list_tokens, revoke_token
from dlq.settings import Settings
from tests.support.failures import failure

BASE = "http://127.0.0.1:8024"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        ledger_url=f"sqlite:///{tmp_path / 'access.sqlite'}", tokens_file=tmp_path / "tokens.json"
    )


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(Manager(settings)), base_url=BASE) as client:
        yield client


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_a_token_is_kept_only_as_a_hash_readable_by_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "tokens.json"
    secret = create_token(path, "ann", Role.OPERATOR)
    assert secret not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    found = TokenStore(path).find(secret)
    assert found is not None
    assert (found.name, found.role) == ("ann", Role.OPERATOR)
    assert TokenStore(path).find(secret + "x") is None


def test_token_names_are_unique_and_plain(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    create_token(path, "ann", Role.VIEWER)
    for name in ("ann", "", "a b", "../x", "x" * 65):
        with pytest.raises(InvalidInput):
            create_token(path, name, Role.VIEWER)
    assert [token.name for token in list_tokens(path)] == ["ann"]


def test_a_damaged_tokens_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    for content in (b"{}", b"\xff\xfe", b"[]"):
        path.write_bytes(content)
        with pytest.raises(SettingsError, match="damaged"):
            TokenStore(path)


ATTEMPTS = [
    ("GET", "/dlq/messages", Role.VIEWER),
    ("GET", "/dlq/stats", Role.VIEWER),
    ("GET", "/dlq/errors/grouped", Role.VIEWER),
    ("GET", "/dlq/export", Role.VIEWER),
    ("GET", "/dlq/groups", Role.VIEWER),
    ("GET", "/dlq/groups/none", Role.VIEWER),
    ("POST", "/dlq/groups/none/merge", Role.OPERATOR),
    ("POST", "/dlq/groups/none/split", Role.OPERATOR),
    ("PUT", "/dlq/groups/none/category", Role.OPERATOR),
    ("PUT", "/dlq/groups/none/note", Role.OPERATOR),
    ("POST", "/dlq/groups/none/mute", Role.OPERATOR),
    ("POST", "/dlq/groups/none/unmute", Role.OPERATOR),
    ("POST", "/dlq/groups/none/acknowledge", Role.OPERATOR),
    ("POST", "/dlq/groups/none/archive", Role.OPERATOR),
    ("POST", "/dlq/groups/none/restore", Role.OPERATOR),
    ("POST", "/dlq/groups/none/fixed", Role.OPERATOR),
    ("POST", "/dlq/groups/none/reopen", Role.OPERATOR),
    ("POST", "/dlq/purge", Role.ADMIN),
    ("POST", "/dlq/regroup", Role.VIEWER),
    ("GET", "/metrics", Role.VIEWER),
    ("GET", "/dlq/messages/none", Role.VIEWER),
    ("GET", "/dlq/jobs", Role.VIEWER),
    ("GET", "/dlq/jobs/none", Role.VIEWER),
    ("GET", "/dlq/jobs/none/items", Role.VIEWER),
    ("GET", "/dlq/providers", Role.VIEWER),
    ("GET", "/dlq/providers/none", Role.VIEWER),
    ("GET", "/dlq/policies", Role.VIEWER),
    ("POST", "/dlq/policies/rehearse", Role.VIEWER),
    ("POST", "/dlq/messages", Role.OPERATOR),
    ("POST", "/dlq/replay/none", Role.OPERATOR),
    ("POST", "/dlq/replay/batch", Role.OPERATOR),
    ("PATCH", "/dlq/messages/none/payload", Role.OPERATOR),
    ("PUT", "/dlq/messages/none/payload", Role.OPERATOR),
    ("DELETE", "/dlq/messages/none/payload", Role.OPERATOR),
    ("POST", "/dlq/jobs", Role.OPERATOR),
    ("POST", "/dlq/jobs/none/pause", Role.OPERATOR),
    ("POST", "/dlq/jobs/none/resume", Role.OPERATOR),
    ("POST", "/dlq/jobs/none/cancel", Role.OPERATOR),
    ("POST", "/dlq/jobs/none/repeat", Role.OPERATOR),
    ("POST", "/dlq/providers/none/mended", Role.OPERATOR),
    ("POST", "/dlq/leases", Role.OPERATOR),
    ("POST", "/dlq/leases/none/ack", Role.OPERATOR),
    ("POST", "/dlq/leases/none/fail", Role.OPERATOR),
    ("POST", "/dlq/leases/none/decline", Role.OPERATOR),
    ("POST", "/dlq/leases/none/extend", Role.OPERATOR),
    ("GET", "/dlq/whoami", Role.VIEWER),
    ("POST", "/dlq/leases/none/release", Role.OPERATOR),
    ("DELETE", "/dlq/message/none", Role.ADMIN),
    ("GET", "/dlq/audit", Role.ADMIN),
]


@pytest.mark.parametrize(("method", "path", "needed"), ATTEMPTS)
def test_each_endpoint_needs_its_role(
    api: TestClient, settings: Settings, method: str, path: str, needed: Role
) -> None:
    secrets = {role: create_token(settings.tokens_file, role.value, role) for role in Role}
    assert api.request(method, path).status_code == 401
    assert api.request(method, path, headers=bearer("dlq_wrong")).status_code == 401
    for role, secret in secrets.items():
        status = api.request(method, path, headers=bearer(secret)).status_code
        if role.may_act_as(needed):
            assert status not in (401, 403), role
        else:
            assert status == 403, role


def test_every_route_but_health_and_docs_is_in_the_list_of_roles(api: TestClient) -> None:
    listed = {(m, p.replace("none", "{id}")) for m, p, _ in ATTEMPTS}
    open_to_all = {"/health", "/health/live", "/health/ready"}
    for path, methods in api.get("/openapi.json").json()["paths"].items():
        plain = re.sub(r"\{\w+\}", "{id}", path)
        for method in methods:
            assert (method.upper(), plain) in listed or path in open_to_all, (method, path)


def test_the_audit_names_the_token(api: TestClient, settings: Settings) -> None:
    secret = create_token(settings.tokens_file, "ann", Role.ADMIN)
    api.post("/dlq/messages", json=failure(), headers=bearer(secret))
    (row,) = api.get("/dlq/audit", headers=bearer(secret)).json()
    assert (row["actor"], row["action"]) == ("ann", "publish")


def test_revoking_the_last_token_does_not_open_the_door(
    api: TestClient, settings: Settings
) -> None:
    secret = create_token(settings.tokens_file, "ann", Role.ADMIN)
    assert api.get("/dlq/stats", headers=bearer(secret)).status_code == 200
    assert revoke_token(settings.tokens_file, "ann") is True
    assert api.get("/dlq/stats", headers=bearer(secret)).status_code == 401
    assert api.get("/dlq/stats").status_code == 401
    assert TokenStore(settings.tokens_file).required, "a restart would open it"


def test_without_a_token_only_loopback_is_served(settings: Settings) -> None:
    everywhere = settings.model_copy(update={"host": "0.0.0.0"})
    with pytest.raises(SettingsError, match="dlq token create"):
        Manager(everywhere)
    create_token(settings.tokens_file, "ann", Role.ADMIN)
    Manager(everywhere).ledger.close()


def test_insecure_is_explicit_and_logged(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    insecure = settings.model_copy(update={"host": "0.0.0.0", "insecure": True})
    Manager(insecure).ledger.close()
    assert "WITHOUT any access control" in caplog.text


def test_a_foreign_name_is_not_answered(api: TestClient) -> None:
    """DNS rebinding: the browser believes evil.example is here."""
    answer = api.get("/dlq/messages", headers={"Host": "evil.example:8024"})
    assert (answer.status_code, answer.json()["code"]) == (421, "unknown_host")
    for host in ("localhost:8024", "127.0.0.1", "[::1]:8024"):
        assert api.get("/health/live", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
def test_writes_that_a_browser_marks_cross_site_are_refused(
    api: TestClient, headers: dict[str, str]
) -> None:
    answer = api.post("/dlq/messages", json=failure(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")
    assert api.get("/dlq/messages").json() == []


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": BASE}, {}]
)
def test_own_pages_and_programs_may_write(api: TestClient, headers: dict[str, str]) -> None:
    assert api.post("/dlq/messages", json=failure(), headers=headers).status_code == 201
