"""What a worker does with the pipeline's dead letters: ask again, store, only then succeed."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from dlq.client import DLQClient
from dlq.demo.catalogue import CatalogueTrack, read_tracks
from dlq.demo.providers import LastFMStandIn, MusicBrainzStandIn
from dlq.message import DLQMessage, new_message_id
from scrapers.providers import ProviderError, TrackNotFound
from scrapers.replay import ReplayEnricher
from tests.support.manager import ManagerProcess
from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]
TRACKS = read_tracks(12)
PACE_PER_S = 20.0


@pytest.fixture
def lastfm() -> Iterator[LastFMStandIn]:
    with LastFMStandIn(TRACKS, api_key="key") as server:
        yield server.start()


@pytest.fixture
def musicbrainz() -> Iterator[MusicBrainzStandIn]:
    with MusicBrainzStandIn(TRACKS, requests_per_s=PACE_PER_S) as server:
        yield server.start()


@pytest.fixture
def environment(
    tmp_path: Path, lastfm: LastFMStandIn, musicbrainz: MusicBrainzStandIn
) -> dict[str, str]:
    return {
        "ENRICHMENT_OUTPUT": str(tmp_path / "enriched.jsonl"),
        "LASTFM_URL": lastfm.url,
        "LASTFM_API_KEY": "key",
        "MUSICBRAINZ_URL": musicbrainz.url,
        "MUSICBRAINZ_CONTACT": "tests@example.org",
        "MUSICBRAINZ_REQUESTS_PER_S": str(PACE_PER_S),
    }


@pytest.fixture
def enricher(environment: dict[str, str]) -> Iterator[ReplayEnricher]:
    handler = ReplayEnricher(environment.get)
    yield handler
    handler.close()


def dead_letter(track: CatalogueTrack, provider: str = "lastfm") -> DLQMessage:
    return DLQMessage(
        message_id=new_message_id(),
        routing_key=f"{provider}.enrichment.failed",
        timestamp=dt.datetime.now(dt.UTC),
        retry_count=3,
        error_type=provider,
        error_message="Last.fm error 10: Invalid API key",
        source_service="api-enrichment-pipeline",
        payload={
            "track_id": track.track_id,
            "artist_name": track.artist,
            "track_name": track.title,
            "provider": provider,
        },
    )


def answers(environment: dict[str, str]) -> list[dict[str, object]]:
    path = Path(environment["ENRICHMENT_OUTPUT"])
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_the_provider_that_failed_is_asked_and_its_answer_stored(
    enricher: ReplayEnricher, environment: dict[str, str]
) -> None:
    message = dead_letter(TRACKS[0])
    enricher(message)
    (line,) = answers(environment)
    assert line["message_id"] == message.message_id
    assert (line["track_id"], line["provider"]) == (TRACKS[0].track_id, "lastfm")
    assert line["enrichment"]


def test_a_failure_is_raised_and_nothing_is_stored(
    enricher: ReplayEnricher, environment: dict[str, str], lastfm: LastFMStandIn
) -> None:
    with pytest.raises(TrackNotFound):
        enricher(dead_letter(CatalogueTrack("Nobody", "Nothing", "House")))
    lastfm.stop()
    enricher.close()
    with pytest.raises(httpx2.ConnectError):
        enricher(dead_letter(TRACKS[0]))
    assert answers(environment) == []


def test_a_success_that_could_not_be_stored_is_a_failure(
    enricher: ReplayEnricher, environment: dict[str, str], tmp_path: Path
) -> None:
    environment["ENRICHMENT_OUTPUT"] = str(tmp_path / "no-such-folder" / "enriched.jsonl")
    with pytest.raises(FileNotFoundError):
        enricher(dead_letter(TRACKS[0]))


def test_a_provider_that_is_not_configured_says_so(enricher: ReplayEnricher) -> None:
    with pytest.raises(ProviderError, match="spotify is not configured in this worker"):
        enricher(dead_letter(TRACKS[0], "spotify"))


def test_many_threads_together_keep_musicbrainz_pace(
    enricher: ReplayEnricher, environment: dict[str, str], musicbrainz: MusicBrainzStandIn
) -> None:
    together = threading.Barrier(8)

    def handle(number: int) -> None:
        together.wait(10)
        for offset in range(6):
            enricher(dead_letter(TRACKS[(number + offset) % len(TRACKS)], "musicbrainz"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(handle, range(8)))
    assert musicbrainz.refused == 0
    assert musicbrainz.asked == len(answers(environment)) == 48


def test_a_worker_process_resolves_a_replayed_failure(
    environment: dict[str, str], tmp_path: Path
) -> None:
    manager = ManagerProcess(tmp_path).start()
    with DLQClient(manager.settings) as client:
        receipt = client.publish_to_dlq(
            dead_letter(TRACKS[0]).payload, RuntimeError("error 10"), 3, error_type="lastfm"
        )
    assert receipt
    manager.wait_in_dlq(1)
    assert manager.post(f"/dlq/replay/{receipt.message_id}").is_success
    worker = subprocess.Popen(
        [Path(sys.executable).with_name("dlq"), "worker", "scrapers.replay:handlers"],
        env={**os.environ, "PYTHONPATH": str(ROOT), **manager.environment, **environment},
    )
    try:
        until(
            lambda: manager.get(f"/dlq/messages/{receipt.message_id}")["state"] == "resolved",
            30,
            "the worker did not resolve the replay",
        )
    finally:
        worker.terminate()
        assert worker.wait(15) == 0
    manager.stop()
    assert [line["message_id"] for line in answers(environment)] == [receipt.message_id]
