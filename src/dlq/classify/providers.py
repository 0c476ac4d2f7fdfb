"""Which provider failed, by hosts, modules, frames and words; pure.

The set of providers is open: a caller may name any other. These are the ones that are
recognised unasked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

GENERAL = "general"

DISPLAY_NAMES = {
    "spotify": "Spotify",
    "musicbrainz": "MusicBrainz",
    "lastfm": "Last.fm",
    "audio_analysis": "Audio analysis",
    GENERAL: "",
}

_DOMAINS = {
    "spotify.com": "spotify",
    "musicbrainz.org": "musicbrainz",
    "last.fm": "lastfm",
    "audioscrobbler.com": "lastfm",
}

_PACKAGES = {
    "spotipy": "spotify",
    "musicbrainzngs": "musicbrainz",
    "pylast": "lastfm",
    "librosa": "audio_analysis",
    "essentia": "audio_analysis",
    "soundfile": "audio_analysis",
    "madmom": "audio_analysis",
    "audioread": "audio_analysis",
}

_PARTS = (
    *("spoti", "musicbrainz", "last", "scrobbler", "audio", "librosa", "essentia", "madmom"),
    *("soundfile", "sndfile"),
)
"""One of these is in each of _WORDS."""

_QUERY = re.compile(r"\?\S+")
_WORDS = re.compile(
    r"(?<![a-z])(?:"
    r"(?P<spotify>spotify|spotipy)"
    r"|(?P<musicbrainz>musicbrainz)"
    r"|(?P<lastfm>last[ .]?fm|audioscrobbler|pylast)"
    r"|(?P<audio_analysis>audio[ _-]?analysis|librosa|essentia|madmom|(?:py)?soundfile"
    r"|libsndfile|audioread)"
    r")(?![a-z])"
)


def provider_of_url(url: str) -> str | None:
    """The provider behind a URL or a bare host name."""
    try:
        host = urlsplit(url if "://" in url else f"//{url}").hostname or ""
    except ValueError:
        return None
    for domain, provider in _DOMAINS.items():
        if host == domain or host.endswith(f".{domain}"):
            return provider
    return None


def provider_of_class(qualified_names: Iterable[str]) -> str | None:
    """The provider whose client library defines one of these classes."""
    for name in qualified_names:
        provider = _PACKAGES.get(name.partition(".")[0])
        if provider is not None:
            return provider
    return None


def provider_of_words(text: str) -> str | None:
    """The provider that `text` names first, not counting what a URL asks for."""
    if not text:
        return None
    text = text.lower()
    if not any(part in text for part in _PARTS):  # most name none: spare the search
        return None
    found = _WORDS.search(_QUERY.sub("", text))
    return found.lastgroup if found else None


def display_name(error_type: str) -> str:
    """As people write it; empty for `general`."""
    return DISPLAY_NAMES.get(error_type, error_type)
