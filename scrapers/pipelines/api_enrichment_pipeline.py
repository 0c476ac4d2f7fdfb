"""Enriches scraped tracks from Spotify, MusicBrainz, Last.fm and the audio analysis.

Each provider is asked at most three times; permanent failures (credentials, unknown track,
unreadable answer) once. What failed becomes one dead letter per provider, carrying the item
as it was scraped, so that `scrapers.replay` can ask that provider again later. The item goes
on with what could be had, under `enrichment`.

Scrapy settings: ENRICHMENT_TRIES (3), ENRICHMENT_BACKOFF_S (1), ENRICHMENT_BACKOFF_MAX_S (30),
ENRICHMENT_RETRY_AFTER_MAX_S (60), and those of `dlq.contrib.scrapy`; those of `ProviderConfig`
(SPOTIFY_CLIENT_ID …) also from the environment.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Mapping
from typing import Any

import httpx2
from itemadapter.adapter import ItemAdapter
from scrapy.crawler import Crawler

from dlq.contrib.scrapy import DeadLetterPipeline
from dlq.contrib.tries import Done, GivenUp, try_repeatedly
from dlq.worker.attempt import TryPolicy
from scrapers.providers import Provider, ProviderConfig, Track, build_providers

Answer = Done[dict[str, Any]] | GivenUp


class APIEnrichmentPipeline(DeadLetterPipeline):
    source_service = "api-enrichment-pipeline"

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        settings = crawler.settings
        self._config = ProviderConfig.read(lambda name: settings.get(name) or os.environ.get(name))
        self._policy = TryPolicy(
            max_attempts=settings.getint("ENRICHMENT_TRIES", 3),
            base_s=settings.getfloat("ENRICHMENT_BACKOFF_S", 1.0),
            cap_s=settings.getfloat("ENRICHMENT_BACKOFF_MAX_S", 30.0),
            retry_after_cap_s=settings.getfloat("ENRICHMENT_RETRY_AFTER_MAX_S", 60.0),
        )
        self._crawl_id = uuid.uuid4().hex[:12]
        self._http: httpx2.AsyncClient | None = None
        self._providers: list[Provider] = []

    async def open_spider(self) -> None:
        await super().open_spider()
        self._http = self._config.http_client()
        self._providers = build_providers(self._config, self._http)

    async def close_spider(self) -> None:
        if self._http is not None:
            await self._http.aclose()
        await super().close_spider()

    async def process_item(self, item: Any) -> Any:
        adapter = ItemAdapter(item)
        scraped = dict(adapter)
        # Before anything is asked: an item class without this field shows at its first item.
        adapter["enrichment"] = {}
        try:
            track = Track.from_item(scraped)
        except ValueError as error:
            await self._capture(scraped, {"general": GivenUp(error, 1)})
            return item
        wanted = [provider for provider in self._providers if provider.wants(track)]
        answers = dict(
            zip(
                (provider.name for provider in wanted),
                await asyncio.gather(*(self._ask(provider, track) for provider in wanted)),
                strict=True,
            )
        )
        adapter["enrichment"] = {n: a.value for n, a in answers.items() if isinstance(a, Done)}
        await self._capture(scraped, {n: a for n, a in answers.items() if isinstance(a, GivenUp)})
        return item

    async def _ask(self, provider: Provider, track: Track) -> Answer:
        answer = await try_repeatedly(
            lambda: provider.enrich(track), self._policy, error_type=provider.name
        )
        if isinstance(answer, Done):
            self.succeeded()
            self.count(f"enrichment/{provider.name}/succeeded")
        else:
            self.count(f"enrichment/{provider.name}/failed")
        return answer

    async def _capture(self, scraped: Mapping[str, Any], failures: Mapping[str, GivenUp]) -> None:
        """One dead letter per failed provider; they share the item's correlation id."""
        metadata = {
            "failed_services": sorted(failures),
            "original_source_url": scraped.get("source_url"),
        }
        correlation_id = f"{self._crawl_id}-{scraped.get('track_id') or uuid.uuid4().hex[:12]}"
        await asyncio.gather(
            *(
                self.dead_letter(
                    {**scraped, "provider": provider},
                    failure.last_error,
                    retry_count=failure.retry_count,
                    error_type=provider,
                    metadata=metadata,
                    correlation_id=correlation_id,
                )
                for provider, failure in failures.items()
            )
        )
