"""MusicBrainz' stand-in: search for a recording, and its allowance kept to the letter.

Every request of an address counts, refused ones too; above the allowance all are refused
until the rate has dropped.

Source: musicbrainz.org, "MusicBrainz API / Search", "MusicBrainz API / Rate Limiting".
"""

from __future__ import annotations

import re
import time
import uuid
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from dlq.demo.catalogue import CatalogueTrack
from dlq.demo.local_server import Answer, Request
from dlq.demo.plan import Keys
from dlq.demo.providers.musicbrainz_forms import Form, error_answer, form_of, recordings_answer
from dlq.demo.providers.stand_in import StandIn

WINDOW_S = 2.0
SLACK = 0.25
"""Share above the allowance that passes within a window: clocks and networks are not exact."""

REFUSAL = (
    "Your requests are exceeding the allowable rate limit. "
    "Please see https://wiki.musicbrainz.org/XMLWebService for more information."
)
NO_SUCH_FORM = (
    "Invalid format. Either set an Accept header (recognized mime types are application/json "
    "and application/xml), or include a fmt= argument in the query string (valid values for "
    "fmt are json and xml)."
)
_QUERY = re.compile(r'recording:"(?P<title>.*)" AND artist:"(?P<artist>.*)"', re.DOTALL)


class MusicBrainzStandIn(StandIn):
    """`asked` and `refused` count the requests of clients whose User-Agent is `counted`."""

    def __init__(
        self,
        tracks: Iterable[CatalogueTrack],
        *,
        requests_per_s: float,
        unknown: Keys = frozenset(),
        garbled: Keys = frozenset(),
        counted: str = "SongNodes/",
    ) -> None:
        super().__init__(tracks, unknown)
        self._most_in_window = requests_per_s * WINDOW_S * (1 + SLACK) + 1
        self._garbled = garbled
        self._recent: deque[float] = deque()
        self._counted = counted
        self.asked = 0
        self.refused = 0

    def reply(self, request: Request) -> Answer:
        agent = request.headers.get("user-agent", "")
        within = self._within_allowance(ours=agent.startswith(self._counted))
        form = form_of(request)
        if (request.method, request.path) != ("GET", "/ws/2/recording"):
            return error_answer(form, 404, "Not Found")
        if "(" not in agent:
            return error_answer(form, 403, "Please set a meaningful User-Agent.")
        if not within:
            return error_answer(form, 503, REFUSAL, {"Retry-After": "1"})
        if form is None:
            return error_answer(form, 406, NO_SUCH_FORM)
        query = _QUERY.fullmatch(request.query.get("query", ""))
        if query is None:
            return error_answer(form, 400, "Unable to parse search")
        return self._found(form, self.find(_unescape(query["artist"]), _unescape(query["title"])))

    def _within_allowance(self, *, ours: bool) -> bool:
        now = time.monotonic()
        with self._lock:
            self._recent.append(now)
            while self._recent[0] < now - WINDOW_S:
                self._recent.popleft()
            within = len(self._recent) <= self._most_in_window
            if ours:
                self.asked += 1
                self.refused += not within
            return within

    def _found(self, form: Form, track: CatalogueTrack | None) -> Answer:
        answer = recordings_answer(form, [] if track is None else [_recording(track)])
        if track is not None and track.key in self._garbled:
            # As from a proxy that lost the second half.
            return replace(answer, body=answer.body[: len(answer.body) // 2])
        return answer


def _recording(track: CatalogueTrack) -> dict[str, Any]:
    return {
        "id": str(uuid.UUID(track.digest[:32])),
        "score": 100,
        "title": track.title,
        "length": track.figure(150_000, 420_000),
        "artist-credit": [
            {
                "name": track.artist,
                "artist": {
                    "id": str(uuid.uuid5(uuid.NAMESPACE_DNS, track.key[0])),
                    "name": track.artist,
                    "sort-name": track.artist,
                },
            }
        ],
        "first-release-date": str(track.figure(2005, 2025)),
    }


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)
