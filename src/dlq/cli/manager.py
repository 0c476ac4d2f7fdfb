"""The manager's API as the commands use it: a method a noun, plain dictionaries back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from dlq.cli.where import Where
from dlq.errors import BrokerUnavailable
from dlq.settings import Settings
from dlq.worker.http import ManagerHttp

if TYPE_CHECKING:
    import httpx2


LONG_S = 180.0
"""For what looks at the whole ledger."""


@dataclass(frozen=True, slots=True)
class Page:
    messages: list[dict[str, Any]]
    total: int


@dataclass(frozen=True, slots=True)
class Export:
    lines: Iterator[str]
    total: int


class Manager:
    """A context manager. Raises, in each method, what `ManagerHttp` raises."""

    def __init__(self, settings: Settings) -> None:
        self._http = ManagerHttp(settings)
        self.url = self._http.url

    @classmethod
    def from_environment(cls) -> Manager:
        """Raises: SettingsError."""
        return cls(Settings.load())

    def health(self) -> dict[str, Any]:
        """Also of a manager without its ledger, which answers 503."""
        return self._document(self._http.request("GET", "/health", also_fine=503))

    def messages(
        self, where: Where, *, limit: int, offset: int = 0, newest_first: bool = False
    ) -> Page:
        params = [
            *where.params(),
            ("limit", str(limit)),
            ("offset", str(offset)),
            ("order", "newest" if newest_first else "oldest"),
        ]
        response = self._http.request("GET", "/dlq/messages", params=params)
        found = response.json()
        return Page(found, int(response.headers.get("X-Total-Count", offset + len(found))))

    def message_ids(self, where: Where) -> list[str]:
        """All ids, in order of arrival, as they are now: one stream, since pages would shift
        under what arrives and leaves meanwhile."""
        with self.export(where) as found:
            return list(dict.fromkeys(self._id_in(line) for line in found.lines))

    def message(self, message_id: str) -> dict[str, Any]:
        return self._object("GET", f"/dlq/messages/{_part(message_id)}")

    def whoami(self) -> dict[str, Any] | None:
        """`{name, role}` of who asks; None from a manager that does not tell."""
        response = self._http.request("GET", "/dlq/whoami", also_fine=404)
        return None if response.status_code == 404 else self._document(response)

    def stats(self) -> dict[str, Any]:
        return self._object("GET", "/dlq/stats")

    def groups(self, by: str) -> list[dict[str, Any]]:
        response = self._http.request("GET", "/dlq/errors/grouped", params={"by": by})
        groups: list[dict[str, Any]] = response.json()
        return groups

    def replay(self, message_ids: Sequence[str], max_retries: int) -> dict[str, Any]:
        """One batch: `{success, replayed_count, failed_count, errors}`."""
        body = {"message_ids": list(message_ids), "max_retries": max_retries}
        return self._object("POST", "/dlq/replay/batch", json=body)

    # --- jobs ---

    def preview_job(self, job: dict[str, Any]) -> dict[str, Any]:
        """What it would replay; nothing is made."""
        return self._object("POST", "/dlq/jobs", json={**job, "dry_run": True}, timeout_s=LONG_S)

    def create_job(self, job: dict[str, Any]) -> dict[str, Any]:
        """The same document, for good."""
        return self._object("POST", "/dlq/jobs", json=job, timeout_s=LONG_S)

    def jobs(self, states: Sequence[str], *, limit: int, offset: int = 0) -> list[dict[str, Any]]:
        params = [("state", state) for state in states]
        return self._list("/dlq/jobs", [*params, *_page(limit, offset)])

    def job(self, job_id: str) -> dict[str, Any]:
        return self._object("GET", f"/dlq/jobs/{_part(job_id)}")

    def job_items(
        self, job_id: str, status: str | None, *, limit: int, offset: int
    ) -> list[dict[str, Any]]:
        params = [] if status is None else [("status", status)]
        return self._list(f"/dlq/jobs/{_part(job_id)}/items", [*params, *_page(limit, offset)])

    def change_job(self, job_id: str, verb: str) -> dict[str, Any]:
        """verb: pause, resume or cancel."""
        return self._object("POST", f"/dlq/jobs/{_part(job_id)}/{verb}")

    def repeat_job(self, job_id: str, start_at: str | None) -> dict[str, Any]:
        path = f"/dlq/jobs/{_part(job_id)}/repeat"
        return self._object("POST", path, json={"start_at": start_at}, timeout_s=LONG_S)

    # --- providers and policies ---

    def providers(self) -> list[dict[str, Any]]:
        return self._list("/dlq/providers", [])

    def mended(self, provider: str) -> dict[str, Any]:
        return self._object("POST", f"/dlq/providers/{_part(provider)}/mended")

    def policies(self) -> dict[str, Any]:
        return self._object("GET", "/dlq/policies")

    def rehearse(self, policies: str | None, since_s: int) -> dict[str, Any]:
        """policies: the text of a file; None: those in force."""
        body = {"policies": policies, "since_s": since_s}
        return self._object("POST", "/dlq/policies/rehearse", json=body, timeout_s=LONG_S)

    # --- edits ---

    def edit_payload(
        self, message_id: str, patch: list[Any], *, reason: str, edit_count: int | None
    ) -> dict[str, Any]:
        """By JSON Patch. `edit_count`: how many edits were seen; more are refused."""
        return self._edit("PATCH", message_id, patch, reason, edit_count)

    def replace_payload(
        self, message_id: str, payload: dict[str, Any], *, reason: str, edit_count: int | None
    ) -> dict[str, Any]:
        return self._edit("PUT", message_id, payload, reason, edit_count)

    def revert_payload(
        self, message_id: str, *, reason: str, edit_count: int | None
    ) -> dict[str, Any]:
        return self._edit("DELETE", message_id, None, reason, edit_count)

    def _edit(
        self, method: str, message_id: str, body: Any, reason: str, edit_count: int | None
    ) -> dict[str, Any]:
        params = {"reason": reason} | ({} if edit_count is None else {"edit_count": edit_count})
        path = f"/dlq/messages/{_part(message_id)}/payload"
        return self._document(self._http.request(method, path, params=params, json=body))

    def delete(self, message_id: str) -> None:
        self._http.request("DELETE", f"/dlq/message/{_part(message_id)}")

    @contextmanager
    def export(self, where: Where) -> Iterator[Export]:
        with self._http.stream("/dlq/export", params=where.params()) as response:
            total = int(response.headers.get("X-Total-Count", 0))
            yield Export((line for line in response.iter_lines() if line), total)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def _object(
        self, method: str, path: str, *, json: Any = None, timeout_s: float | None = None
    ) -> dict[str, Any]:
        return self._document(self._http.request(method, path, json=json, timeout_s=timeout_s))

    def _list(self, path: str, params: list[tuple[str, str]]) -> list[dict[str, Any]]:
        try:
            found = self._http.request("GET", path, params=params).json()
        except ValueError:
            found = None
        if not isinstance(found, list):
            raise self._no_manager()
        return found

    def _document(self, response: httpx2.Response) -> dict[str, Any]:
        try:
            document = response.json()
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise self._no_manager()
        return document

    def _id_in(self, line: str) -> str:
        try:
            return str(json.loads(line)["message_id"])
        except (ValueError, TypeError, KeyError) as error:
            raise self._no_manager() from error

    def _no_manager(self) -> BrokerUnavailable:
        return BrokerUnavailable(f"What answers at {self.url} is not a DLQ manager. Check DLQ_URL.")


def _page(limit: int, offset: int) -> list[tuple[str, str]]:
    return [("limit", str(limit)), ("offset", str(offset))]


def _part(message_id: str) -> str:
    if message_id in {".", ".."}:  # as they are, they would be steps of the path
        return message_id.replace(".", "%2E")
    return quote(message_id, safe="")
