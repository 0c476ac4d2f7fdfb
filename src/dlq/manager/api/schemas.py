"""What goes over HTTP: request and response shapes, with examples for OpenAPI.

Names and shapes of the specified endpoints are kept to the letter; what we add stands
beside them.
"""

from __future__ import annotations

import base64
import datetime as dt
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from dlq.ledger.base import AuditEntry, DeadLetter, Group, HistoryEntry, Lease, Replay
from dlq.message import DLQMessage, UtcDatetime, new_message_id, replay_of, routing_key_for
from dlq.payload import as_object, representable
from dlq.states import Outcome, State

MAX_BATCH = 1000
EXAMPLE_ID = "550e8400-e29b-41d4-a716-446655440000"


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [fields]})


class Problem(BaseModel):
    """Every error: a text for people, and a code for programs that does not change."""

    model_config = _example(detail=f"There is no dead letter {EXAMPLE_ID}.", code="not_found")

    detail: str
    code: str


class Done(BaseModel):
    model_config = _example(success=True, message=f"Message {EXAMPLE_ID} replayed successfully")

    success: bool
    message: str


# --- dead letters ------------------------------------------------------------------------


class DeadLetterView(DLQMessage):
    """A dead letter as it stands in the ledger."""

    state: State
    fingerprint: str = Field(description="Dead letters with the same one have one cause.")
    title: str = Field(description="The cause in one line.")
    form: str = Field(description="In which form it arrived.")
    replay_count: int = Field(description="Replays made so far.")
    ingested_at: UtcDatetime
    updated_at: UtcDatetime
    next_replay_at: UtcDatetime | None = None

    @classmethod
    def of(cls, letter: DeadLetter) -> DeadLetterView:
        return cls(**_fields(letter))


class HistoryView(BaseModel):
    at: UtcDatetime
    actor: str
    from_state: State | None
    to_state: State | None
    reason: str
    replay_id: str | None

    @classmethod
    def of(cls, entry: HistoryEntry) -> HistoryView:
        return cls.model_validate(entry, from_attributes=True)


class ReplayView(BaseModel):
    replay_id: str
    number: int
    actor: str
    routing_key: str
    max_retries: int | None
    started_at: UtcDatetime
    confirmed_at: UtcDatetime | None
    outcome: Outcome | None
    outcome_at: UtcDatetime | None
    worker: str | None
    error: str | None

    @classmethod
    def of(cls, replay: Replay) -> ReplayView:
        return cls.model_validate(replay, from_attributes=True)


class DeadLetterStory(DeadLetterView):
    """One dead letter with everything that happened to it."""

    history: list[HistoryView]
    replays: list[ReplayView]

    @classmethod
    def tell(
        cls, letter: DeadLetter, history: list[HistoryEntry], replays: list[Replay]
    ) -> DeadLetterStory:
        return cls(
            **_fields(letter),
            history=[HistoryView.of(entry) for entry in history],
            replays=[ReplayView.of(replay) for replay in replays],
        )


def _fields(letter: DeadLetter) -> dict[str, Any]:
    return letter.message.model_dump() | {
        "state": letter.state,
        "category": letter.category,
        "fingerprint": letter.fingerprint,
        "title": letter.title,
        "form": letter.form.value,
        "replay_count": letter.replay_count,
        "ingested_at": letter.ingested_at,
        "updated_at": letter.updated_at,
        "next_replay_at": letter.next_replay_at,
    }


class IncomingMessage(BaseModel):
    """A failure as a producer without AMQP posts it. `message_id` makes it idempotent."""

    model_config = _example(
        routing_key="spotify.enrichment.failed",
        error_type="spotify",
        error_message="Rate limit exceeded: 429 Too Many Requests",
        source_service="api-enrichment-pipeline",
        retry_count=3,
        payload={"track_id": "abc123", "artist_name": "Deadmau5", "track_name": "Strobe"},
        metadata={"spider": "mixesdb"},
    )

    message_id: str | None = Field(None, min_length=1, max_length=255)
    correlation_id: str | None = Field(None, max_length=1024)
    routing_key: str | None = Field(None, min_length=1, max_length=255)
    timestamp: UtcDatetime | None = None
    retry_count: int = Field(0, ge=0, le=2**31 - 1)
    error_type: str = Field("general", min_length=1, max_length=64)
    error_message: str
    stack_trace: str | None = None
    source_service: str = Field(min_length=1, max_length=255)
    payload: dict[str, Any]
    metadata: dict[str, Any] = Field(default_factory=dict)
    error_class: str | None = Field(None, max_length=255)
    failed_at: UtcDatetime | None = None
    category: str | None = None
    http_status: int | None = Field(None, ge=100, le=599)
    retry_after_s: float | None = Field(None, ge=0)
    replay_id: str | None = Field(
        None, max_length=64, description="The replay that failed again, if it is one."
    )

    def message(self) -> DLQMessage:
        failed_at = self.failed_at or self.timestamp or dt.datetime.now(dt.UTC)
        given = self.model_dump(exclude={"replay_id", "payload", "metadata"})
        return DLQMessage.model_validate(
            representable({k: v for k, v in given.items() if v is not None})
            | {
                "message_id": self.message_id or new_message_id(),
                "routing_key": self.routing_key or routing_key_for(self.error_type),
                "timestamp": (self.timestamp or failed_at).replace(microsecond=0),
                "failed_at": failed_at,
                "payload": as_object(self.payload),
                "metadata": as_object(self.metadata),
            }
        )


class PublishResult(BaseModel):
    message_id: str
    disposition: str = Field(description="stored, duplicate, failed_again …")


class PublishResponse(BaseModel):
    accepted: int
    results: list[PublishResult]


# --- statistics --------------------------------------------------------------------------


class DLQStats(BaseModel):
    model_config = _example(
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
    )

    total_messages: int = Field(description="In the DLQ: ledger and broker together.")
    by_error_type: dict[str, int]
    by_service: dict[str, int]
    oldest_message_age_seconds: int | None
    newest_message_age_seconds: int | None
    queue_stats: dict[str, int | None] = Field(description="null: the broker does not say.")
    by_state: dict[str, int] = Field(description="Every row of the ledger, by state.")


class ErrorGroup(BaseModel):
    model_config = _example(
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

    @classmethod
    def of(cls, group: Group) -> CauseGroup:
        return cls(
            **ErrorGroup.of(group).model_dump(),
            fingerprint=group.key,
            title=group.title,
            category=group.category,
        )


# --- replay ------------------------------------------------------------------------------


class ReplayRequest(BaseModel):
    model_config = _example(message_ids=["msg-id-1", "msg-id-2", "msg-id-3"], max_retries=3)

    message_ids: list[str] = Field(min_length=1, max_length=MAX_BATCH)
    max_retries: int = Field(3, ge=1, le=100, description="Tries granted to the worker.")


class ReplayProblem(BaseModel):
    message_id: str
    code: str
    error: str


class ReplayResponse(BaseModel):
    model_config = _example(success=True, replayed_count=3, failed_count=0, errors=[])

    success: bool
    replayed_count: int
    failed_count: int
    errors: list[ReplayProblem]


# --- leases ------------------------------------------------------------------------------


class LeaseRequest(BaseModel):
    model_config = _example(worker="enrich-1", limit=10, ttl_s=60, error_types=[], wait_s=20)

    worker: str = Field(min_length=1, max_length=255)
    limit: int = Field(1, ge=1, le=100)
    ttl_s: float | None = Field(None, ge=1, le=3600)
    error_types: list[str] = Field(default_factory=list, max_length=100)
    wait_s: float = Field(0, ge=0, le=20, description="Wait so long for something to do.")


class LeaseView(BaseModel):
    """A replay in a worker's hands; body, headers and properties are what AMQP would carry."""

    lease_id: str
    expires_at: UtcDatetime
    replay_id: str
    replay_count: int
    max_retries: int | None
    message: DLQMessage
    body_base64: str
    routing_key: str
    headers: dict[str, Any]
    properties: dict[str, Any]

    @classmethod
    def of(cls, lease: Lease) -> LeaseView:
        replay, letter = lease.replay, lease.dead_letter
        wire = replay_of(
            letter.wire,
            routing_key=replay.routing_key,
            message_id=replay.message_id,
            replay_id=replay.replay_id,
            number=replay.number,
            max_retries=replay.max_retries,
            replayed_at=replay.started_at,
        )
        return cls(
            lease_id=lease.lease_id,
            expires_at=lease.expires_at,
            replay_id=replay.replay_id,
            replay_count=replay.number,
            max_retries=replay.max_retries,
            message=letter.message,
            body_base64=base64.b64encode(wire.body).decode("ascii"),
            routing_key=wire.routing_key,
            headers=representable(wire.headers),
            properties=representable(wire.properties),
        )


class LeaseResponse(BaseModel):
    leases: list[LeaseView]


class AckRequest(BaseModel):
    detail: str = Field("", max_length=2000)


class FailRequest(BaseModel):
    message: IncomingMessage = Field(description="The dead letter with its new error.")


class ExtendRequest(BaseModel):
    ttl_s: float = Field(60, ge=1, le=3600)


class Extended(BaseModel):
    lease_id: str
    expires_at: UtcDatetime


# --- health and audit --------------------------------------------------------------------


class MismatchView(BaseModel):
    queue: str
    problem: str
    policy: str


class BrokerHealth(BaseModel):
    shape: str
    problem: str | None = None
    mismatches: list[MismatchView] = Field(default_factory=list)


class LedgerHealth(BaseModel):
    ok: bool
    problem: str | None = None


class Health(BaseModel):
    model_config = _example(
        status="healthy",
        service="dlq-manager",
        timestamp="2025-10-10T14:30:00Z",
        rabbitmq_connected=True,
        broker={"shape": "rabbitmq", "problem": None, "mismatches": []},
        ledger={"ok": True, "problem": None},
        version="0.1.0",
    )

    status: str = Field(description="healthy, degraded (no broker) or unhealthy (no ledger).")
    service: str
    timestamp: UtcDatetime
    rabbitmq_connected: bool
    broker: BrokerHealth
    ledger: LedgerHealth
    version: str


class AuditView(BaseModel):
    at: UtcDatetime
    actor: str
    action: str
    target: str
    result: str
    detail: dict[str, Any]

    @classmethod
    def of(cls, entry: AuditEntry) -> AuditView:
        return cls.model_validate(entry, from_attributes=True)
