"""Counts and groups."""

from __future__ import annotations

from pydantic import BaseModel, Field

from dlq.circuit import CircuitState
from dlq.ledger.cause_book import ErrorTypeGroup
from dlq.manager.api.schemas.bounds import example
from dlq.manager.outlook import Outlook
from dlq.message import UtcDatetime


class RetentionView(BaseModel):
    """What will be lost next, and what can be done; as of the last minute."""

    days_left_by_age: float | None = Field(
        description="Until the oldest dead letter has been in the DLQ for too long."
    )
    days_left_by_length: float | None = Field(
        description="Until the broker's main queue is full, at the rate at which it grows."
    )
    next_loss_at: UtcDatetime | None
    at_risk_count: int = Field(description="Lost by age within DLQ_RETENTION_WARN_DAYS.")
    warnings: list[str]

    @classmethod
    def of(cls, outlook: Outlook | None) -> RetentionView | None:
        return None if outlook is None else cls.model_validate(outlook, from_attributes=True)


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
    retention: RetentionView | None = Field(
        None, description="null: not known yet, or not just now."
    )


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
    def of(cls, group: ErrorTypeGroup) -> ErrorGroup:
        return cls.model_validate(group, from_attributes=True)
