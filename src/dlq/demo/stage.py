"""Everything that runs during the demo: stand-ins, page, manager, crawl, worker.

The children find each other through environment variables alone, as in production. State
lives in one folder. With a broker in the environment the same story runs on it.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dlq.demo.interrupts import Interrupts
from dlq.demo.manager_api import ManagerAPI
from dlq.demo.plan import MUSICBRAINZ_REQUESTS_PER_S, Plan, scaled_limits
from dlq.demo.preflight import find_checkout, must_be_free
from dlq.demo.processes import Child
from dlq.demo.providers import (
    AudioAnalysisStandIn,
    LastFMStandIn,
    MusicBrainzStandIn,
    Neighbour,
    SpotifyStandIn,
)
from dlq.demo.site import MixPage

HANDLERS = "scrapers.replay:handlers"
NEIGHBOUR_REQUESTS_PER_S = 2.5 * MUSICBRAINZ_REQUESTS_PER_S
SPOTIFY_ID = "demo-client"
WORKER_THREADS = 4


class Stage:
    """Made, the stand-ins' ports are taken; entered, all but crawl and worker run."""

    def __init__(
        self, plan: Plan, interrupts: Interrupts, *, folder: Path, port: int, has_broker: bool
    ) -> None:
        self.plan = plan
        self.has_broker = has_broker
        self._interrupts = interrupts
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        self.items = folder / "items.jsonl"
        self.enriched = folder / "enriched.jsonl"
        self._checkout = find_checkout()
        must_be_free(port)
        self._spotify_secret, self.lastfm_key = secrets.token_hex(16), secrets.token_hex(16)
        self._stack = ExitStack()
        self._make_stand_ins(plan)
        self._environment = self._shared_environment(port)
        self.manager: Child

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.push(self.__exit__)
            for server in (self.spotify, self.musicbrainz, self.lastfm, self.page):
                server.start()
            self._stack.callback(self.neighbour.stop)
            self.manager = self._start("manager", [_program("dlq"), "serve"])
            stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._interrupts.ignore_from_now()
        self._stack.close()

    def api(self) -> ManagerAPI:
        return ManagerAPI(self.url)

    def start_crawl(self) -> Child:
        """The crawl, with a Last.fm key that is not valid."""
        self.neighbour.start()
        stats = self.folder / "crawl-stats.json"
        return self._start(
            "crawl",
            [
                sys.executable,
                "-m",
                "dlq.demo.crawl",
                self.page.page_url,
                str(self.items),
                str(stats),
            ],
            LASTFM_API_KEY="not-a-valid-key",
        )

    def crawl_stats(self) -> dict[str, Any]:
        """Scrapy's stats of the crawl that has ended."""
        text = (self.folder / "crawl-stats.json").read_text(encoding="utf-8")
        stats: dict[str, Any] = json.loads(text)
        return stats

    def recover(self) -> None:
        """All providers are well again."""
        self.spotify.recover()
        self.neighbour.stop()
        self.audio_analysis.start()

    def start_worker(self) -> Child:
        """The worker, with the key that is valid."""
        return self._start(
            "worker",
            [_program("dlq"), "worker", HANDLERS, "--concurrency", str(WORKER_THREADS)],
            LASTFM_API_KEY=self.lastfm_key,
            ENRICHMENT_OUTPUT=str(self.enriched),
        )

    # --- how it is put together ---

    def _make_stand_ins(self, plan: Plan) -> None:
        enter = self._stack.enter_context
        self.page = enter(MixPage(plan))
        self.spotify = enter(
            SpotifyStandIn(
                plan.tracks,
                client_id=SPOTIFY_ID,
                client_secret=self._spotify_secret,
                unknown=plan.unknown_to_spotify,
                refuses=range(plan.spotify_refuses_from, plan.spotify_refuses_until),
            )
        )
        self.musicbrainz = enter(
            MusicBrainzStandIn(
                plan.tracks,
                requests_per_s=MUSICBRAINZ_REQUESTS_PER_S,
                unknown=plan.unknown_to_musicbrainz,
                garbled=plan.garbled_by_musicbrainz,
            )
        )
        self.lastfm = enter(
            LastFMStandIn(plan.tracks, api_key=self.lastfm_key, unknown=plan.unknown_to_lastfm)
        )
        self.audio_analysis = enter(AudioAnalysisStandIn(plan.tracks))
        self.neighbour = Neighbour(
            self.musicbrainz,
            requests_per_s=NEIGHBOUR_REQUESTS_PER_S,
            joins_at=plan.neighbour_from,
            leaves_at_refused=plan.neighbour_until_refused,
        )

    def _shared_environment(self, port: int) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if _is_inherited(name)},
            "DLQ_HOST": "127.0.0.1",
            "DLQ_PORT": str(port),
            "DLQ_URL": self.url,
            "DLQ_LEDGER_URL": f"sqlite:///{self.folder / 'ledger.sqlite'}",
            "DLQ_SPOOL_DIR": str(self.folder / "spool"),
            "DLQ_TOKENS_FILE": str(self.folder / "tokens.json"),
            "DLQ_PROVIDER_LIMITS": scaled_limits(),
            # One story at a time: what replayed by itself would be missing in the job's counts.
            "DLQ_AUTO_RETRY": "false",
            "SPOTIFY_URL": self.spotify.url,
            "SPOTIFY_ACCOUNTS_URL": self.spotify.url,
            "SPOTIFY_CLIENT_ID": SPOTIFY_ID,
            "SPOTIFY_CLIENT_SECRET": self._spotify_secret,
            "MUSICBRAINZ_URL": self.musicbrainz.url,
            "MUSICBRAINZ_CONTACT": "demo@example.org",
            "MUSICBRAINZ_REQUESTS_PER_S": str(MUSICBRAINZ_REQUESTS_PER_S),
            "LASTFM_URL": self.lastfm.url,
            "AUDIO_ANALYSIS_URL": self.audio_analysis.url,
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            "PYTHONPATH": _python_path(self._checkout),
        }

    def _start(self, name: str, command: list[str], **more: str) -> Child:
        with self._interrupts.held():
            child = Child(
                name,
                command,
                environment={**self._environment, **more},
                log=self.folder / f"{name}.log",
            )
            self._stack.callback(child.stop)
        return child


def _is_inherited(variable: str) -> bool:
    """Of our own settings only where the broker is: the rest would change the story."""
    return not variable.startswith("DLQ_") or variable == "DLQ_BROKER_URL"


def _python_path(checkout: Path) -> str:
    return os.pathsep.join(filter(None, (str(checkout), os.environ.get("PYTHONPATH"))))


def _program(name: str) -> str:
    """A program of this environment."""
    return str(Path(sys.executable).with_name(name))
