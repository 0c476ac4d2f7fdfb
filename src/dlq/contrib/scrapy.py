"""A base for Scrapy item pipelines that send what failed to the dead-letter queue.

It owns the client for the life of a crawl: opened with the spider, flushed (bounded) and
closed with it, never blocking the reactor. What became of each dead letter is counted in
Scrapy's stats (`dlq/confirmed`, `dlq/spooled`, `dlq/refused`), and a flood of failures can
close the spider.

Scrapy settings: every `DLQ_*` and `RABBITMQ_*` of docs/settings.md (they win over the
environment), and `DLQ_FLUSH_TIMEOUT_S` (10), `DLQ_CLOSE_SPIDER_ON_FLOOD` (False).
Needs Scrapy 2.14 or later and its asyncio reactor, the default.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Self

from scrapy.crawler import Crawler

from dlq.client import AsyncDLQClient
from dlq.client.receipt import Receipt
from dlq.settings import Settings, variable_of

logger = logging.getLogger(__name__)

FLUSH_TIMEOUT_S = 10.0
FLOOD_REASON = "dlq_flood"
"""The spider's `finish_reason` when a flood of failures closed it."""


class DeadLetterPipeline:
    """Subclass it, write `process_item`, and call `dead_letter` for what failed for good."""

    source_service = "scrapy"

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.dlq_client: AsyncDLQClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Task[None] | None = None

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    def make_client(self) -> AsyncDLQClient:
        """The client of this crawl; override it to configure another."""
        return AsyncDLQClient(
            settings_of(self.crawler),
            source_service=self.source_service,
            on_flood=self._on_flood,
        )

    async def open_spider(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.dlq_client = self.make_client()

    async def close_spider(self) -> None:
        client, self.dlq_client = self.dlq_client, None
        if client is None:
            return
        timeout_s = self.crawler.settings.getfloat("DLQ_FLUSH_TIMEOUT_S", FLUSH_TIMEOUT_S)
        if not await client.flush(timeout_s):
            self.count("dlq/unflushed")
            logger.warning(
                "Dead letters remain in this host's spool after %.0f s; "
                "the next process that uses it sends them.",
                timeout_s,
            )
        await client.close()

    async def dead_letter(
        self,
        item: Mapping[str, Any],
        error: BaseException,
        *,
        retry_count: int,
        error_type: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        correlation_id: str | None = None,
    ) -> Receipt | None:
        """Publish one failure and count what became of it; never raises, never blocks.

        Returns: the client's receipt; None when the spider is not open.
        """
        if self.dlq_client is None:
            logger.error("A failure came outside of the crawl and was not captured: %s", error)
            return None
        spider = self.crawler.spider
        receipt = await self.dlq_client.publish_to_dlq(
            item=dict(item),
            error=error,
            retry_count=retry_count,
            source_service=self.source_service,
            metadata={"spider": spider.name if spider else None, **(metadata or {})},
            correlation_id=correlation_id,
            error_type=error_type,
        )
        self.count(f"dlq/{receipt.state}")
        return receipt

    def succeeded(self, count: int = 1) -> None:
        """Tell the client of operations that went well: what a flood is measured against."""
        if self.dlq_client is not None:
            self.dlq_client.record_success(count)

    def count(self, name: str) -> None:
        if self.crawler.stats is not None:
            self.crawler.stats.inc_value(name)

    def _on_flood(self, *_details: Any) -> None:
        """Called by the client, on a thread of its own choice."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._flooded)

    def _flooded(self) -> None:
        self.count("dlq/floods")
        if not self.crawler.settings.getbool("DLQ_CLOSE_SPIDER_ON_FLOOD"):
            return
        engine = self.crawler.engine
        if engine is None or self._closing is not None:
            return
        logger.error("Too many failures: closing the spider (DLQ_CLOSE_SPIDER_ON_FLOOD).")
        self._closing = asyncio.ensure_future(engine.close_spider_async(reason=FLOOD_REASON))


def settings_of(crawler: Crawler) -> Settings:
    """The DLQ's settings: the environment, and above it what Scrapy's settings name.

    Raises: SettingsError.
    """
    given = {name: crawler.settings.get(variable_of(name)) for name in Settings.model_fields}
    return Settings.load(**given)
