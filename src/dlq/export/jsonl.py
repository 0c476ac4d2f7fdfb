"""JSON lines: one object a line, UTF-8."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable

from pydantic import BaseModel


def json_lines(rows: Iterable[BaseModel]) -> Generator[bytes]:
    """A piece a row."""
    for row in rows:
        yield json.dumps(row.model_dump(mode="json"), ensure_ascii=False).encode() + b"\n"
