"""Child processes of the demo: started with a log of their own, always stopped again."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from dlq.errors import DLQError

STOP_TIMEOUT_S = 12.0
TAIL_CHARS = 2000


class DemoFailed(DLQError):
    """The demo could not be told to its end; the text says where it stopped."""

    code = "demo_failed"


class Child:
    """One process. In a session of its own, so that Ctrl-C reaches only the demo, which
    then stops its children in order.

    Raises: DemoFailed: it could not be started.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, environment: Mapping[str, str], log: Path
    ) -> None:
        self.name = name
        self.log = log
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(  # noqa: S603 - our own programs
                    list(command),
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
        except OSError as error:
            raise DemoFailed(f"The {name} could not be started ({command[0]}): {error}") from error

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def must_run(self) -> None:
        """Raises: DemoFailed: it has ended, with the last lines of its log."""
        if not self.is_running:
            raise self.failure(f"ended with exit code {self.exit_code}")

    def failure(self, what: str) -> DemoFailed:
        tail = self.log.read_text(encoding="utf-8", errors="replace")[-TAIL_CHARS:].strip()
        return DemoFailed(f"The {self.name} {what}. Its log ends with:\n{tail}")

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if it has not ended in time; a second time does nothing."""
        if not self.is_running:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
