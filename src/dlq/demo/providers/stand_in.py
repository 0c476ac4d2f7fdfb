"""What the stand-ins share: the tracks they know, and a count of what they answered."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable

from dlq.demo.catalogue import CatalogueTrack, lookup_key
from dlq.demo.local_server import Answer, LocalServer, Request, json_answer
from dlq.demo.plan import Keys


class StandIn(LocalServer):
    """`statuses` counts answers by HTTP status; for reading while others write."""

    def __init__(self, tracks: Iterable[CatalogueTrack], unknown: Keys = frozenset()) -> None:
        super().__init__()
        self._known = {track.key: track for track in tracks if track.key not in unknown}
        self._lock = threading.Lock()
        self.statuses: Counter[int] = Counter()

    def answer(self, request: Request) -> Answer:
        answer = self.reply(request)
        with self._lock:
            self.statuses[answer.status] += 1
        return answer

    @abstractmethod
    def reply(self, request: Request) -> Answer: ...

    def find(self, artist: str, title: str) -> CatalogueTrack | None:
        return self._known.get(lookup_key(artist, title))


def no_route() -> Answer:
    return json_answer(404, {"error": "Not found"})
