"""The manager's API as the commands use it: a method a noun, plain dictionaries back."""

from __future__ import annotations

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

MAX_PAGE = 1000


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
        """All ids, in order of arrival, read page by page."""
        ids: dict[str, None] = {}
        offset = 0
        while True:
            page = self.messages(where, limit=MAX_PAGE, offset=offset)
            ids.update(dict.fromkeys(message["message_id"] for message in page.messages))
            offset += len(page.messages)
            if len(page.messages) < MAX_PAGE:
                return list(ids)

    def message(self, message_id: str) -> dict[str, Any]:
        return self._object("GET", f"/dlq/messages/{_part(message_id)}")

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
            raise BrokerUnavailable(
                f"What answers at {self.url} is not a DLQ manager. Check DLQ_URL."
            )
        return document


def _part(message_id: str) -> str:
    return quote(message_id, safe="")
