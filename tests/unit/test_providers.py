"""The provider clients against the stand-ins: what they ask, and how they tell a failure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

import httpx2
import pytest

from dlq.classify import Category, diagnose
from dlq.demo.catalogue import CatalogueTrack
from dlq.demo.local_server import Answer, LocalServer, Request, json_answer
from dlq.demo.providers import (
    AudioAnalysisStandIn,
    LastFMStandIn,
    MusicBrainzStandIn,
    Neighbour,
    SpotifyStandIn,
)
from scrapers.providers import (
    AudioAnalysis,
    LastFM,
    MusicBrainz,
    ProviderConfig,
    ProviderError,
    Spotify,
    Track,
    TrackNotFound,
    UnreadableAnswer,
    build_providers,
)

KNOWN = CatalogueTrack("Deadmau5", "Strobe", "Progressive House")
AWKWARD = CatalogueTrack('Oliver "Olle" & Co', "Runaway (U & I) [live]: a/b?", "House")
STRANGER = CatalogueTrack("Nobody", "Nothing", "House")
GARBLED = CatalogueTrack("Garbled", "Answer", "House")
TRACKS = (KNOWN, AWKWARD, STRANGER, GARBLED)
UNKNOWN = frozenset({STRANGER.key})
CONFIG = ProviderConfig(
    spotify_client_id="id",
    spotify_client_secret="secret",
    lastfm_api_key="key",
    musicbrainz_contact="tests@example.org",
    musicbrainz_requests_per_s=50.0,
)


def asked(track: CatalogueTrack) -> Track:
    preview = f"http://127.0.0.1/previews/{track.track_id}.mp3"
    return Track(track.artist, track.title, preview)


@dataclass
class World:
    spotify: SpotifyStandIn
    musicbrainz: MusicBrainzStandIn
    lastfm: LastFMStandIn
    audio: AudioAnalysisStandIn
    config: ProviderConfig


@pytest.fixture
def world() -> Iterator[World]:
    with ExitStack() as stack:
        spotify = stack.enter_context(
            SpotifyStandIn(TRACKS, client_id="id", client_secret="secret", unknown=UNKNOWN)
        )
        musicbrainz = stack.enter_context(
            MusicBrainzStandIn(
                TRACKS, requests_per_s=50.0, unknown=UNKNOWN, garbled=frozenset({GARBLED.key})
            )
        )
        lastfm = stack.enter_context(LastFMStandIn(TRACKS, api_key="key", unknown=UNKNOWN))
        audio = stack.enter_context(AudioAnalysisStandIn(TRACKS))
        for server in (spotify, musicbrainz, lastfm):
            server.start()
        config = replace(
            CONFIG,
            spotify_url=spotify.url,
            spotify_accounts_url=spotify.url,
            musicbrainz_url=musicbrainz.url,
            lastfm_url=lastfm.url,
            audio_analysis_url=audio.url,
        )
        yield World(spotify, musicbrainz, lastfm, audio, config)


@pytest.fixture
async def http(world: World) -> AsyncIterator[httpx2.AsyncClient]:
    async with world.config.http_client() as client:
        yield client


@pytest.mark.parametrize("track", [KNOWN, AWKWARD])
async def test_every_provider_enriches_a_known_track(
    world: World, http: httpx2.AsyncClient, track: CatalogueTrack
) -> None:
    world.audio.start()
    providers = build_providers(world.config, http)
    found = {p.name: await p.enrich(asked(track)) for p in providers}
    assert found["spotify"]["name"] == track.title
    assert len(found["spotify"]["id"]) == 22
    assert found["musicbrainz"]["artists"] == [track.artist]
    assert found["lastfm"]["tags"] == [track.genre.lower()]
    assert 90 <= found["audio_analysis"]["bpm"] <= 175


async def test_an_unknown_track_is_told_as_not_found_and_not_tried_again(
    world: World, http: httpx2.AsyncClient
) -> None:
    for provider in (
        Spotify(world.config, http),
        MusicBrainz(world.config, http),
        LastFM(world.config, http),
    ):
        with pytest.raises(TrackNotFound, match="Track not found") as caught:
            await provider.enrich(asked(STRANGER))
        diagnosis = diagnose(caught.value, error_type=provider.name)
        assert (diagnosis.category, diagnosis.transient) == (Category.NOT_FOUND, False)


async def test_spotify_asks_for_a_token_once_and_renews_one_that_is_refused(
    world: World, http: httpx2.AsyncClient
) -> None:
    spotify = Spotify(world.config, http)
    await asyncio.gather(*(spotify.enrich(asked(KNOWN)) for _ in range(4)))
    assert world.spotify.statuses == {200: 5}
    world.spotify.revoke_tokens()
    await spotify.enrich(asked(KNOWN))
    assert world.spotify.statuses == {200: 7, 401: 1}


async def test_spotify_tells_wrong_credentials_as_auth(
    world: World, http: httpx2.AsyncClient
) -> None:
    spotify = Spotify(replace(world.config, spotify_client_secret="wrong"), http)
    with pytest.raises(ProviderError, match="400 Bad Request: invalid_client") as caught:
        await spotify.enrich(asked(KNOWN))
    diagnosis = diagnose(caught.value, error_type="spotify")
    assert (diagnosis.category, diagnosis.transient) == (Category.AUTH, False)
    assert "wrong" not in str(caught.value)


async def test_spotifys_rate_limit_carries_its_retry_after(
    world: World, http: httpx2.AsyncClient
) -> None:
    with SpotifyStandIn(
        TRACKS, client_id="id", client_secret="secret", refuses=range(1, 3)
    ) as server:
        server.start()
        config = replace(world.config, spotify_url=server.url, spotify_accounts_url=server.url)
        spotify = Spotify(config, http)
        await spotify.enrich(asked(KNOWN))
        with pytest.raises(ProviderError, match="429 Too Many Requests: API rate") as caught:
            await spotify.enrich(asked(KNOWN))
        diagnosis = diagnose(caught.value, error_type="spotify")
        assert (diagnosis.category, diagnosis.retry_after_s) == (Category.RATE_LIMIT, 1.0)
        assert diagnosis.transient
        server.recover()
        assert await spotify.enrich(asked(KNOWN))


async def test_lastfm_tells_a_bad_key_as_auth_without_showing_it(
    world: World, http: httpx2.AsyncClient
) -> None:
    lastfm = LastFM(replace(world.config, lastfm_api_key="hush-hush"), http)
    with pytest.raises(ProviderError, match="error 10: Invalid API key") as caught:
        await lastfm.enrich(asked(KNOWN))
    diagnosis = diagnose(caught.value, error_type="lastfm")
    assert (diagnosis.category, diagnosis.transient) == (Category.AUTH, False)
    assert "hush-hush" not in str(caught.value)


async def test_no_log_shows_a_key_or_a_secret(
    world: World, http: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    config = replace(world.config, lastfm_api_key="hush-hush", spotify_client_secret="hush-hush")
    for provider in (LastFM(config, http), Spotify(config, http)):
        with pytest.raises(ProviderError):
            await provider.enrich(asked(KNOWN))
    assert world.lastfm.statuses == {403: 1}
    assert caplog.records
    assert "hush-hush" not in caplog.text


class Fixed(LocalServer):
    """Always the same answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self._answer = answer

    def answer(self, request: Request) -> Answer:
        return self._answer


@pytest.mark.parametrize(
    ("number", "status", "category"),
    [
        (29, 200, Category.RATE_LIMIT),
        (29, 429, Category.RATE_LIMIT),
        (11, 200, Category.SERVER_ERROR),
        (16, 200, Category.SERVER_ERROR),
        (26, 403, Category.AUTH),
    ],
)
async def test_lastfms_numbers_mean_the_same_in_a_200_and_in_a_4xx(
    world: World, http: httpx2.AsyncClient, number: int, status: int, category: Category
) -> None:
    answer = json_answer(status, {"error": number, "message": "Said by Last.fm"})
    with Fixed(answer) as server:
        server.start()
        lastfm = LastFM(replace(world.config, lastfm_url=server.url), http)
        with pytest.raises(ProviderError, match=f"error {number}: Said") as caught:
            await lastfm.enrich(asked(KNOWN))
    assert diagnose(caught.value, error_type="lastfm").category is category


async def test_a_gateways_page_is_told_by_its_status(
    world: World, http: httpx2.AsyncClient
) -> None:
    with Fixed(Answer(502, b"<html>Bad gateway</html>", "text/html")) as server:
        server.start()
        config = replace(
            world.config,
            spotify_url=server.url,
            musicbrainz_url=server.url,
            lastfm_url=server.url,
            audio_analysis_url=server.url,
        )
        for provider in build_providers(config, http):
            with pytest.raises(ProviderError, match="502 Bad Gateway") as caught:
                await provider.enrich(asked(KNOWN))
            diagnosis = diagnose(caught.value, error_type=provider.name)
            assert diagnosis.category is Category.SERVER_ERROR
            assert diagnosis.transient


async def test_broken_json_is_invalid_data(world: World, http: httpx2.AsyncClient) -> None:
    musicbrainz = MusicBrainz(world.config, http)
    with pytest.raises(UnreadableAnswer, match="not valid JSON") as caught:
        await musicbrainz.enrich(asked(GARBLED))
    diagnosis = diagnose(caught.value, error_type="musicbrainz")
    assert (diagnosis.category, diagnosis.transient) == (Category.INVALID_DATA, False)


@pytest.mark.parametrize("document", [{}, [], {"tracks": {"items": [{}]}, "recordings": [{}]}])
async def test_an_answer_of_another_shape_is_invalid_data_not_a_bug(
    world: World, http: httpx2.AsyncClient, document: object
) -> None:
    with Fixed(json_answer(200, document)) as server:
        server.start()
        config = replace(
            world.config,
            spotify_url=server.url,
            musicbrainz_url=server.url,
            lastfm_url=server.url,
            audio_analysis_url=server.url,
        )
        for provider in build_providers(config, http):
            with pytest.raises(UnreadableAnswer) as caught:
                await provider.enrich(asked(KNOWN))
            assert diagnose(caught.value).category is Category.INVALID_DATA


async def test_nothing_listening_is_a_network_failure(
    world: World, http: httpx2.AsyncClient
) -> None:
    analysis = AudioAnalysis(world.config, http)
    with pytest.raises(httpx2.ConnectError) as caught:
        await analysis.enrich(asked(KNOWN))
    assert diagnose(caught.value).category is Category.NETWORK
    world.audio.start()
    assert await analysis.enrich(asked(KNOWN))


async def test_musicbrainz_is_asked_at_the_allowed_pace_and_never_refuses(
    world: World, http: httpx2.AsyncClient
) -> None:
    musicbrainz = MusicBrainz(world.config, http)
    started = time.monotonic()
    await asyncio.gather(*(musicbrainz.enrich(asked(KNOWN)) for _ in range(25)))
    assert time.monotonic() - started >= 24 / world.config.musicbrainz_requests_per_s * 0.95
    assert world.musicbrainz.statuses == {200: 25}


async def test_a_neighbour_behind_the_same_address_uses_up_the_allowance(
    world: World, http: httpx2.AsyncClient
) -> None:
    musicbrainz = MusicBrainz(world.config, http)
    neighbour = Neighbour(world.musicbrainz, requests_per_s=400.0, joins_at=1, leaves_at_refused=2)
    neighbour.start()
    refused: ProviderError | None = None
    deadline = time.monotonic() + 20
    while refused is None and time.monotonic() < deadline:
        try:
            await musicbrainz.enrich(asked(KNOWN))
        except ProviderError as error:
            refused = error
    neighbour.stop()
    assert refused is not None
    assert "503 Service Unavailable: Your requests are exceeding" in str(refused)
    diagnosis = diagnose(refused, error_type="musicbrainz")
    assert (diagnosis.category, diagnosis.transient) == (Category.RATE_LIMIT, True)


def test_a_provider_without_its_settings_is_not_asked_and_said_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    providers = build_providers(ProviderConfig(), httpx2.AsyncClient())
    assert providers == []
    assert "SPOTIFY_CLIENT_ID" in caplog.text
    assert "MUSICBRAINZ_CONTACT" in caplog.text
    assert "LASTFM_API_KEY" in caplog.text


def test_settings_are_read_by_name_and_secrets_stay_out_of_the_repr() -> None:
    given = {"SPOTIFY_CLIENT_SECRET": "hush", "LASTFM_URL": "http://x/", "PROVIDER_TIMEOUT_S": "3"}
    config = ProviderConfig.read(given.get)
    assert (config.lastfm_url, config.provider_timeout_s) == ("http://x", 3.0)
    assert config.musicbrainz_url == "https://musicbrainz.org"
    assert "hush" not in repr(config)


@pytest.mark.parametrize("value", ["0", "-1", "soon"])
def test_a_setting_that_is_no_positive_number_is_named(value: str) -> None:
    with pytest.raises(ValueError, match="PROVIDER_TIMEOUT_S: expected a positive number"):
        ProviderConfig.read({"PROVIDER_TIMEOUT_S": value}.get)


def test_a_track_is_read_from_either_set_of_names() -> None:
    assert Track.from_item({"artist": " A ", "title": "T"}) == Track("A", "T")
    assert Track.from_item({"artist_name": "A", "track_name": "T"}) == Track("A", "T")
    with pytest.raises(ValueError, match="artist_name and track_name"):
        Track.from_item({"artist_name": "A"})
