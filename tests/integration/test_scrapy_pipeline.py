"""The enrichment pipeline against the stand-ins, and a real crawl into a real manager."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import scrapy
from scrapy.utils.test import get_crawler

from dlq.client import AsyncDLQClient, Custody, DLQClient, Receipt
from dlq.demo.catalogue import read_tracks
from dlq.demo.plan import Plan, make_plan
from dlq.demo.providers import LastFMStandIn, MusicBrainzStandIn, SpotifyStandIn
from dlq.demo.site import MixPage
from scrapers.pipelines.api_enrichment_pipeline import APIEnrichmentPipeline
from tests.support.manager import ManagerProcess

ROOT = Path(__file__).resolve().parents[2]
TRACKS = read_tracks(12)
KNOWN, UNKNOWN, GARBLED = TRACKS[0], TRACKS[1], TRACKS[2]


@dataclass
class World:
    plan: Plan
    page: MixPage
    spotify: SpotifyStandIn
    musicbrainz: MusicBrainzStandIn
    lastfm: LastFMStandIn

    def settings(self, **more: str) -> dict[str, str]:
        return {
            "SPOTIFY_URL": self.spotify.url,
            "SPOTIFY_ACCOUNTS_URL": self.spotify.url,
            "SPOTIFY_CLIENT_ID": "id",
            "SPOTIFY_CLIENT_SECRET": "secret",
            "MUSICBRAINZ_URL": self.musicbrainz.url,
            "MUSICBRAINZ_CONTACT": "tests@example.org",
            "MUSICBRAINZ_REQUESTS_PER_S": "50",
            "LASTFM_URL": self.lastfm.url,
            "LASTFM_API_KEY": "key",
            **more,
        }


@pytest.fixture
def world() -> Iterator[World]:
    """All well, but one track that nobody knows and one that MusicBrainz garbles."""
    plan = make_plan(TRACKS)
    unknown = frozenset({UNKNOWN.key})
    with ExitStack() as stack:
        enter = stack.enter_context
        found = World(
            plan,
            enter(MixPage(plan)),
            enter(SpotifyStandIn(TRACKS, client_id="id", client_secret="secret", unknown=unknown)),
            enter(
                MusicBrainzStandIn(
                    TRACKS, requests_per_s=50, unknown=unknown, garbled=frozenset({GARBLED.key})
                )
            ),
            enter(LastFMStandIn(TRACKS, api_key="key", unknown=unknown)),
        )
        for server in (found.page, found.spotify, found.musicbrainz, found.lastfm):
            server.start()
        yield found


class CapturingClient:
    def __init__(self) -> None:
        self.published: list[dict[str, Any]] = []
        self.successes = 0

    async def publish_to_dlq(self, **failure: Any) -> Receipt:
        self.published.append(failure)
        return Receipt("id", Custody.CONFIRMED)

    def record_success(self, count: int = 1) -> None:
        self.successes += count

    async def flush(self, timeout_s: float) -> bool:
        return True

    async def close(self) -> None:
        return None

    def by_provider(self) -> dict[str, dict[str, Any]]:
        return {failure["error_type"]: failure for failure in self.published}


class Pipeline(APIEnrichmentPipeline):
    def make_client(self) -> AsyncDLQClient:
        return cast("AsyncDLQClient", CapturingClient())


class MixSpider(scrapy.Spider):
    name = "mixesdb"


async def opened(settings: dict[str, Any]) -> tuple[Pipeline, CapturingClient]:
    crawler = get_crawler(MixSpider, {"ENRICHMENT_BACKOFF_S": 0.01, **settings})
    crawler.spider = MixSpider()
    pipeline = Pipeline.from_crawler(crawler)
    await pipeline.open_spider()
    return pipeline, cast("CapturingClient", pipeline.dlq_client)


def item_of(track: Any) -> dict[str, Any]:
    return {
        "track_id": track.track_id,
        "artist_name": track.artist,
        "track_name": track.title,
        "source_url": "http://127.0.0.1/mixes/1",
    }


async def test_an_item_is_enriched_by_every_provider_and_nothing_is_captured(world: World) -> None:
    pipeline, client = await opened(world.settings())
    item = await pipeline.process_item(item_of(KNOWN))
    await pipeline.close_spider()
    assert sorted(item["enrichment"]) == ["lastfm", "musicbrainz", "spotify"]
    assert item["enrichment"]["spotify"]["name"] == KNOWN.title
    assert client.published == []
    assert client.successes == 3


async def test_each_failed_provider_is_one_dead_letter_and_the_item_goes_on(world: World) -> None:
    pipeline, client = await opened(world.settings(LASTFM_API_KEY="wrong"))
    item = await pipeline.process_item(item_of(GARBLED))
    await pipeline.close_spider()
    assert sorted(item["enrichment"]) == ["spotify"]
    failures = client.by_provider()
    assert sorted(failures) == ["lastfm", "musicbrainz"]
    for provider, failure in failures.items():
        assert failure["item"] == {**item_of(GARBLED), "provider": provider}
        assert failure["source_service"] == "api-enrichment-pipeline"
        assert failure["metadata"] == {
            "spider": "mixesdb",
            "failed_services": ["lastfm", "musicbrainz"],
            "original_source_url": "http://127.0.0.1/mixes/1",
        }
        assert failure["retry_count"] == 1
    assert len({failure["correlation_id"] for failure in client.published}) == 1
    assert GARBLED.track_id in client.published[0]["correlation_id"]


async def test_a_transient_failure_is_captured_after_three_tries(world: World) -> None:
    world.lastfm.stop()
    pipeline, client = await opened(world.settings())
    item = await pipeline.process_item(item_of(KNOWN))
    await pipeline.close_spider()
    assert sorted(item["enrichment"]) == ["musicbrainz", "spotify"]
    assert [failure["retry_count"] for failure in client.published] == [3]
    assert client.published[0]["error_type"] == "lastfm"


async def test_an_unknown_track_is_asked_for_once_per_provider(world: World) -> None:
    pipeline, client = await opened(world.settings())
    item = await pipeline.process_item(item_of(UNKNOWN))
    await pipeline.close_spider()
    assert item["enrichment"] == {}
    assert {f["error_type"]: f["retry_count"] for f in client.published} == {
        "spotify": 1,
        "musicbrainz": 1,
        "lastfm": 1,
    }
    assert world.lastfm.statuses == {200: 1}


async def test_an_item_without_a_track_is_captured_and_not_dropped(world: World) -> None:
    pipeline, client = await opened(world.settings())
    item = await pipeline.process_item({"track_id": "x", "artist_name": None})
    await pipeline.close_spider()
    assert item["track_id"] == "x"
    assert [failure["error_type"] for failure in client.published] == ["general"]


async def test_an_item_class_without_the_field_fails_before_anything_is_asked(
    world: World,
) -> None:
    class Narrow(scrapy.Item):
        artist_name = scrapy.Field()
        track_name = scrapy.Field()

    pipeline, _ = await opened(world.settings())
    with pytest.raises(KeyError, match="enrichment"):
        await pipeline.process_item(Narrow(artist_name="A", track_name="T"))
    await pipeline.close_spider()
    assert world.spotify.statuses == {}


# --- a real crawl ------------------------------------------------------------------------


def crawl(world: World, folder: Path, **environment: str) -> dict[str, Any]:
    """Run the demo's spider to its end. Returns: Scrapy's stats."""
    stats = folder / "stats.json"
    done = subprocess.run(
        [sys.executable, "-m", "dlq.demo.crawl", world.page.page_url, folder / "items.jl", stats],
        env={**os.environ, "PYTHONPATH": str(ROOT), **world.settings(), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(stats.read_text())
    return found


def items_in(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "items.jl").read_text().splitlines()]


def test_a_crawls_failures_arrive_at_the_manager(world: World, tmp_path: Path) -> None:
    manager = ManagerProcess(tmp_path).start()
    stats = crawl(world, tmp_path, **manager.environment)
    found = manager.get("/dlq/messages", state="all", limit=100)
    manager.stop()
    assert stats["dlq/confirmed"] == len(found) == 4
    assert len(items_in(tmp_path)) == len(TRACKS)
    by_category = sorted((m["error_type"], m["category"]) for m in found)
    assert by_category == [
        ("lastfm", "not_found"),
        ("musicbrainz", "invalid_data"),
        ("musicbrainz", "not_found"),
        ("spotify", "not_found"),
    ]
    unknown = next(m for m in found if m["error_type"] == "spotify")
    assert unknown["payload"]["track_id"] == UNKNOWN.track_id
    assert unknown["payload"]["provider"] == "spotify"
    assert unknown["metadata"]["failed_services"] == ["lastfm", "musicbrainz", "spotify"]
    assert unknown["routing_key"] == "spotify.enrichment.failed"
    assert "Traceback" in unknown["stack_trace"]


def test_a_crawl_without_a_manager_is_not_held_up_and_loses_nothing(
    world: World, tmp_path: Path
) -> None:
    manager = ManagerProcess(tmp_path)
    started = time.monotonic()
    stats = crawl(world, tmp_path, **manager.environment, DLQ_CONFIRM_TIMEOUT_S="1")
    assert time.monotonic() - started < 40
    assert (stats["dlq/spooled"], stats["dlq/unflushed"]) == (4, 1)
    assert len(items_in(tmp_path)) == len(TRACKS)
    # The next process of this host that uses the spool sends what is in it.
    manager.start()
    with DLQClient(manager.settings) as client:
        assert client.flush(20)
    manager.wait_in_dlq(4)
    manager.stop()
