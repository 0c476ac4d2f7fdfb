"""Dead letters for tests, in the shape that producers post."""

from __future__ import annotations

from typing import Any

from dlq.message import new_message_id

SPOTIFY_429 = "Rate limit exceeded: 429 Too Many Requests"


def failure(error_type: str = "spotify", **fields: Any) -> dict[str, Any]:
    """One failure for `POST /dlq/messages`; `fields` win."""
    return {
        "message_id": new_message_id(),
        "error_type": error_type,
        "error_message": SPOTIFY_429,
        "source_service": "api-enrichment-pipeline",
        "retry_count": 3,
        "payload": {"track_id": "abc123", "artist_name": "Deadmau5", "track_name": "Strobe"},
        "metadata": {"spider": "mixesdb"},
        **fields,
    }
