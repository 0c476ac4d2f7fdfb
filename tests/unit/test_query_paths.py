"""Values inside a dead letter by their paths."""

from __future__ import annotations

import pytest

from dlq.errors import InvalidInput
from dlq.query import check_path, value_at
from tests.support.ledger import a_message

MESSAGE = a_message(
    "m-1",
    correlation_id=None,
    payload={"track_id": "t-1", "album": {"id": 7, "live": True}, "artists": ["a", {"n": 1.5}]},
    metadata={"spider": "mixesdb", "none": None},
)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("payload.track_id", "t-1"),
        ("payload.album.id", "7"),
        ("payload.album.live", "true"),
        ("payload.artists.0", "a"),
        ("payload.artists.1.n", "1.5"),
        ("metadata.spider", "mixesdb"),
        ("source_service", "api-enrichment-pipeline"),
        ("correlation_id", None),
        ("metadata.none", None),
        ("payload.album", None),
        ("payload.artists", None),
        ("payload.artists.2", None),
        ("payload.artists.-1", None),
        ("payload.artists.²", None),
        ("payload.track_id.x", None),
        ("payload.nothing.here", None),
    ],
)
def test_a_path_leads_to_a_value_or_to_none(path: str, value: str | None) -> None:
    assert value_at(MESSAGE, path) == value


@pytest.mark.parametrize(
    "path",
    ["", "payload", "payload.", "payload..x", ".payload", "track_id", "retry_count", "__class__",
     "payload.x" + ".y" * 200],
)  # fmt: skip
def test_a_path_that_can_never_be_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput, match=r"payload\.track_id"):
        check_path(path)
