"""A real manager in a process of its own, as an operator starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2

from dlq.settings import Settings
from tests.support.ports import free_port
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Mapping

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0  # what is promised to orchestrators


class ManagerProcess:
    """`dlq serve` on a free port. Settings go in as environment variables."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"manager-{self.port}.log"
        self.environment = {
            "DLQ_PORT": str(self.port),
            "DLQ_URL": self.url,
            "DLQ_LEDGER_URL": f"sqlite:///{folder / 'ledger.sqlite'}",
            "DLQ_TOKENS_FILE": str(folder / "tokens.json"),
            "DLQ_SPOOL_DIR": str(folder / "spool"),
            "DLQ_SWEEP_INTERVAL_S": "0.2",
            "DLQ_AUTO_RETRY": "false",  # nothing is replayed but what a test asks for
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> ManagerProcess:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [Path(sys.executable).parent / "dlq", "serve"],
                env=_without_settings(os.environ) | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until(self._answers, START_TIMEOUT_S, f"the manager did not start: {self.log}")
        return self

    @property
    def settings(self) -> Settings:
        """For a client, worker or test beside it."""
        fields = {n.removeprefix("DLQ_").lower(): v for n, v in self.environment.items()}
        return Settings.model_validate(fields)

    def stop(self) -> None:
        """SIGTERM; a manager that does not end cleanly and in time fails the test."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the manager did not stop in time: {self._tail()}") from None
        self._process = None
        assert code == 0, f"the manager ended with {code}: {self._tail()}"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)
            self._process = None

    def get(self, path: str, **params: Any) -> Any:
        response = httpx2.get(self.url + path, params=params or None, timeout=20)
        response.raise_for_status()
        return response.json()

    def post(self, path: str, body: Any = None) -> httpx2.Response:
        return httpx2.post(self.url + path, json=body, timeout=60)

    def wait_connected(self) -> ManagerProcess:
        until(
            lambda: bool(self.get("/health")["rabbitmq_connected"]),
            START_TIMEOUT_S,
            f"the manager did not connect: {self.log}",
        )
        return self

    def stored_count(self) -> int:
        """Rows in the ledger that are in the DLQ, whatever still waits in the broker."""
        counts: dict[str, int] = self.get("/dlq/stats")["by_error_type"]
        return sum(counts.values())

    def wait_in_dlq(self, count: int, timeout_s: float = 30.0) -> None:
        """Until exactly that many rows are in the ledger."""
        until(
            lambda: self.stored_count() == count,
            timeout_s,
            lambda: f"expected {count} rows, got {self.get('/dlq/stats')}",
        )

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the manager ended at once: {self._tail()}"
        try:
            return bool(httpx2.get(self.url + "/health/live", timeout=2).status_code == 200)
        except httpx2.TransportError:
            return False

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]


def _without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(("DLQ_", "RABBITMQ_"))
    }
