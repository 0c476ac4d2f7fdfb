"""The manager's API of groups and of regrouping, as the commands use it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from dlq.cli.manager import LONG_S, Manager
from dlq.settings import Settings

REGROUP = "/dlq/regroup"


class GroupManager(Manager):
    """A context manager. `group_id` is a group's id or its unique start: the manager finds it.

    Raises, in each method, what `ManagerHttp` raises.
    """

    def __init__(self) -> None:
        """Raises: SettingsError."""
        super().__init__(Settings.load())

    def cause_groups(
        self, *, status: str | None, sort: str, limit: int, offset: int
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of groups, and how many there are on all pages."""
        params = {"sort": sort, "limit": str(limit), "offset": str(offset)}
        if status is not None:
            params["status"] = status
        response = self._http.request("GET", "/dlq/groups", params=params)
        try:
            found = response.json()
        except ValueError:
            found = None
        if not isinstance(found, list):
            raise self._no_manager()
        return found, int(response.headers.get("X-Total-Count", offset + len(found)))

    def group(self, group_id: str) -> dict[str, Any]:
        return self._object("GET", _path(group_id))

    def change_group(
        self, group_id: str, verb: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """verb: merge, mute, unmute, acknowledge, archive, restore, fixed or reopen."""
        return self._object("POST", f"{_path(group_id)}/{verb}", json=body)

    def set_of_group(self, group_id: str, name: str, value: Any) -> dict[str, Any]:
        """name: note or category."""
        return self._object("PUT", f"{_path(group_id)}/{name}", json={name: value})

    def split_group(self, group_id: str, fingerprint: str | None) -> list[dict[str, Any]]:
        """The group, then those that were split off."""
        body = {"fingerprint": fingerprint}
        found = self._http.request("POST", f"{_path(group_id)}/split", json=body).json()
        if not isinstance(found, list):
            raise self._no_manager()
        return found

    @contextmanager
    def regroup(self, *, dry_run: bool) -> Iterator[Iterator[dict[str, Any]]]:
        """Its lines as they come."""
        with self._http.stream(
            REGROUP, method="POST", json={"dry_run": dry_run}, timeout_s=LONG_S
        ) as response:
            yield (self._event(line) for line in response.iter_lines() if line)

    def _event(self, line: str) -> dict[str, Any]:
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            raise self._no_manager()
        return event


def _path(group_id: str) -> str:
    part = quote(group_id, safe="")
    # As they are, they would be steps of the path.
    return f"/dlq/groups/{part.replace('.', '%2E') if part in {'.', '..'} else part}"
