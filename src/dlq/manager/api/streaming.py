"""An answer that is made piece by piece, and is over when the caller goes away."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from typing import Any

import anyio
from anyio import to_thread
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

JSON_LINES = "application/x-ndjson"


class Streamed(StreamingResponse):
    """Sends what a generator makes, and closes it in any case: what it holds and records at its
    end must not wait until Python collects it.

    What refuses the first piece is raised here, before the answer has begun.
    """

    def __init__(
        self, pieces: Generator[bytes], *, media_type: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self._pieces = _Pieces(pieces)
        super().__init__(self._pieces, media_type=media_type, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(self._pieces.close)


def lines_of(events: Generator[dict[str, Any]]) -> Generator[bytes]:
    """A line of JSON for each; closing it closes them."""
    with closing(events):
        for event in events:
            yield json.dumps(event).encode() + b"\n"


class _Pieces(Iterator[bytes]):
    """A generator that one thread may close while another has it make a piece: a request that
    is cancelled does not wait for its thread."""

    def __init__(self, pieces: Generator[bytes]) -> None:
        self._generator = pieces
        self._alone = threading.Lock()
        self._waiting = [first for first in [next(pieces, None)] if first is not None]

    def __next__(self) -> bytes:
        with self._alone:
            return self._waiting.pop() if self._waiting else next(self._generator)

    def close(self) -> None:
        with self._alone:
            self._generator.close()
