"""Stand-ins for the providers, on local ports.

They answer as the originals are documented to: routes, shapes, status codes, headers. When
they refuse, the reason is in the plan, or the caller really asked too often or with a key
that is not valid.
"""

from __future__ import annotations

from dlq.demo.providers.audio_analysis import AudioAnalysisStandIn
from dlq.demo.providers.lastfm import LastFMStandIn
from dlq.demo.providers.musicbrainz import MusicBrainzStandIn
from dlq.demo.providers.neighbour import Neighbour
from dlq.demo.providers.spotify import SpotifyStandIn

__all__ = [
    "AudioAnalysisStandIn",
    "LastFMStandIn",
    "MusicBrainzStandIn",
    "Neighbour",
    "SpotifyStandIn",
]
