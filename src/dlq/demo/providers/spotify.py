"""Spotify's stand-in: token by client credentials, search, 429 for a stretch of searches.

Source: developer.spotify.com, "Client Credentials Flow", "Search for Item", "Rate Limits".
"""

from __future__ import annotations

import base64
import itertools
import re
import secrets
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs

from dlq.demo.catalogue import CatalogueTrack
from dlq.demo.local_server import Answer, Request, json_answer
from dlq.demo.plan import Keys
from dlq.demo.providers.stand_in import StandIn, no_route

TOKEN_LIFETIME_S = 3600
RETRY_AFTER_S = 1
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_QUERY = re.compile(r'track:"(?P<title>[^"]*)" artist:"(?P<artist>[^"]*)"')


class SpotifyStandIn(StandIn):
    """Token endpoint (accounts.spotify.com) and API (api.spotify.com) on one port.

    Args:
        refuses: searches with these numbers (from 0) are answered 429.
    """

    def __init__(
        self,
        tracks: Iterable[CatalogueTrack],
        *,
        client_id: str,
        client_secret: str,
        unknown: Keys = frozenset(),
        refuses: range = range(0),
    ) -> None:
        super().__init__(tracks, unknown)
        pair = f"{client_id}:{client_secret}".encode()
        self._authorization = f"Basic {base64.b64encode(pair).decode()}"
        self._tokens: set[str] = set()
        self._refuses = refuses
        self._searches = itertools.count()

    def recover(self) -> None:
        """The rate limit's window has passed."""
        self._refuses = range(0)

    def revoke_tokens(self) -> None:
        """End every token before its time, as Spotify may."""
        self._tokens.clear()

    def reply(self, request: Request) -> Answer:
        if (request.method, request.path) == ("POST", "/api/token"):
            return self._issue_token(request)
        if (request.method, request.path) == ("GET", "/v1/search"):
            return self._search(request)
        return no_route()

    def _issue_token(self, request: Request) -> Answer:
        if request.headers.get("authorization") != self._authorization:
            return json_answer(
                400, {"error": "invalid_client", "error_description": "Invalid client"}
            )
        grant = parse_qs(request.body.decode("utf-8", "replace")).get("grant_type")
        if grant != ["client_credentials"]:
            return json_answer(400, {"error": "unsupported_grant_type"})
        token = secrets.token_urlsafe(48)
        self._tokens.add(token)
        return json_answer(
            200, {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_LIFETIME_S}
        )

    def _search(self, request: Request) -> Answer:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self._tokens:
            return _error(401, "Invalid access token")
        if next(self._searches) in self._refuses:
            return _error(429, "API rate limit exceeded", {"Retry-After": str(RETRY_AFTER_S)})
        query = _QUERY.fullmatch(request.query.get("q", ""))
        if query is None:
            return _error(400, "No search query")
        track = self.find(query["artist"], query["title"])
        return json_answer(200, {"tracks": _page(request, [] if track is None else [track])})


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Answer:
    return json_answer(status, {"error": {"status": status, "message": message}}, headers)


def _page(request: Request, tracks: list[CatalogueTrack]) -> dict[str, Any]:
    return {
        "href": f"https://api.spotify.com{request.path}",
        "limit": int(request.query.get("limit", "20")),
        "next": None,
        "offset": 0,
        "previous": None,
        "total": len(tracks),
        "items": [_track(track) for track in tracks],
    }


def _track(track: CatalogueTrack) -> dict[str, Any]:
    track_id = _spotify_id(track)
    return {
        "album": {"album_type": "single", "name": track.title, "total_tracks": 1},
        "artists": [{"name": track.artist, "type": "artist"}],
        "duration_ms": track.figure(150_000, 420_000),
        "explicit": False,
        "external_ids": {"isrc": f"QZDEM{track.figure(0, 9_999_999):07d}"},
        "external_urls": {"spotify": f"https://open.spotify.com/track/{track_id}"},
        "id": track_id,
        "name": track.title,
        "popularity": track.figure(0, 100),
        "preview_url": None,
        "type": "track",
        "uri": f"spotify:track:{track_id}",
    }


def _spotify_id(track: CatalogueTrack) -> str:
    """22 base-62 digits, as Spotify's ids are."""
    number, digits = int(track.digest, 16), []
    for _ in range(22):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(digits)
