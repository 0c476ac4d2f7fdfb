"""Counts and groups."""

from __future__ import annotations

from pydantic import BaseModel, Field

from dlq.circuit import CircuitState
from dlq.ledger.base import Group, OutcomeCounts
from dlq.manager.api.schemas.bounds import example
from dlq.manager.api.schemas.providers import OutcomesView
from dlq.message import UtcDatetime


class DLQStats(BaseModel):
    model_config = example(
        total_messages=157,
        by_error_type={"spotify": 89, "musicbrainz": 42, "lastfm": 18, "general": 8},
        by_service={"api-enrichment-pipeline": 157},
        oldest_message_age_seconds=86400,
        newest_message_age_seconds=120,
        queue_stats={
            "enrichment.dlq.queue": 157,
            "enrichment.dlq.retry": 0,
            "enrichment.dlq.analysis": 42,
        },
        by_state={"pending": 150, "parked": 7, "scheduled": 0, "replaying": 0, "resolved": 31},
        by_outcome={"succeeded": 31, "failed": 7, "returned": 0, "presumed": 0},
        circuits={"spotify": "closed"},
        jobs={"running": 0, "finished": 2},
    )

    total_messages: int = Field(description="In the DLQ: ledger and broker together.")
    by_error_type: dict[str, int]
    by_service: dict[str, int]
    oldest_message_age_seconds: int | None
    newest_message_age_seconds: int | None
    queue_stats: dict[str, int | None] = Field(description="null: the broker does not say.")
    by_state: dict[str, int] = Field(description="Every row of the ledger, by state.")
    by_outcome: dict[str, int] = Field(description="Replays that are closed.")
    circuits: dict[str, CircuitState] = Field(description="By provider.")
    jobs: dict[str, int] = Field(description="Replay jobs, by state.")


class ErrorGroup(BaseModel):
    model_config = example(
        error_type="spotify",
        count=89,
        sample_messages=["msg-id-1", "msg-id-2", "msg-id-3"],
        first_seen="2025-10-09T10:00:00Z",
        last_seen="2025-10-10T14:30:00Z",
    )

    error_type: str
    count: int
    sample_messages: list[str]
    first_seen: UtcDatetime
    last_seen: UtcDatetime

    @classmethod
    def of(cls, group: Group) -> ErrorGroup:
        return cls.model_validate(group, from_attributes=True)


class CauseGroup(ErrorGroup):
    """Dead letters with one cause."""

    fingerprint: str
    title: str
    category: str
    replays: OutcomesView = Field(description="What became of replays of this cause.")

    @classmethod
    def tell(cls, group: Group, replays: OutcomeCounts | None) -> CauseGroup:
        return cls(
            **ErrorGroup.of(group).model_dump(),
            fingerprint=group.key,
            title=group.title,
            category=group.category,
            replays=OutcomesView.of(replays),
        )
