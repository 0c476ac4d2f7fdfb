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

    def _object(self, method: str, path: str, *, json: Any = None) -> dict[str, Any]:
        return self._document(self._http.request(method, path, json=json))

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


def _part(message_id: str) -> str:
    if message_id in {".", ".."}:  # as they are, they would be steps of the path
        return message_id.replace(".", "%2E")
    return quote(message_id, safe="")
