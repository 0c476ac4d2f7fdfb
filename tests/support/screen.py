"""A command on a terminal of its own, of a given width, and what it writes there."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.hearing import hearing
from tests.support.waiting import until

DLQ = Path(sys.executable).parent / "dlq"
END_TIMEOUT_S = 30.0


class Screen:
    """`dlq …` on a pseudo-terminal; a context manager that leaves nothing running."""

    def __init__(self, *arguments: str, width: int, environment: Mapping[str, str]) -> None:
        self._keyboard, screen = pty.openpty()
        fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
        inherited = {k: v for k, v in os.environ.items() if k not in {"COLUMNS", "LINES"}}
        self._process = subprocess.Popen(
            hearing(DLQ, *arguments),
            env={**inherited, "TERM": "xterm", "NO_COLOR": "1", **environment},
            stdin=screen,
            stdout=screen,
            stderr=screen,
            start_new_session=True,
        )
        os.close(screen)
        self._written = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def raw(self) -> str:
        """All that was written so far, with what moves the cursor."""
        return self._written.decode(errors="replace")

    @property
    def text(self) -> str:
        """The same without it: what was drawn over is there too."""
        return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", self.raw).replace("\r", "")

    def enter(self, text: str) -> None:
        os.write(self._keyboard, text.encode())

    def press_ctrl_c(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def wait_for(self, wanted: str) -> None:
        """Until it is drawn, wherever a narrow screen broke the line."""
        until(
            lambda: wanted in " ".join(self.text.split()),
            END_TIMEOUT_S,
            lambda: f"{wanted!r} is not on the screen:\n{self.text}",
        )

    def end(self) -> int:
        """Wait for its end. Returns: the exit code."""
        code = self._process.wait(END_TIMEOUT_S)
        self._reader.join(END_TIMEOUT_S)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(END_TIMEOUT_S)
        self._reader.join(END_TIMEOUT_S)
        os.close(self._keyboard)

    def _read(self) -> None:
        while True:
            try:
                read = os.read(self._keyboard, 65_536)
            except OSError:  # the other side is closed
                return
            if not read:
                return
            self._written += read
