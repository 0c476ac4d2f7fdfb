"""The APIs that a track is enriched from: one module each, one `enrich(track)` each.

`build_providers` makes those that are configured. All speak async httpx2, and none retries:
how often to try is decided by who asks.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from scrapers.providers.audio_analysis import AudioAnalysis
from scrapers.providers.base import Provider, ProviderError, Track, TrackNotFound, UnreadableAnswer
from scrapers.providers.config import ProviderConfig
from scrapers.providers.lastfm import LastFM
from scrapers.providers.musicbrainz import MusicBrainz
from scrapers.providers.spotify import Spotify

if TYPE_CHECKING:
    import httpx2

logger = logging.getLogger(__name__)

__all__ = [
    "PROVIDER_NAMES",
    "AudioAnalysis",
    "LastFM",
    "MusicBrainz",
    "Provider",
    "ProviderConfig",
    "ProviderError",
    "Spotify",
    "Track",
    "TrackNotFound",
    "UnreadableAnswer",
    "build_providers",
]

PROVIDER_NAMES = (Spotify.name, MusicBrainz.name, LastFM.name, AudioAnalysis.name)
"""Their error_types in the dead-letter queue."""


def build_providers(config: ProviderConfig, http: httpx2.AsyncClient) -> list[Provider]:
    """The providers whose settings are there; what lacks is logged once, by its name."""
    providers: list[Provider] = []
    if config.spotify_client_id and config.spotify_client_secret:
        providers.append(Spotify(config, http))
    else:
        _not_asked("Spotify", "SPOTIFY_CLIENT_ID and SPOTIFY_CLIENT_SECRET")
    if config.musicbrainz_contact:
        providers.append(MusicBrainz(config, http))
    else:
        _not_asked("MusicBrainz", "MUSICBRAINZ_CONTACT (an e-mail address or URL)")
    if config.lastfm_api_key:
        providers.append(LastFM(config, http))
    else:
        _not_asked("Last.fm", "LASTFM_API_KEY")
    if config.audio_analysis_url:
        providers.append(AudioAnalysis(config, http))
    return providers


def _not_asked(name: str, settings: str) -> None:
    logger.warning("%s will not be asked: it needs %s.", name, settings)
