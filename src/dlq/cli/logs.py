"""Logging of the long-running commands: one line a record, on stderr."""

from __future__ import annotations

import logging

from dlq.cli.text import block, one_line


class _OneLine(logging.Formatter):
    """What a failure says must not forge a log line or act on a terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        record.message = one_line(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's name
        return block(super().formatException(ei))  # type: ignore[arg-type]


def log_to_stderr(level: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    # Each connection attempt of a library in trouble would be a page of its own words.
    logging.getLogger("pika").setLevel(logging.ERROR)
    for chatty in ("httpx2", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
