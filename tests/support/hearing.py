"""Commands that hear Ctrl-C: whoever runs the tests in the background has them, and all that they
start, begin with SIGINT ignored."""

from __future__ import annotations

import sys
from pathlib import Path

_HEARING = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)


def hearing(program: str | Path, *arguments: str) -> list[str]:
    """The command line that starts it so; the process is the program's own."""
    return [sys.executable, "-c", _HEARING, str(program), *arguments]
