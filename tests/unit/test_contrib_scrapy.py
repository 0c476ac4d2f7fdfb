"""The pipeline base: a client for the life of a crawl, counted, bounded, able to stop it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
import scrapy
from scrapy.crawler import Crawler
from scrapy.utils.test import get_crawler

from dlq.client import AsyncDLQClient, Custody, FloodReport, Receipt
from dlq.contrib.scrapy import FLOOD_REASON, DeadLetterPipeline, settings_of
from dlq.errors import SettingsError

FLOOD = FloodReport(failures=10, successes=0, window_s=60.0, ratio=None)


class StubClient:
    """Keeps what it is given; answers with `state`."""

    def __init__(self, state: Custody = Custody.CONFIRMED, *, flushes: bool = True) -> None:
        self.state = state
        self.flushes = flushes
        self.published: list[dict[str, Any]] = []
        self.successes = 0
        self.flushed_within_s: float | None = None
        self.is_closed = False

    async def publish_to_dlq(self, **failure: Any) -> Receipt:
        self.published.append(failure)
        return Receipt(f"id-{len(self.published)}", self.state)

    def record_success(self, count: int = 1) -> None:
        self.successes += count

    async def flush(self, timeout_s: float) -> bool:
        self.flushed_within_s = timeout_s
        return self.flushes

    async def close(self) -> None:
        self.is_closed = True


class ShopSpider(scrapy.Spider):
    name = "shop"


class Pipeline(DeadLetterPipeline):
    source_service = "shop-pipeline"
    stub: StubClient

    def make_client(self) -> AsyncDLQClient:
        return cast("AsyncDLQClient", self.stub)


def crawler_with(**settings: Any) -> Crawler:
    crawler = get_crawler(ShopSpider, settings)
    crawler.spider = ShopSpider()
    return crawler


async def opened(stub: StubClient, **settings: Any) -> Pipeline:
    pipeline = Pipeline.from_crawler(crawler_with(**settings))
    pipeline.stub = stub
    await pipeline.open_spider()
    return pipeline


def stats_of(pipeline: Pipeline) -> dict[str, Any]:
    assert pipeline.crawler.stats is not None
    return {k: v for k, v in pipeline.crawler.stats.get_stats().items() if k.startswith("dlq/")}


async def test_a_failure_is_published_with_spider_and_service_and_counted() -> None:
    stub = StubClient()
    pipeline = await opened(stub)
    error = RuntimeError("broken")
    receipt = await pipeline.dead_letter(
        {"sku": 1}, error, retry_count=3, error_type="shop", metadata={"page": 2}
    )
    assert receipt
    assert stub.published == [
        {
            "item": {"sku": 1},
            "error": error,
            "retry_count": 3,
            "source_service": "shop-pipeline",
            "metadata": {"spider": "shop", "page": 2},
            "correlation_id": None,
            "error_type": "shop",
        }
    ]
    assert stats_of(pipeline) == {"dlq/confirmed": 1}


@pytest.mark.parametrize("state", list(Custody))
async def test_what_became_of_each_dead_letter_is_in_the_stats(state: Custody) -> None:
    pipeline = await opened(StubClient(state))
    await pipeline.dead_letter({}, RuntimeError(), retry_count=1)
    assert stats_of(pipeline) == {f"dlq/{state}": 1}


async def test_closing_flushes_within_its_bound_and_closes() -> None:
    stub = StubClient()
    pipeline = await opened(stub, DLQ_FLUSH_TIMEOUT_S=2.5)
    await pipeline.close_spider()
    assert (stub.flushed_within_s, stub.is_closed) == (2.5, True)
    assert stats_of(pipeline) == {}


async def test_closing_says_what_remains_in_the_spool(caplog: pytest.LogCaptureFixture) -> None:
    pipeline = await opened(StubClient(flushes=False))
    await pipeline.close_spider()
    assert stats_of(pipeline) == {"dlq/unflushed": 1}
    assert "remain in this host's spool" in caplog.text


async def test_a_failure_outside_of_a_crawl_is_told_and_does_not_raise(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pipeline = await opened(StubClient())
    await pipeline.close_spider()
    assert await pipeline.dead_letter({}, RuntimeError("late"), retry_count=1) is None
    assert "was not captured: late" in caplog.text


class StubEngine:
    def __init__(self) -> None:
        self.closed_for: list[str] = []
        self.closed = asyncio.Event()

    async def close_spider_async(self, *, reason: str) -> None:
        self.closed_for.append(reason)
        self.closed.set()


async def test_a_flood_closes_the_spider_once_if_so_set() -> None:
    pipeline = await opened(StubClient(), DLQ_CLOSE_SPIDER_ON_FLOOD=True)
    engine = StubEngine()
    pipeline.crawler.engine = cast("Any", engine)
    # The client calls the hook on a thread of its own.
    await asyncio.to_thread(pipeline._on_flood, FLOOD)
    await asyncio.to_thread(pipeline._on_flood, FLOOD)
    await asyncio.wait_for(engine.closed.wait(), 5)
    assert engine.closed_for == [FLOOD_REASON]
    assert stats_of(pipeline) == {"dlq/floods": 2}


async def test_a_flood_is_only_counted_by_default() -> None:
    pipeline = await opened(StubClient())
    engine = StubEngine()
    pipeline.crawler.engine = cast("Any", engine)
    pipeline._on_flood(FLOOD)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert stats_of(pipeline) == {"dlq/floods": 1}
    assert engine.closed_for == []


def test_scrapy_settings_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLQ_URL", "http://environment:1")
    monkeypatch.setenv("DLQ_FLOOD_COUNT", "7")
    settings = settings_of(crawler_with(DLQ_URL="http://scrapy:2", RABBITMQ_HOST="rabbit"))
    assert (settings.url, settings.flood_count) == ("http://scrapy:2", 7)
    assert settings.amqp_url is not None
    assert "rabbit" in settings.amqp_url


def test_a_setting_that_cannot_be_used_is_named() -> None:
    with pytest.raises(SettingsError, match="DLQ_URL"):
        settings_of(crawler_with(DLQ_URL="ftp://x"))
