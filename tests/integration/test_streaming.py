"""Answers made piece by piece: what they hold is let go when the caller goes away."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Generator
from typing import Any

import anyio
import pytest
from anyio import to_thread

from dlq.errors import NotFound
from dlq.manager.api.streaming import JSON_LINES, Streamed, lines_of

LINES = 1000


class Held:
    """Something that a stream holds until it ends."""

    def __init__(self) -> None:
        self.made = 0
        self.released = threading.Event()

    def events(self) -> Generator[dict[str, Any]]:
        try:
            for self.made in range(1, LINES + 1):
                yield {"done": self.made}
        finally:
            self.released.set()


async def nothing_said() -> Any:
    await anyio.sleep_forever()


async def answered(held: Held, *, leaves_after: int | None = None) -> list[dict[str, Any]]:
    """Over ASGI, as a server calls it; the caller leaves after some lines."""
    received: list[bytes] = []
    is_gone = anyio.Event()

    async def receive() -> dict[str, Any]:
        await is_gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        received.append(message.get("body", b""))
        if leaves_after is not None and len(received) > leaves_after:
            is_gone.set()
            await anyio.sleep_forever()  # a server's send to nobody; it is cancelled

    scope = {"type": "http", "asgi": {"spec_version": "2.3"}}
    with anyio.fail_after(10):
        await Streamed(lines_of(held.events()), media_type=JSON_LINES)(scope, receive, send)
    return [json.loads(line) for line in b"".join(received).splitlines()]


async def test_all_of_it_is_sent_in_order() -> None:
    held = Held()
    assert await answered(held) == [{"done": n} for n in range(1, LINES + 1)]
    assert held.released.is_set()


async def test_a_caller_that_leaves_ends_it_at_once() -> None:
    held = Held()
    lines = await answered(held, leaves_after=5)
    assert held.released.is_set()
    assert len(lines) <= held.made < LINES


async def test_a_piece_in_hand_is_made_before_a_cancelled_request_is_over() -> None:
    """A server that stops cancels the task itself: nothing waits for the thread, but the close."""
    started, closing, ended = threading.Event(), threading.Event(), threading.Event()

    def events() -> Generator[dict[str, Any]]:
        try:
            yield {"done": 0}
            started.set()
            assert closing.wait(10)
            time.sleep(0.05)  # for a close that would not wait to come meanwhile
            yield {"done": 1}
        finally:
            ended.set()

    stream = Streamed(lines_of(events()), media_type=JSON_LINES)
    close = stream._pieces.close

    def told_close() -> None:
        closing.set()
        close()

    stream._pieces.close = told_close  # type: ignore[method-assign]

    async def send(_: Any) -> None:
        """Takes everything."""

    # From this version on the answer is no task of its own, which would wait.
    scope = {"type": "http", "asgi": {"spec_version": "2.4"}}
    task = asyncio.create_task(stream(scope, nothing_said, send))
    assert await to_thread.run_sync(started.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


def test_what_refuses_the_first_piece_is_raised_before_the_answer_begins() -> None:
    held = Held()

    def refusing() -> Generator[dict[str, Any]]:
        if not held.made:
            raise NotFound("There is no such thing.")
        yield {}

    with pytest.raises(NotFound, match="no such thing"):
        Streamed(lines_of(refusing()), media_type=JSON_LINES)


async def test_nothing_to_send_is_an_empty_answer() -> None:
    held = Held()

    def nothing() -> Generator[dict[str, Any]]:
        if held.made:
            yield {}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await Streamed(lines_of(nothing()), media_type=JSON_LINES)({"type": "http"}, nothing_said, send)
    assert sent[0]["status"] == 200
    assert b"".join(message.get("body", b"") for message in sent) == b""
