"""What the demo asks of the manager, over the public HTTP API only."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import httpx2

from dlq.demo.processes import DemoFailed

PAGE = 1000


class ManagerAPI:
    def __init__(self, url: str) -> None:
        self._http = httpx2.Client(base_url=url, timeout=30.0, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.close()

    def is_ready(self) -> bool:
        try:
            return self._http.get("/health/ready").is_success
        except httpx2.TransportError:
            return False

    def count(self, *states: str) -> int:
        """How many dead letters are in these states; without any, how many are in the DLQ."""
        response = self._get("/dlq/messages", limit=1, state=states)
        return int(response.headers["X-Total-Count"])

    def messages(self, *states: str) -> list[dict[str, Any]]:
        """All dead letters in these states; without any, those in the DLQ."""
        found: list[dict[str, Any]] = []
        while True:
            page = self._get("/dlq/messages", limit=PAGE, offset=len(found), state=states).json()
            found += page
            if len(page) < PAGE:
                return found

    def causes(self) -> list[dict[str, Any]]:
        causes: list[dict[str, Any]] = self._get("/dlq/errors/grouped", by="cause").json()
        return causes

    def mend(self, provider: str) -> None:
        """Say that it is well again."""
        self._post(f"/dlq/providers/{provider}/mended")

    def preview_job(self, job: dict[str, Any]) -> dict[str, Any]:
        """What a job would replay, and at what pace; nothing is changed."""
        return self._post("/dlq/jobs", {**job, "dry_run": True})

    def create_job(self, job: dict[str, Any]) -> dict[str, Any]:
        return self._post("/dlq/jobs", job)

    def job(self, job_id: str) -> dict[str, Any]:
        job: dict[str, Any] = self._get(f"/dlq/jobs/{job_id}").json()
        return job

    def _post(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer: dict[str, Any] = self._checked(self._http.post(path, json=body)).json()
        return answer

    def _get(self, path: str, **params: Any) -> httpx2.Response:
        return self._checked(self._http.get(path, params=params))

    @staticmethod
    def _checked(response: httpx2.Response) -> httpx2.Response:
        if not response.is_success:
            raise DemoFailed(
                f"The manager answered {response.status_code} to {response.request.url.path}: "
                f"{response.text[:500]}"
            )
        return response
