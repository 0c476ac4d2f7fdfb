"""The providers' settings: one table, filled from Scrapy's settings or the environment."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import httpx2

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """Each field is one setting, its name in capitals; a credential that lacks switches its
    provider off."""

    spotify_url: str = "https://api.spotify.com"
    spotify_accounts_url: str = "https://accounts.spotify.com"
    spotify_client_id: str = ""
    spotify_client_secret: str = field(default="", repr=False)
    musicbrainz_url: str = "https://musicbrainz.org"
    musicbrainz_contact: str = ""  # e-mail or URL; MusicBrainz asks every client for one
    musicbrainz_requests_per_s: float = 1.0  # more only against a mirror of one's own
    lastfm_url: str = "https://ws.audioscrobbler.com"
    lastfm_api_key: str = field(default="", repr=False)
    audio_analysis_url: str = ""  # the platform's own service; empty: not asked
    provider_timeout_s: float = 10.0

    @classmethod
    def read(cls, get: Callable[[str], Any]) -> ProviderConfig:
        """Fill from `get("SPOTIFY_URL")` and so on; None or "" means the default.

        Raises:
            ValueError: names a setting that should be a positive number and is not.
        """
        given: dict[str, Any] = {}
        for spec in dataclasses.fields(cls):
            value = get(spec.name.upper())
            if value in (None, ""):
                continue
            if isinstance(spec.default, float):
                given[spec.name] = _positive(spec.name.upper(), value)
            else:
                given[spec.name] = str(value).rstrip("/")
        return cls(**given)

    def http_client(self) -> httpx2.AsyncClient:
        """One connection pool for all providers; the caller closes it."""
        # At INFO httpx2 logs each URL, and Last.fm's holds the API key.
        logging.getLogger("httpx2").setLevel(logging.WARNING)
        return httpx2.AsyncClient(
            timeout=self.provider_timeout_s,
            headers={"User-Agent": self.user_agent, "Accept": "application/json"},
        )

    @property
    def user_agent(self) -> str:
        """As MusicBrainz asks: application/version ( contact )."""
        product = f"SongNodes/{version('songnodes-dlq')}"
        return f"{product} ( {self.musicbrainz_contact} )" if self.musicbrainz_contact else product


def _positive(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = 0.0
    if number <= 0:
        raise ValueError(f"{name}: expected a positive number, got {value!r}")
    return number
