"""The demo from beginning to end: a crawl fails, the DLQ catches, a replay mends.

Every number that is told was asked of the manager, of Scrapy's stats or read from the
files that were written. `--exit` ends with 0 only if all of it adds up.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from dlq.demo import replaying
from dlq.demo.catalogue import read_tracks
from dlq.demo.ending import Ending
from dlq.demo.interrupts import Interrupts
from dlq.demo.manager_api import ManagerAPI
from dlq.demo.plan import LEAST_TRACKS, MUSICBRAINZ_REQUESTS_PER_S, make_plan
from dlq.demo.preflight import home_in, must_be_unused
from dlq.demo.processes import Child
from dlq.demo.stage import Stage
from dlq.demo.telling import Teller
from dlq.errors import InvalidInput
from dlq.settings import Settings

START_TIMEOUT_S = 30.0
SETTLE_TIMEOUT_S = 30.0
PER_TRACK_S = 2.0
POLL_S = 0.1
WATCH_S = 1.0
INTERRUPTED = 130
MENDED = ("spotify", "musicbrainz", "lastfm")


def run(
    *,
    exit_after: bool = False,
    tracks: int | None = None,
    port: int | None = None,
    folder: Path | None = None,
) -> int:
    """Tell the story on stdout.

    Args:
        exit_after: end after the story; else stay up until Ctrl-C.
        tracks: how many tracks of the catalogue to crawl; default all.
        port: of the manager; default DLQ_PORT, else 8024.
        folder: keeps ledger, spool, items and logs; default a temporary one, removed unless
            a broker took part.
    Returns: 0 if the story came out as told, 1 if not, 130 if Ctrl-C came before its end.
    Raises:
        SettingsError: the port is taken, the broker's DLQ is in use, or this is not a checkout.
        InvalidInput: too few tracks, or the folder is not empty.
        DemoFailed: a process ended early, or something took too long.
    """
    if tracks is not None and tracks < LEAST_TRACKS:
        raise InvalidInput(f"--tracks: expected at least {LEAST_TRACKS}, got {tracks}")
    plan = make_plan(read_tracks(tracks))
    settings = Settings.load(port=port)
    has_broker = settings.amqp_url is not None
    if has_broker:
        must_be_unused(settings)
    try:
        with (
            Interrupts() as interrupts,
            # A broker may bring somebody else's failures too: a ledger that took them is kept.
            home_in(folder, keep=has_broker) as home,
            Stage(
                plan, interrupts, folder=home, port=settings.port, has_broker=has_broker
            ) as stage,
        ):
            return _tell(Teller(), stage, stay=not exit_after)
    except KeyboardInterrupt:
        return INTERRUPTED


def _tell(teller: Teller, stage: Stage, *, stay: bool) -> int:
    with stage.api() as api:
        _opening(teller, stage, api)
        captured = _crawl(teller, stage, api)
        _recovery(teller, stage, api)
        worker = stage.start_worker()
        limit_s = START_TIMEOUT_S + PER_TRACK_S * len(stage.plan.tracks)
        replaying.replay(teller, api, (stage.manager, worker), limit_s)
        came_true = _ending(teller, stage, api, captured)
        if stay:
            _look_around(teller, stage, worker)
    return 0 if came_true else 1


def _opening(teller: Teller, stage: Stage, api: ManagerAPI) -> None:
    shape = "on your broker" if stage.has_broker else "no broker needed"
    teller.chapter(f"1. A manager starts on {stage.url} ({shape})")
    with teller.waiting("waiting for the manager"):
        _until(api.is_ready, START_TIMEOUT_S, stage.manager, "did not become ready")
    teller.say(f"Ready. Ledger, spool and logs are in {stage.folder}.")


def _crawl(teller: Teller, stage: Stage, api: ManagerAPI) -> int:
    """Returns: how many failures the crawl handed over."""
    plan = stage.plan
    teller.chapter(f"2. Scrapy crawls a page of {len(plan.tracks)} tracks and enriches each")
    teller.say("The providers are stand-ins on this machine, and they have a bad day:")
    teller.say("Spotify's rate limit is spent for a while; Last.fm's key is not valid;")
    teller.say("another program at our address uses up MusicBrainz' allowance (scaled from 1")
    teller.say(f"to {MUSICBRAINZ_REQUESTS_PER_S:.0f} requests a second, to spare your time);")
    teller.say("the audio analysis is down; some tracks are unknown, some answers broken.")
    crawl = stage.start_crawl()
    started = time.monotonic()
    limit_s = START_TIMEOUT_S + PER_TRACK_S * len(plan.tracks)
    with teller.waiting("crawling") as status:
        while crawl.is_running:
            if time.monotonic() - started > limit_s:
                raise crawl.failure(f"did not end within {limit_s:.0f} s")
            status.update(f"crawling: {_lines(stage.items)} of {len(plan.tracks)} tracks done")
            time.sleep(POLL_S)
    if crawl.exit_code != 0:
        raise crawl.failure(f"ended with exit code {crawl.exit_code}")
    stats = stage.crawl_stats()
    captured = _captured(stats)
    with teller.waiting("waiting for the ledger"):
        _until(
            lambda: api.count("all") >= captured,
            SETTLE_TIMEOUT_S,
            stage.manager,
            f"did not take in all {captured} dead letters",
        )
    _tell_crawl(teller, stage, api, time.monotonic() - started, captured)
    return captured


def _tell_crawl(
    teller: Teller, stage: Stage, api: ManagerAPI, took_s: float, captured: int
) -> None:
    items = [json.loads(line) for line in stage.items.read_text("utf-8").splitlines()]
    facts = sum(len(item["enrichment"]) for item in items)
    without = sum(not item["enrichment"] for item in items)
    teller.say("")
    teller.say(f"After {took_s:.0f} s the crawl is through.")
    teller.say(f"{len(items)} of {len(stage.plan.tracks)} items came out,")
    teller.say(f"with {facts} enrichments, {without} of them without any.")
    teller.say(f"{captured} failures were captured. What broke, by cause:")
    teller.causes(api.causes())


def _recovery(teller: Teller, stage: Stage, api: ManagerAPI) -> None:
    stage.recover()
    teller.chapter("3. The causes are mended")
    teller.say("Spotify's window has passed, the neighbour is gone, the audio analysis is up,")
    teller.say("and the worker starts with a Last.fm key that is valid. The manager has slowed")
    teller.say("down for who said 'too many'; it would find out by and by, but can be told:")
    for provider in MENDED:
        api.mend(provider)
        teller.command(f"dlq providers mended {provider}")


def _ending(teller: Teller, stage: Stage, api: ManagerAPI, captured: int) -> bool:
    causes = api.causes()
    ending = Ending(
        captured=captured,
        stored=api.count("all"),
        resolved=api.count("resolved"),
        remaining=api.count(),
        answers_on_disk=len(_resolved_on_disk(stage, api)),
        lost_causes=stage.plan.lost_causes,
        remaining_categories=frozenset(cause["category"] for cause in causes),
    )
    teller.chapter(f"5. {ending.resolved} of {captured} came right")
    teller.say(f"{ending.remaining} remain, and why:")
    teller.causes(causes)
    claims = ending.claims()
    for holds, text in claims:
        teller.verdict(holds, text)
    return all(holds for holds, _ in claims)


def _look_around(teller: Teller, stage: Stage, worker: Child) -> None:
    default = stage.url == Settings.model_fields["url"].default
    dlq = "dlq" if default else f"DLQ_URL={stage.url} dlq"
    teller.chapter("It all stays up. Look around, in another terminal:")
    for line in (
        f"curl '{stage.url}/dlq/messages?limit=5'",
        f"curl {stage.url}/dlq/stats",
        f"curl {stage.url}/dlq/errors/grouped",
        f"curl {stage.url}/metrics",
        f"{dlq} list",
        f"{dlq} groups",
        f"{dlq} jobs",
        f"{dlq} providers",
    ):
        teller.command(line)
    teller.say("Ctrl-C ends everything.")
    with suppress(KeyboardInterrupt):
        while True:
            stage.manager.must_run()
            worker.must_run()
            time.sleep(WATCH_S)


# --- numbers -----------------------------------------------------------------------------


def _captured(stats: dict[str, Any]) -> int:
    """Failures that the crawl's client confirmed or keeps in its spool."""
    return int(stats.get("dlq/confirmed", 0)) + int(stats.get("dlq/spooled", 0))


def _resolved_on_disk(stage: Stage, api: ManagerAPI) -> set[str]:
    """The resolved dead letters whose answer the worker has written."""
    if not stage.enriched.exists():
        return set()
    lines = stage.enriched.read_text("utf-8").splitlines()
    written = {json.loads(line)["message_id"] for line in lines}
    return written & {message["message_id"] for message in api.messages("resolved")}


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


# --- surroundings ------------------------------------------------------------------------


def _until(condition: Callable[[], bool], timeout_s: float, child: Child, failure: str) -> None:
    """Raises: DemoFailed: the child ended, or the condition did not hold in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        child.must_run()
        if time.monotonic() > deadline:
            raise child.failure(f"{failure} within {timeout_s:.0f} s")
        time.sleep(POLL_S)
