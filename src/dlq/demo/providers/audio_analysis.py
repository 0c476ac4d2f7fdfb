"""The audio analysis: the platform's own service. Down until it is started."""

from __future__ import annotations

import json

from dlq.demo.local_server import Answer, Request, json_answer
from dlq.demo.providers.stand_in import StandIn, no_route

KEYS = tuple(f"{note} {mode}" for note in "CDEFGAB" for mode in ("major", "minor"))


class AudioAnalysisStandIn(StandIn):
    """Knows a track by the id in its preview's address: …/previews/<track_id>.mp3."""

    def reply(self, request: Request) -> Answer:
        if (request.method, request.path) != ("POST", "/v1/analyze"):
            return no_route()
        try:
            audio_url = json.loads(request.body)["audio_url"]
        except (ValueError, KeyError, TypeError):
            return json_answer(422, {"error": "Expected JSON with audio_url"})
        name = str(audio_url).rpartition("/")[2].removesuffix(".mp3")
        track = next((t for t in self._known.values() if t.track_id == name), None)
        if track is None:
            return json_answer(404, {"error": "No such preview"})
        return json_answer(
            200,
            {
                "bpm": track.figure(90, 175),
                "key": KEYS[track.figure(0, len(KEYS) - 1)],
                "energy": track.figure(0, 100) / 100,
            },
        )
