"""Last.fm: track.getInfo, whose errors are numbers inside a 200 or a 4xx.

Source: last.fm/api, "track.getInfo", "Error Codes".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from scrapers.providers.base import (
    ProviderError,
    Track,
    TrackNotFound,
    read_object,
    refusal,
    unexpected_shape,
)

if TYPE_CHECKING:
    import httpx2

    from scrapers.providers.config import ProviderConfig

LABEL = "Last.fm"
INVALID_PARAMETERS = 6
"""The number under which track.getInfo says "Track not found"."""


class LastFMError(ProviderError):
    """One of Last.fm's numbered errors; `code` is the number."""

    def __init__(self, code: int, message: str, response: httpx2.Response) -> None:
        # A 200 around an error says nothing: only a real status is worth carrying.
        carried = None if response.is_success else response
        super().__init__(f"{LABEL} error {code}: {message}", response=carried)
        self.code = code


class LastFM:
    name: ClassVar[str] = "lastfm"

    def __init__(self, config: ProviderConfig, http: httpx2.AsyncClient) -> None:
        self._http = http
        self._url = f"{config.lastfm_url}/2.0/"
        self._api_key = config.lastfm_api_key

    def wants(self, track: Track) -> bool:
        return True

    async def enrich(self, track: Track) -> dict[str, Any]:
        response = await self._http.get(
            self._url,
            params={
                "method": "track.getInfo",
                "artist": track.artist,
                "track": track.title,
                "autocorrect": 1,
                "api_key": self._api_key,
                "format": "json",
            },
        )
        try:
            document = read_object(LABEL, response)
        except ProviderError:
            if response.is_success:
                raise
            raise refusal(LABEL, response) from None  # a gateway's page, not Last.fm's JSON
        if "error" in document:
            raise _numbered_error(document, response)
        if not response.is_success:
            raise refusal(LABEL, response)
        return _facts(document)


def _numbered_error(document: dict[str, Any], response: httpx2.Response) -> ProviderError:
    message = str(document.get("message", ""))
    try:
        code = int(document["error"])
    except (TypeError, ValueError) as error:
        return unexpected_shape(LABEL, error)
    if code == INVALID_PARAMETERS and "not found" in message.lower():
        return TrackNotFound(LABEL)
    return LastFMError(code, message, response)


def _facts(document: dict[str, Any]) -> dict[str, Any]:
    try:
        track = document["track"]
        return {
            "url": track["url"],
            "mbid": track.get("mbid"),
            "listeners": int(track["listeners"]),
            "playcount": int(track["playcount"]),
            "tags": [tag["name"] for tag in track.get("toptags", {}).get("tag", [])],
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise unexpected_shape(LABEL, error) from error
