"""The tracks of the demo: `tracks.csv`, read once; what the stand-ins know and the page lists."""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, slots=True)
class CatalogueTrack:
    artist: str
    title: str
    genre: str

    @property
    def track_id(self) -> str:
        return self.digest[:12]

    @property
    def digest(self) -> str:
        """40 hex digits that are always the same for this track: the stand-ins' ids and
        figures are cut from it."""
        return hashlib.sha1(repr(self.key).encode(), usedforsecurity=False).hexdigest()

    @property
    def key(self) -> tuple[str, str]:
        return lookup_key(self.artist, self.title)

    def figure(self, low: int, high: int) -> int:
        """A number in low..high that is always the same for this track."""
        return low + int(self.digest[:8], 16) % (high - low + 1)


def lookup_key(artist: str, title: str) -> tuple[str, str]:
    """Search engines ignore case and punctuation; so do the stand-ins."""
    return _words(artist), _words(title)


def read_tracks(limit: int | None = None) -> list[CatalogueTrack]:
    """The first `limit` tracks of the file, or all."""
    text = resources.files("dlq.demo").joinpath("tracks.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    tracks = [CatalogueTrack(row["artist"], row["title"], row["genre"]) for row in rows]
    return tracks[:limit]


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
