"""What goes wrong in the demo, and for which tracks: decided beforehand, the same each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlq.demo.catalogue import CatalogueTrack
from dlq.pace import parse_limits
from dlq.settings import DEFAULT_PROVIDER_LIMITS

Keys = frozenset[tuple[str, str]]

SCALE = 16.0
"""MusicBrainz allows one request a second. Sixteen here, and of the other providers sixteen times
what the manager takes them to allow, so that the demo takes a minute."""
MUSICBRAINZ_REQUESTS_PER_S = 1.0 * SCALE

LEAST_TRACKS = 10
"""With fewer, not every kind of trouble finds a track."""


@dataclass(frozen=True, slots=True)
class Plan:
    tracks: tuple[CatalogueTrack, ...]
    spotify_refuses_from: int  # number of the first search answered 429
    spotify_refuses_until: int
    neighbour_from: int  # MusicBrainz request at which another client of our address joins
    neighbour_until_refused: int  # our refused requests after which it leaves
    unknown_to_spotify: Keys
    unknown_to_musicbrainz: Keys
    unknown_to_lastfm: Keys
    garbled_by_musicbrainz: Keys  # for good: its answer for these is broken JSON
    with_preview: Keys  # only these go to the audio analysis

    @property
    def lost_causes(self) -> int:
        """Track and provider pairs that no replay can help."""
        return sum(
            len(keys)
            for keys in (
                self.unknown_to_spotify,
                self.unknown_to_musicbrainz,
                self.unknown_to_lastfm,
                self.garbled_by_musicbrainz,
            )
        )


def make_plan(tracks: Sequence[CatalogueTrack]) -> Plan:
    """Spread the troubles over the tracks, in shares that hold for few and for many."""
    count = len(tracks)
    return Plan(
        tracks=tuple(tracks),
        spotify_refuses_from=count // 5,
        spotify_refuses_until=count // 5 + 3 * (count * 3 // 5),
        neighbour_from=count // 5,
        neighbour_until_refused=max(count // 2, 24),
        unknown_to_spotify=_every(tracks, 25, 1),
        unknown_to_musicbrainz=_every(tracks, 20, 5),
        unknown_to_lastfm=_every(tracks, 30, 7),
        garbled_by_musicbrainz=_every(tracks, 30, 2),
        with_preview=_every(tracks, 6, 0),
    )


def scaled_limits() -> str:
    """DLQ_PROVIDER_LIMITS of the demo's manager."""
    limits = parse_limits(DEFAULT_PROVIDER_LIMITS)
    return ",".join(
        f"{name}={limit.rate_per_s * SCALE:g}/s:{limit.burst}" for name, limit in limits.items()
    )


def _every(tracks: Sequence[CatalogueTrack], step: int, offset: int) -> Keys:
    return frozenset(track.key for track in tracks[offset::step])
