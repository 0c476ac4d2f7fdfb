"""`capture` tries again what may pass, publishes what does not, and never hides an error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from dlq.client import AsyncDLQClient, DLQClient
from dlq.decode import decode
from dlq.message import DLQMessage
from dlq.settings import Settings
from tests.support.publishers import MemoryPublisher


class TooFast(Exception):
    """As a provider's library raises it."""

    def __init__(self, retry_after: float | None = None) -> None:
        super().__init__("429 Too Many Requests")
        self.status_code = 429
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}


@pytest.fixture
def publisher() -> MemoryPublisher:
    return MemoryPublisher()


@pytest.fixture
def dlq(publisher: MemoryPublisher) -> Iterator[DLQClient]:
    with DLQClient(Settings(), source_service="pipeline", open_publisher=publisher) as client:
        yield client


def published(publisher: MemoryPublisher) -> list[DLQMessage]:
    return [decode(wire).message for wire in publisher.confirmed]


def test_what_may_pass_is_tried_again_and_then_published(
    dlq: DLQClient, publisher: MemoryPublisher
) -> None:
    calls: list[str] = []

    @dlq.capture(source_service="enricher", max_attempts=3, pause_base_s=0.001)
    def enrich(track: str, *, limit: int = 5) -> None:
        calls.append(track)
        raise TooFast

    with pytest.raises(TooFast):
        enrich("Strobe", limit=2)
    assert calls == ["Strobe"] * 3
    (message,) = published(publisher)
    assert message.payload == {"track": "Strobe", "limit": 2}
    assert (message.retry_count, message.source_service) == (3, "enricher")
    assert message.category == "rate_limit"


def test_what_passes_at_the_second_try_is_not_published(
    dlq: DLQClient, publisher: MemoryPublisher
) -> None:
    answers: list[Any] = [TooFast(), "tempo 128"]

    @dlq.capture(pause_base_s=0.001)
    def enrich() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert enrich() == "tempo 128"
    assert publisher.calls == 0


def test_what_cannot_pass_is_published_at_once(dlq: DLQClient, publisher: MemoryPublisher) -> None:
    @dlq.capture(max_attempts=3)
    def enrich() -> None:
        raise KeyError("artist")

    with pytest.raises(KeyError):
        enrich()
    assert [m.retry_count for m in published(publisher)] == [1]


def test_retry_after_is_waited_for(dlq: DLQClient) -> None:
    @dlq.capture(max_attempts=2, pause_base_s=0.0001)
    def enrich() -> None:
        raise TooFast(retry_after=1)

    started = time.monotonic()
    with pytest.raises(TooFast):
        enrich()
    assert time.monotonic() - started >= 1


def test_a_retry_after_beyond_the_bound_is_not_waited_for(
    dlq: DLQClient, publisher: MemoryPublisher
) -> None:
    @dlq.capture(max_attempts=5, pause_max_s=2)
    def enrich() -> None:
        raise TooFast(retry_after=3600)

    with pytest.raises(TooFast):
        enrich()
    (message,) = published(publisher)
    assert (message.retry_count, message.retry_after_s) == (1, 3600)


def test_reraise_false_gives_none(dlq: DLQClient, publisher: MemoryPublisher) -> None:
    @dlq.capture(reraise=False)
    def enrich() -> int:
        raise KeyError("x")

    assert enrich() is None
    with dlq.capture(reraise=False, item={"a": 1}):
        raise KeyError("y")
    assert [m.payload for m in published(publisher)] == [{}, {"a": 1}]


def test_a_with_block_publishes_and_raises_on(dlq: DLQClient, publisher: MemoryPublisher) -> None:
    with pytest.raises(ZeroDivisionError), dlq.capture(item={"track": 7}, correlation_id="c"):
        raise ZeroDivisionError
    (message,) = published(publisher)
    assert (message.payload, message.correlation_id) == ({"track": 7}, "c")


def test_of_nested_captures_the_inner_one_publishes(
    dlq: DLQClient, publisher: MemoryPublisher
) -> None:
    @dlq.capture()
    def outer() -> None:
        with dlq.capture(item={"inner": True}):
            raise KeyError("x")

    with pytest.raises(KeyError):
        outer()
    assert [m.payload for m in published(publisher)] == [{"inner": True}]


def test_a_hostile_exception_is_published_and_raised_as_it_is(
    dlq: DLQClient, publisher: MemoryPublisher
) -> None:
    class Hostile(Exception):
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError("hands off")

        def __setattr__(self, name: str, value: Any) -> None:
            raise RuntimeError("hands off")

    @dlq.capture()
    def enrich() -> None:
        raise Hostile

    raised: list[type] = []
    try:  # pytest.raises would look into it
        enrich()
    except Exception as error:
        raised.append(type(error))
    assert raised == [Hostile]
    assert len(publisher.confirmed) == 1


def test_self_is_not_part_of_the_item(dlq: DLQClient, publisher: MemoryPublisher) -> None:
    class Pipeline:
        @dlq.capture(reraise=False)
        def process(self, track: str) -> None:
            raise KeyError(track)

    Pipeline().process("Strobe")
    assert [m.payload for m in published(publisher)] == [{"track": "Strobe"}]


def test_the_item_may_be_found_by_a_function_of_the_arguments(
    dlq: DLQClient, publisher: MemoryPublisher
) -> None:
    @dlq.capture(reraise=False, item=lambda track, **_: {"id": track["id"]})
    def good(track: dict[str, Any], *, again: bool) -> None:
        raise KeyError

    @dlq.capture(reraise=False, item=lambda: [][7])
    def broken() -> None:
        raise KeyError

    good({"id": 5, "noise": 1}, again=True)
    broken()
    assert [m.payload for m in published(publisher)] == [{"id": 5}, {"args": [], "kwargs": {}}]


def test_ignored_exceptions_and_ctrl_c_just_pass(
    dlq: DLQClient, publisher: MemoryPublisher
) -> None:
    for error in (LookupError, KeyboardInterrupt, SystemExit):
        with pytest.raises(error), dlq.capture(ignore=(LookupError,)):
            raise error
    assert publisher.calls == 0


async def test_coroutines_are_captured_without_blocking_the_loop(
    dlq: DLQClient, publisher: MemoryPublisher
) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    @dlq.capture(max_attempts=2, pause_base_s=0.0001)
    async def enrich(track: str) -> None:
        raise TooFast(retry_after=0.3)

    ticking = asyncio.create_task(tick())
    with pytest.raises(TooFast):
        await enrich("Strobe")
    ticking.cancel()
    assert ticks > 5
    assert [m.payload for m in published(publisher)] == [{"track": "Strobe"}]


async def test_the_async_client_captures_blocks(publisher: MemoryPublisher) -> None:
    async with AsyncDLQClient(Settings(), open_publisher=publisher) as dlq:
        with pytest.raises(KeyError):
            async with dlq.capture(item=[1, 2]):
                raise KeyError("x")
    assert [m.payload for m in published(publisher)] == [{"value": [1, 2]}]


def test_a_generator_function_is_refused_when_it_is_decorated(dlq: DLQClient) -> None:
    with pytest.raises(TypeError, match="generator"):

        @dlq.capture()
        def parse() -> Iterator[int]:
            yield 1


def test_successes_feed_the_flood_limit(publisher: MemoryPublisher) -> None:
    reports: list[Any] = []
    settings = Settings(flood_count=2, flood_ratio=0.5)
    with DLQClient(settings, on_flood=reports.append, open_publisher=publisher) as dlq:

        @dlq.capture(reraise=False)
        def enrich(fails: bool) -> None:
            if fails:
                raise KeyError

        for fails in (False, False, True, True):
            enrich(fails)
    assert [(r.failures, r.successes, r.ratio) for r in reports] == [(2, 2, 0.5)]


def test_the_same_exception_object_raised_again_is_another_failure() -> None:
    publisher = MemoryPublisher()
    shared = TimeoutError("a cached error")
    with DLQClient(open_publisher=publisher) as dlq:
        for n in range(3):
            with pytest.raises(TimeoutError), dlq.capture(item={"n": n}):
                raise shared
        with (
            pytest.raises(TimeoutError),
            dlq.capture(item={"outer": True}),
            dlq.capture(item={"inner": True}),
        ):
            raise shared
    payloads = [decode(wire).message.payload for wire in publisher.confirmed]
    assert payloads == [{"n": 0}, {"n": 1}, {"n": 2}, {"inner": True}]
