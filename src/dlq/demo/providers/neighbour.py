"""Another program behind our address, which uses up MusicBrainz' allowance for a while."""

from __future__ import annotations

import threading
import time

import httpx2

from dlq.demo.providers.musicbrainz import MusicBrainzStandIn

USER_AGENT = "Neighbour/1.0 ( somebody@example.org )"
PAUSE_S = 0.02
LONGEST_S = 60.0


class Neighbour:
    """Joins once the stand-in was asked `joins_at` times; leaves once it has refused
    `leaves_at_refused` of our requests, when stopped, or after a minute."""

    def __init__(
        self,
        musicbrainz: MusicBrainzStandIn,
        *,
        requests_per_s: float,
        joins_at: int,
        leaves_at_refused: int,
    ) -> None:
        self._musicbrainz = musicbrainz
        self._interval_s = 1.0 / requests_per_s
        self._joins_at = joins_at
        self._leaves_at_refused = leaves_at_refused
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="neighbour", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while self._musicbrainz.asked < self._joins_at:
            if self._stopping.wait(PAUSE_S):
                return
        leaves_at = time.monotonic() + LONGEST_S
        url = f"{self._musicbrainz.url}/ws/2/recording"
        with httpx2.Client(headers={"User-Agent": USER_AGENT}, timeout=5.0) as http:
            while self._musicbrainz.refused < self._leaves_at_refused:
                http.get(url, params={"query": "*", "fmt": "json"})
                if self._stopping.wait(self._interval_s) or time.monotonic() > leaves_at:
                    return
