"""The demo's crawl, as a process of its own: `python -m dlq.demo.crawl PAGE ITEMS STATS`.

A real Scrapy crawl of the mix page, with the enrichment pipeline of this repository. Items
go to the JSON Lines file ITEMS, Scrapy's stats to the JSON file STATS. Everything else is
settings in the environment, as for any crawl.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import scrapy
from scrapy.crawler import CrawlerProcess
from scrapy.http.response import Response

PIPELINE = "scrapers.pipelines.api_enrichment_pipeline.APIEnrichmentPipeline"
ITEMS_AT_ONCE = 8

SETTINGS: dict[str, Any] = {
    "ITEM_PIPELINES": {PIPELINE: 300},
    "CONCURRENT_ITEMS": ITEMS_AT_ONCE,
    "ENRICHMENT_BACKOFF_S": 0.5,  # the providers' windows are short here, too
    "TELNETCONSOLE_ENABLED": False,
    "ROBOTSTXT_OBEY": False,
    "LOG_LEVEL": "INFO",
}


class MixSpider(scrapy.Spider):
    """One item per track of a mix page."""

    name = "demo-mix"

    def __init__(self, page: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._page = page

    async def start(self) -> AsyncIterator[scrapy.Request]:
        yield scrapy.Request(self._page)

    def parse(self, response: Response, **_kwargs: Any) -> Iterator[dict[str, Any]]:
        for row in response.css("ol.tracklist li.track"):
            preview = row.css("a.preview::attr(href)").get()
            yield {
                "track_id": row.attrib["data-track-id"],
                "artist_name": row.css(".artist::text").get(),
                "track_name": row.css(".title::text").get(),
                "genre": row.css(".genre::text").get(),
                "source_context": "demo-mix",
                "source_url": response.url,
                "preview_url": response.urljoin(preview) if preview else None,
            }


def main(page: str, items: str, stats: str) -> int:
    """Crawl to the end. Returns: the exit code, 1 if the crawl did not finish as it should."""
    # The feed exporter gives each item out after the pipeline has dealt with it.
    process = CrawlerProcess({**SETTINGS, "FEEDS": {items: {"format": "jsonlines"}}})
    crawler = process.create_crawler(MixSpider)
    process.crawl(crawler, page=page)
    process.start()
    collected = crawler.stats.get_stats() if crawler.stats else {}
    partial = Path(f"{stats}.part")
    partial.write_text(json.dumps(collected, default=str), encoding="utf-8")
    partial.replace(stats)  # atomically, for whoever waits for the file
    return 0 if collected.get("finish_reason") == "finished" else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
