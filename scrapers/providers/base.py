"""What all providers share: the track they are asked for, and how a failure is told.

A `ProviderError` carries the HTTP response, so that a classifier sees status and headers;
its text names provider, status and the provider's own words, never a URL: Last.fm's holds
the API key.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx2

MAX_DETAIL_CHARS = 300


@dataclass(frozen=True, slots=True)
class Track:
    artist: str
    title: str
    preview_url: str | None = None

    @classmethod
    def from_item(cls, item: Mapping[str, Any]) -> Track:
        """Read `artist_name` (or `artist`), `track_name` (or `title`) and `preview_url`.

        Raises:
            ValueError: artist or title lacks, or is not text.
        """
        artist = item.get("artist_name") or item.get("artist")
        title = item.get("track_name") or item.get("title")
        if not isinstance(artist, str) or not isinstance(title, str):
            raise ValueError(  # noqa: TRY004 - the item's content is wrong, not the call
                "Invalid item: expected text in artist_name and track_name, "
                f"got {artist!r} and {title!r}."
            )
        return cls(artist.strip(), title.strip(), item.get("preview_url") or None)


class Provider(Protocol):
    """One API. `name` is its error_type in the dead-letter queue."""

    name: ClassVar[str]

    def wants(self, track: Track) -> bool:
        """Whether there is anything to ask for this track."""
        ...

    async def enrich(self, track: Track) -> dict[str, Any]:
        """Ask once for what the provider knows of the track.

        Raises:
            ProviderError: refused, failed, unknown track, or an answer that can't be read.
            httpx2.TransportError: no answer.
        """
        ...


class ProviderError(Exception):
    """The provider did not give what was asked for."""

    def __init__(self, message: str, *, response: httpx2.Response | None = None) -> None:
        super().__init__(message)
        self.response = response

    @property
    def status_code(self) -> int | None:
        return None if self.response is None else self.response.status_code


class TrackNotFound(ProviderError):
    """The provider answered, and does not know the track.

    Which track is in the payload, not in the text: all such failures have one cause.
    """

    def __init__(self, provider: str) -> None:
        super().__init__(f"Track not found: {provider} has no match for artist and title")


class UnreadableAnswer(ProviderError, ValueError):
    """The provider said 200, and the body is not what its documentation says."""


def read_object(provider: str, response: httpx2.Response) -> dict[str, Any]:
    """The JSON object of a response of any status.

    Raises:
        UnreadableAnswer: the body is not JSON, or not an object.
    """
    try:
        document = response.json()
    except ValueError as error:
        what = f"not valid JSON ({_where(error)})"
        raise UnreadableAnswer(f"Cannot decode the answer of {provider}: {what}") from error
    if not isinstance(document, dict):
        raise UnreadableAnswer(
            f"Cannot decode the answer of {provider}: expected a JSON object, "
            f"got {type(document).__name__}"
        )
    return document


def unexpected_shape(provider: str, error: Exception) -> UnreadableAnswer:
    """A field that the documentation promises lacks, or holds something else."""
    return UnreadableAnswer(
        f"Cannot decode the answer of {provider}: not the documented shape (at {error})"
    )


def refusal(provider: str, response: httpx2.Response, detail: str | None = None) -> ProviderError:
    """The error for a status that is not a success, with the provider's own words."""
    words = (detail or response.text).strip()[:MAX_DETAIL_CHARS]
    status = f"{response.status_code} {response.reason_phrase}".strip()
    text = f"{provider} answered {status}"
    return ProviderError(f"{text}: {words}" if words else text, response=response)


def _where(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    return str(error)
