"""A terminal in a clone, where a test types what the documentation says.

What is typed is what is written, but for what differs on purpose: the port, the folder for
temporary files, curl's progress meter, and `make venv`, since an environment is there.
"""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx2

from tests.support.pages import ROOT
from tests.support.ports import free_port
from tests.support.waiting import until

RUN_TIMEOUT_S = 60.0
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0


class Terminal:
    """`environment` is what the reader has exported."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        *,
        port: int | None = None,
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        self.clone = folder / "clone"
        self.clone.mkdir()
        (self.clone / ".venv").symlink_to(sys.prefix)
        (self.clone / "scrapers").symlink_to(ROOT / "scrapers")
        ours = {"DLQ_PORT": str(self.port), "DLQ_URL": self.url}
        self._environment = {**os.environ, **ours, **(environment or {})}

    def run(self, text: str) -> str:
        """Type `text`, and answer what it printed; each of its commands must succeed."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self._as_typed(text)],
            env=self._environment,
            cwd=self.clone,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def answering(self, text: str, answer: str) -> str:
        """`run` for what asks: `answer` is what is typed then."""
        with self._typed(text, answer) as (process, output):
            code = process.wait(RUN_TIMEOUT_S)
            assert code == 0, f"{text} ended with {code}:\n{output.read_text()}"
        return output.read_text()

    @contextmanager
    def running(self, text: str, *, answer: str = "") -> Iterator[Path]:
        """Type `text`, give `answer` to what it asks, and press Ctrl-C at the end of the block.

        Yields: the file with what it prints. It must then end by itself, and with success.
        """
        with self._typed(text, answer) as (process, output):
            yield output
            os.killpg(process.pid, signal.SIGINT)
            code = process.wait(STOP_TIMEOUT_S)
            assert code == 0, f"{text} ended with {code}:\n{output.read_text()}"

    @contextmanager
    def _typed(self, text: str, answer: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
        """The process and the file with what it prints; it is over at the end of the block."""
        output = self.folder / f"output-{len(list(self.folder.glob('output-*')))}.txt"
        keyboard, screen = pty.openpty()
        try:
            os.write(keyboard, answer.encode())
            with output.open("wb") as file:
                process = subprocess.Popen(
                    ["bash", "-euo", "pipefail", "-c", self._as_typed(text)],
                    env=self._environment,
                    cwd=self.clone,
                    stdin=screen,
                    stdout=file,
                    stderr=file,
                    start_new_session=True,
                )
            try:
                yield process, output
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait(STOP_TIMEOUT_S)
        finally:
            os.close(keyboard)
            os.close(screen)

    @contextmanager
    def serving(self, text: str) -> Iterator[Path]:
        """`running` for a manager; entered once it answers."""
        with self.running(text) as output:
            until(self._answers, START_TIMEOUT_S, lambda: f"no manager:\n{output.read_text()}")
            yield output

    def _answers(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/health/live", timeout=2).status_code == 200
        except httpx2.TransportError:
            return False

    def _as_typed(self, text: str) -> str:
        for written, typed in (
            ("make venv\n", ""),
            ("/tmp", str(self.folder)),
            ("localhost:8024", f"localhost:{self.port}"),
            ("curl ", "curl --silent --show-error --fail "),
        ):
            text = text.replace(written, typed)
        return text
