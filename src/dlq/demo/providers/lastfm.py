"""Last.fm's stand-in: track.getInfo, errors as numbers inside a 200 or a 4xx.

XML, unless `format=json` is asked for. The two say the same: Last.fm defines its JSON by rules
that turn XML into it, and here they are followed backwards.

Source: last.fm/api, "track.getInfo", "Error Codes", "REST Requests".
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote_plus
from xml.etree.ElementTree import Element

from dlq.demo.catalogue import CatalogueTrack
from dlq.demo.local_server import Answer, Request, json_answer
from dlq.demo.plan import Keys
from dlq.demo.providers.stand_in import StandIn, no_route
from dlq.demo.providers.xml_answer import add, xml_answer

XML_TYPE = "text/xml; charset=utf-8"
FORMS = ("xml", "json")


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
        form = query.get("format", "xml")
        if not secrets.compare_digest(query.get("api_key", "").encode(), self._api_key.encode()):
            message = "Invalid API key - You must be granted a valid key by last.fm"
            return _failed(form, 403, 10, message)
        if form not in FORMS:
            message = "Invalid format - This service doesn't exist in that format"
            return _failed(form, 400, 5, message)
        if query.get("method", "").lower() != "track.getinfo":
            message = "Invalid Method - No method with that name in this package"
            return _failed(form, 400, 3, message)
        track = self.find(query.get("artist", ""), query.get("track", ""))
        if track is None:
            return _failed(form, 200, 6, "Track not found")
        return _ok(form, {"track": _track(track)})


def _ok(form: str, document: Mapping[str, Any]) -> Answer:
    if form == "json":
        return json_answer(200, document)
    root = Element("lfm", {"status": "ok"})
    _add_members(root, document)
    return xml_answer(200, root, XML_TYPE)


def _failed(form: str, status: int, number: int, message: str) -> Answer:
    if form == "json":
        return json_answer(status, {"error": number, "message": message})
    root = Element("lfm", {"status": "failed"})
    add(root, "error", message, {"code": str(number)})
    return xml_answer(status, root, XML_TYPE)


def _add_members(parent: Element, members: Mapping[str, Any]) -> None:
    """Last.fm's rules: members are children, lists are children of one name, and beside a
    "#text" the other members are attributes."""
    for name, value in members.items():
        for one in value if isinstance(value, list) else [value]:
            if not isinstance(one, Mapping):
                add(parent, name, one)
            elif "#text" in one:
                attributes = {key: text for key, text in one.items() if key != "#text"}
                add(parent, name, one["#text"], attributes)
            else:
                _add_members(add(parent, name), one)


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
