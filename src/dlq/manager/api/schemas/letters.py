"""Dead letters, as they are listed, told and posted."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pydantic import BaseModel, Field

from dlq.decode import decode
from dlq.ledger.base import DeadLetter, Edit, HistoryEntry, Replay
from dlq.manager.api.schemas.bounds import example
from dlq.manager.api.schemas.edits import EditView
from dlq.message import DLQMessage, UtcDatetime, new_message_id, routing_key_for
from dlq.payload import as_object, representable
from dlq.states import Outcome, State


class DeadLetterView(DLQMessage):
    """A dead letter as it stands in the ledger."""

    state: State
    fingerprint: str = Field(description="Dead letters with the same one have one cause.")
    group: str = Field(description="The group that its cause is in: see /dlq/groups.")
    title: str = Field(description="The cause in one line.")
    reason: str = Field(description="What was found, in one line.")
    rule: str = Field(description="The rule that found the category.")
    form: str = Field(description="In which form it arrived.")
    replay_count: int = Field(description="Replays made so far.")
    ingested_at: UtcDatetime
    updated_at: UtcDatetime
    next_replay_at: UtcDatetime | None = None
    last_outcome: Outcome | None = Field(None, description="Of its newest replay.")
    plan: str | None = Field(
        None, description="What the retry policies decided: replay, wait, never, park."
    )
    plan_reason: str | None = None

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
    job_id: str | None = Field(description="The job that sent it.")
    rule: str | None = Field(description="The retry policy's rule that sent it.")
    category: str = Field(description="Of the failure that it answers.")
    edit_count: int = Field(description="Which edit of the payload was sent; 0: the original.")

    @classmethod
    def of(cls, replay: Replay) -> ReplayView:
        return cls.model_validate(replay, from_attributes=True)


class DeadLetterStory(DeadLetterView):
    """One dead letter with everything that happened to it."""

    history: list[HistoryView]
    replays: list[ReplayView]
    edit_count: int
    edits: list[EditView]
    original_payload: dict[str, Any] | None = Field(
        description="As it arrived, if `payload` was edited since."
    )

    @classmethod
    def tell(
        cls,
        letter: DeadLetter,
        history: list[HistoryEntry],
        replays: list[Replay],
        edits: list[Edit],
    ) -> DeadLetterStory:
        edited = letter.edited_wire is not None
        return cls(
            **_fields(letter),
            history=[HistoryView.of(entry) for entry in history],
            replays=[ReplayView.of(replay) for replay in replays],
            edit_count=letter.edit_count,
            edits=[EditView.of(edit) for edit in edits],
            original_payload=decode(letter.wire).message.payload if edited else None,
        )


def _fields(letter: DeadLetter) -> dict[str, Any]:
    # Not model_dump, which copies what the view, validating it, copies again.
    return vars(letter.message) | {
        "state": letter.state,
        "category": letter.category,
        "fingerprint": letter.fingerprint,
        "group": letter.group,
        "title": letter.title,
        "reason": letter.reason,
        "rule": letter.rule,
        "form": letter.form.value,
        "replay_count": letter.replay_count,
        "ingested_at": letter.ingested_at,
        "updated_at": letter.updated_at,
        "next_replay_at": letter.next_replay_at,
        "last_outcome": letter.last_outcome,
        "plan": letter.plan,
        "plan_reason": letter.plan_reason,
    }


class IncomingMessage(BaseModel):
    """A failure as a producer without AMQP posts it. `message_id` makes it idempotent."""

    model_config = example(
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
    fingerprint: str | None = Field(
        None,
        min_length=1,
        max_length=255,
        description="The producer's own name of the cause: all that give the same are one.",
    )
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
