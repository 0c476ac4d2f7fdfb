"""MusicBrainz' web service: a search for the recording, at most one request a second.

The allowance is per address and counts every request, refused ones too; above it all are
answered 503 until the rate has dropped.

Source: musicbrainz.org, "MusicBrainz API / Search", "MusicBrainz API / Rate Limiting".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from aiolimiter import AsyncLimiter

from scrapers.providers.base import (
    Track,
    TrackNotFound,
    read_object,
    refusal,
    unexpected_shape,
)

if TYPE_CHECKING:
    import httpx2

    from scrapers.providers.config import ProviderConfig

LABEL = "MusicBrainz"
LEAST_SCORE = 80
"""Search always finds something; below this score it is another recording."""

_LUCENE_SPECIAL = re.compile(r'([+\-&|!(){}\[\]^"~*?:\\/])')


class MusicBrainz:
    name: ClassVar[str] = "musicbrainz"

    def __init__(self, config: ProviderConfig, http: httpx2.AsyncClient) -> None:
        self._http = http
        self._url = f"{config.musicbrainz_url}/ws/2/recording"
        # One at a time, evenly spaced: a burst of n in a second would already be refused.
        self._pace = AsyncLimiter(1, 1.0 / config.musicbrainz_requests_per_s)

    def wants(self, track: Track) -> bool:
        return True

    async def enrich(self, track: Track) -> dict[str, Any]:
        query = f'recording:"{_escape(track.title)}" AND artist:"{_escape(track.artist)}"'
        async with self._pace:
            response = await self._http.get(
                self._url, params={"query": query, "fmt": "json", "limit": 1}
            )
        if not response.is_success:
            raise refusal(LABEL, response, _error_text(response))
        return _best_match(read_object(LABEL, response))


def _escape(text: str) -> str:
    return _LUCENE_SPECIAL.sub(r"\\\1", text)


def _error_text(response: httpx2.Response) -> str | None:
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return None


def _best_match(document: dict[str, Any]) -> dict[str, Any]:
    try:
        recordings = document["recordings"]
        if not recordings or int(recordings[0]["score"]) < LEAST_SCORE:
            raise TrackNotFound(LABEL)
        best = recordings[0]
        return {
            "id": best["id"],
            "title": best["title"],
            "artists": [credit["name"] for credit in best["artist-credit"]],
            "length_ms": best.get("length"),
            "first_release_date": best.get("first-release-date"),
            "isrcs": best.get("isrcs", []),
        }
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise unexpected_shape(LABEL, error) from error
