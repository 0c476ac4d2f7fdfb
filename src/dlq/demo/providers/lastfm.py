"""Last.fm's stand-in: track.getInfo, errors as numbers inside a 200 or a 4xx.

Source: last.fm/api, "track.getInfo", "Error Codes".
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote_plus

from dlq.demo.catalogue import CatalogueTrack
from dlq.demo.local_server import Answer, Request, json_answer
from dlq.demo.plan import Keys
from dlq.demo.providers.stand_in import StandIn, no_route


class LastFMStandIn(StandIn):
    def __init__(
        self, tracks: Iterable[CatalogueTrack], *, api_key: str, unknown: Keys = frozenset()
    ) -> None:
        super().__init__(tracks, unknown)
        self._api_key = api_key

    def reply(self, request: Request) -> Answer:
        if (request.method, request.path.rstrip("/")) != ("GET", "/2.0"):
            return no_route()
        query = request.query
        if not secrets.compare_digest(query.get("api_key", "").encode(), self._api_key.encode()):
            message = "Invalid API key - You must be granted a valid API key by last.fm"
            return json_answer(403, {"error": 10, "message": message})
        if query.get("method", "").lower() != "track.getinfo" or query.get("format") != "json":
            message = "Invalid Method - No method with that name in this package"
            return json_answer(400, {"error": 3, "message": message})
        track = self.find(query.get("artist", ""), query.get("track", ""))
        if track is None:
            return json_answer(200, {"error": 6, "message": "Track not found", "links": []})
        return json_answer(200, {"track": _track(track)})


def _track(track: CatalogueTrack) -> dict[str, Any]:
    artist_url = f"https://www.last.fm/music/{quote_plus(track.artist)}"
    tag = track.genre.lower()
    return {
        "name": track.title,
        "url": f"{artist_url}/_/{quote_plus(track.title)}",
        "duration": str(track.figure(150_000, 420_000)),
        "streamable": {"#text": "0", "fulltrack": "0"},
        "listeners": str(track.figure(1_000, 900_000)),
        "playcount": str(track.figure(5_000, 9_000_000)),
        "artist": {"name": track.artist, "url": artist_url},
        "toptags": {"tag": [{"name": tag, "url": f"https://www.last.fm/tag/{quote_plus(tag)}"}]},
    }
