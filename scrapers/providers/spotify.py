"""Spotify's Web API: a client-credentials token, then search.

Source: developer.spotify.com, "Client Credentials Flow", "Search for Item", "Rate Limits".
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, ClassVar

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

LABEL = "Spotify"
RENEW_BEFORE_S = 30.0
"""A token is renewed this long before it ends, so that none ends on its way."""


class Spotify:
    name: ClassVar[str] = "spotify"

    def __init__(self, config: ProviderConfig, http: httpx2.AsyncClient) -> None:
        self._http = http
        self._search_url = f"{config.spotify_url}/v1/search"
        self._token_url = f"{config.spotify_accounts_url}/api/token"
        self._credentials = (config.spotify_client_id, config.spotify_client_secret)
        self._token = ""
        self._token_ends_at = 0.0  # monotonic
        self._token_lock = asyncio.Lock()

    def wants(self, track: Track) -> bool:
        return True

    async def enrich(self, track: Track) -> dict[str, Any]:
        response = await self._search(track, await self._valid_token())
        if response.status_code == 401:
            # Spotify may end a token early: once more with a new one, then it is the account.
            refused = response.request.headers["Authorization"].removeprefix("Bearer ")
            response = await self._search(track, await self._valid_token(refused=refused))
        if not response.is_success:
            raise refusal(LABEL, response, _error_text(response))
        return _best_match(read_object(LABEL, response))

    async def _search(self, track: Track, token: str) -> httpx2.Response:
        query = f'track:"{_plain(track.title)}" artist:"{_plain(track.artist)}"'
        return await self._http.get(
            self._search_url,
            params={"q": query, "type": "track", "limit": 1},
            headers={"Authorization": f"Bearer {token}"},
        )

    async def _valid_token(self, *, refused: str | None = None) -> str:
        async with self._token_lock:
            if self._token == refused or time.monotonic() >= self._token_ends_at:
                await self._renew_token()
            return self._token

    async def _renew_token(self) -> None:
        response = await self._http.post(
            self._token_url, data={"grant_type": "client_credentials"}, auth=self._credentials
        )
        if not response.is_success:
            raise refusal(f"{LABEL} (token)", response, _error_text(response))
        document = read_object(f"{LABEL} (token)", response)
        try:
            token, lifetime_s = str(document["access_token"]), float(document["expires_in"])
        except (KeyError, TypeError, ValueError) as error:
            raise unexpected_shape(f"{LABEL} (token)", error) from error
        self._token = token
        self._token_ends_at = time.monotonic() + lifetime_s - RENEW_BEFORE_S


def _plain(text: str) -> str:
    return text.replace('"', " ")


def _error_text(response: httpx2.Response) -> str | None:
    """The words in `{"error": {"message"}}` (API) or `{"error", "error_description"}` (token)."""
    try:
        document = response.json()
        error = document["error"]
    except (ValueError, KeyError, TypeError):
        return None
    if isinstance(error, dict):
        return str(error.get("message", ""))
    return ": ".join(str(part) for part in (error, document.get("error_description")) if part)


def _best_match(document: dict[str, Any]) -> dict[str, Any]:
    try:
        items = document["tracks"]["items"]
        if not items:
            raise TrackNotFound(LABEL)
        best = items[0]
        return {
            "id": best["id"],
            "uri": best["uri"],
            "name": best["name"],
            "artists": [artist["name"] for artist in best["artists"]],
            "album": best["album"]["name"],
            "isrc": best.get("external_ids", {}).get("isrc"),
            "duration_ms": best["duration_ms"],
            "popularity": best.get("popularity"),
        }
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise unexpected_shape(LABEL, error) from error
