"""A million dead letters as a music pipeline leaves them, the same for the same seed.

They come in episodes of `EPISODE` each: quiet ones with a bit of everything, and bursts in which
most fail of one cause within minutes. Each episode can be made on its own, so that several
processes share the work. Messages go the product's own way: `encode` as a producer does, then
`arrival_of` as ingest does, which diagnoses each.
"""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import json
import random
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.code_paths import CODE_PATHS, RELEASES, CodePath, Traces
from benchmarks.music import artist, cumulated, title, track_facts
from dlq.ledger.base import Arrival
from dlq.manager.arrivals import arrival_of
from dlq.message import DLQMessage, WireMessage, encode, routing_key_for

EPISODE = 500
"""Also what ingest takes at once."""
SPAN = dt.timedelta(days=30)
BURST_SHARE, BURST_PURITY = 0.3, 0.8
MINIMAL_SHARE, LARGE_SHARE = 0.10, 0.03
ZLIB_EVERY = 10

_SPIDERS = ("mixesdb", "1001tracklists", "setlist_fm", "discogs", "reddit")


@dataclass(frozen=True, slots=True)
class Plan:
    """Which dead letters: `rows` of them, over the `SPAN` that ends at `until`."""

    rows: int
    until: dt.datetime
    seed: int = 1

    @property
    def episodes(self) -> int:
        return -(-self.rows // EPISODE)


@dataclass(frozen=True, slots=True)
class Episode:
    """Arrivals in order, and how many bytes they are without a ledger."""

    arrivals: list[Arrival]
    body_bytes: list[int]  # of each
    raw_bytes: list[int]  # of each: body, headers, properties and routing key as JSON
    zlib_sampled_bytes: int  # of the sample, packed one by one
    raw_sampled_bytes: int


def episode(plan: Plan, number: int) -> Episode:
    """One of `plan.episodes`, by its number from 0; the last may be shorter."""
    arrivals = [arrival_of(wire) for wire in wires(plan, number)]
    raw = [raw_of(arrival.wire) for arrival in arrivals]
    sample = raw[::ZLIB_EVERY]
    return Episode(
        arrivals=arrivals,
        body_bytes=[len(arrival.wire.body) for arrival in arrivals],
        raw_bytes=[len(one) for one in raw],
        zlib_sampled_bytes=sum(len(zlib.compress(one)) for one in sample),
        raw_sampled_bytes=sum(map(len, sample)),
    )


def wires(plan: Plan, number: int) -> Iterator[WireMessage]:
    """The messages of one episode, as producers send them."""
    rng = random.Random(f"{plan.seed} {number}")  # noqa: S311 - not a secret
    burst = _path(rng)
    is_burst = rng.random() < BURST_SHARE
    count = min(EPISODE, plan.rows - number * EPISODE)
    for failed_at in _instants(plan, number, count, rng):
        path = burst
        if not is_burst or rng.random() > BURST_PURITY:
            path = _path(rng)
        yield encode(_message(path, failed_at, plan, rng))


def _path(rng: random.Random) -> CodePath:
    return rng.choices(CODE_PATHS, cum_weights=cumulated(len(CODE_PATHS)))[0]


def raw_of(wire: WireMessage) -> bytes:
    """All of a message, as it would be stored by somebody who packs nothing."""
    envelope = [wire.routing_key, wire.headers, wire.properties]
    return wire.body + json.dumps(envelope, ensure_ascii=False).encode()


# --- when --------------------------------------------------------------------------------


def _instants(plan: Plan, number: int, count: int, rng: random.Random) -> list[dt.datetime]:
    starts = _starts(plan.episodes, plan.seed)
    begin = plan.until - SPAN * (1 - starts[number])
    length = SPAN * (starts[number + 1] - starts[number])
    return [begin + length * share for share in sorted(rng.random() for _ in range(count))]


@functools.cache
def _starts(episodes: int, seed: int) -> list[float]:
    """When each begins, as a share of the span; most of it is quiet, bursts are short."""
    rng = random.Random(f"{seed} starts")  # noqa: S311 - not a secret
    lengths = [rng.lognormvariate(0, 1.2) for _ in range(episodes)]
    ends = list(itertools.accumulate(lengths))
    return [0.0, *(end / ends[-1] for end in ends)]


# --- what --------------------------------------------------------------------------------


def _message(path: CodePath, failed_at: dt.datetime, plan: Plan, rng: random.Random) -> DLQMessage:
    release = _release(plan, failed_at)
    facts = track_facts(rng)
    failure = path.failure
    kind = rng.random()
    message = failure.message.format_map(facts)
    request_id = f"req-{rng.getrandbits(64):016x}"
    return DLQMessage(
        message_id=_uuid7(failed_at, rng),
        correlation_id=request_id,
        routing_key=routing_key_for(path.task.kind),
        timestamp=failed_at.replace(microsecond=0),
        failed_at=failed_at,
        retry_count=rng.choice((1, 3, 3, 3, 5)),
        error_type=path.task.kind,
        error_message=message,
        error_class=None if kind < MINIMAL_SHARE else failure.error_class,
        http_status=failure.http_status,
        retry_after_s=float(rng.randint(1, 60)) if failure.http_status == 429 else None,
        stack_trace=None if kind < MINIMAL_SHARE else _trace(path, release, message, facts),
        source_service=path.task.service,
        payload=_payload(path.task.kind, kind, facts, rng),
        metadata=_metadata(kind, release, request_id, rng),
    )


def _release(plan: Plan, failed_at: dt.datetime) -> str:
    passed = 1 - (plan.until - failed_at) / SPAN
    return RELEASES[min(int(passed * len(RELEASES)), len(RELEASES) - 1)]


def _trace(path: CodePath, release: str, message: str, facts: dict[str, Any]) -> str:
    cause = path.failure.cause
    traces = _traces(CODE_PATHS.index(path), release)
    return traces.text(message, cause.message.format_map(facts) if cause else "")


@functools.cache
def _traces(index: int, release: str) -> Traces:
    return Traces(CODE_PATHS[index], release)


def _payload(kind: str, size: float, facts: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    named = {"artist_name": facts["artist"], "track_name": facts["title"]}
    if size < MINIMAL_SHARE:
        return {"track_id": facts["track_id"], **named}
    payload = {**_OF_A_KIND[kind](facts, rng), **named}
    if size > 1 - LARGE_SHARE:
        payload["tracklist"] = [
            {
                "position": position,
                "artist_name": artist(rng),
                "track_name": title(rng),
                "cue": f"{position * 4 // 60:02d}:{position * 4 % 60:02d}:{rng.randint(0, 59):02d}",
            }
            for position in range(1, rng.randint(24, 40))
        ]
    return payload


_OF_A_KIND = {
    "spotify": lambda facts, rng: {
        "track_id": facts["track_id"],
        "album_name": facts["album"],
        "isrc": facts["isrc"],
        "duration_ms": facts["duration_ms"],
        "external_url": f"https://open.spotify.com/track/{facts['track_id']}",
        "popularity": rng.randint(0, 100),
    },
    "musicbrainz": lambda facts, rng: {
        "recording_mbid": facts["mbid"],
        "isrc": facts["isrc"],
        "release_title": facts["album"],
        "length_ms": facts["duration_ms"],
        "score": rng.randint(40, 100),
    },
    "lastfm": lambda facts, rng: {
        "mbid": facts["mbid"],
        "url": f"https://www.last.fm/music/{facts['query'].replace('%20', '+')}",
        "playcount": rng.randint(100, 5_000_000),
        "duration_s": facts["duration_ms"] / 1000,
        "wanted": ["tags", "listeners"],
    },
    "audio_analysis": lambda facts, rng: {
        "path": facts["file"],
        "track_id": facts["track_id"],
        "duration_s": facts["duration_ms"] / 1000,
        "sample_rate": rng.choice((44_100, 48_000)),
        "bitrate_kbps": rng.choice((128, 192, 256, 320)),
        "checksum": f"{rng.getrandbits(64):016x}",
    },
    "general": lambda facts, rng: {
        "url": facts["url"],
        "position": rng.randint(1, 60),
        "cue": facts["clock"],
        "label": facts["album"],
        "track_id": facts["track_id"],
    },
}


def _metadata(
    size: float, release: str, request_id: str, rng: random.Random
) -> dict[str, str | int]:
    if size < MINIMAL_SHARE:
        return {"spider": rng.choice(_SPIDERS)}
    return {
        "spider": rng.choice(_SPIDERS),
        "worker": f"enrich-{rng.randint(1, 12)}",
        "release": release,
        "request_id": request_id,
        "attempt_ms": rng.randint(20, 30_000),
    }


def _uuid7(at: dt.datetime, rng: random.Random) -> str:
    """As `new_message_id` makes them, from the given randomness."""
    milliseconds = int(at.timestamp() * 1000)
    version_and_variant = 7 << 76 | 2 << 62
    value = milliseconds << 80 | rng.getrandbits(12) << 64 | rng.getrandbits(62)
    return str(uuid.UUID(int=value | version_and_variant))
