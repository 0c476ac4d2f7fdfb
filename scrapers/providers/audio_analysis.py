"""The platform's own audio analysis: tempo, key and energy of a track's preview."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from scrapers.providers.base import Track, read_object, refusal, unexpected_shape

if TYPE_CHECKING:
    import httpx2

    from scrapers.providers.config import ProviderConfig

LABEL = "Audio analysis"


class AudioAnalysis:
    name: ClassVar[str] = "audio_analysis"

    def __init__(self, config: ProviderConfig, http: httpx2.AsyncClient) -> None:
        self._http = http
        self._url = f"{config.audio_analysis_url}/v1/analyze"

    def wants(self, track: Track) -> bool:
        return track.preview_url is not None

    async def enrich(self, track: Track) -> dict[str, Any]:
        response = await self._http.post(self._url, json={"audio_url": track.preview_url})
        if not response.is_success:
            raise refusal(LABEL, response)
        document = read_object(LABEL, response)
        try:
            return {
                "bpm": float(document["bpm"]),
                "key": str(document["key"]),
                "energy": float(document["energy"]),
            }
        except (KeyError, TypeError, ValueError) as error:
            raise unexpected_shape(LABEL, error) from error
