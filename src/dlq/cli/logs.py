"""Logging of all commands: one line a record, on stderr, harmless to the terminal.

Short commands say themselves what went wrong and log only errors that they do not see;
those that run on (`dlq serve`, `dlq worker`) log as DLQ_LOG_LEVEL says.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from dlq.cli.text import block, one_line

_TOLD_BY_THE_COMMAND = ("pika", "dlq.transport", "dlq.client.courier")
"""Loggers whose errors come back to the command, as an exception or in a receipt."""


class _OneLine(logging.Formatter):
    """What a failure says must not forge a log line or act on a terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        record.message = one_line(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's name
        return block(super().formatException(ei))  # type: ignore[arg-type]


class _Stderr(logging.StreamHandler[TextIO]):
    """To what stderr is at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def log_errors_only() -> None:
    """For commands that come to an end and tell their own errors."""
    handler = _replace_handler()
    handler.setLevel(logging.ERROR)
    handler.addFilter(lambda record: not record.name.startswith(_TOLD_BY_THE_COMMAND))


def log_to_stderr(level: str) -> None:
    """For commands that run on. `level`: a name, as `info`."""
    _replace_handler()
    logging.getLogger().setLevel(level.upper())
    # Each connection attempt of a library in trouble would be a page of its own words.
    logging.getLogger("pika").setLevel(logging.ERROR)
    for chatty in ("httpx2", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _replace_handler() -> _Stderr:
    """One handler of ours, however often this is called; others are not ours to take away."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, _Stderr):
            root.removeHandler(handler)
    ours = _Stderr()
    ours.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.addHandler(ours)
    return ours
