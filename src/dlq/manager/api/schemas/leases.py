"""Leases: replays in the hands of workers without AMQP."""

from __future__ import annotations

import base64
from typing import Any

from pydantic import BaseModel, Field

from dlq.ledger.base import Lease
from dlq.manager.api.schemas.bounds import example
from dlq.manager.api.schemas.letters import IncomingMessage
from dlq.manager.handover import wire_of
from dlq.message import DLQMessage, UtcDatetime
from dlq.payload import representable


class LeaseRequest(BaseModel):
    model_config = example(worker="enrich-1", limit=10, ttl_s=60, error_types=[], wait_s=20)

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
        wire = wire_of(replay, letter)
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
