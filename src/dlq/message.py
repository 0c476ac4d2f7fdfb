"""The dead letter, and its form on the wire; pure.

`DLQMessage` is what everyone speaks about. `encode` turns it into a `WireMessage` (body,
headers, AMQP properties); `replay_of` is a stored one on its way to a worker. Reading what
others have written is in `decode.py`.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

import uuid6
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
)

from dlq.deaths import without_deaths
from dlq.payload import iso_z

SCHEMA_VERSION = 1

ERROR_MESSAGE_HEADER_CHARS = 500
STACK_TRACE_HEADER_CHARS = 2000
METADATA_HEADER_BYTES = 16_384
REPLAY_ID_HEADER = "x-replay-id"
ORIGINAL_ROUTING_KEY_HEADER = "x-original-routing-key"
MAX_RETRIES_HEADER = "x-max-retries"
WORKER_HEADER = "x-replay-worker"
OWN_FINGERPRINT_CHARS = 255
SHORTSTR_BYTES = 255
"""AMQP's bound on message_id, correlation_id and routing_key."""


def utc(instant: dt.datetime) -> dt.datetime:
    """The same instant, aware and in UTC; a naive one is taken as UTC."""
    try:
        return (instant if instant.tzinfo else instant.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
    except OverflowError as error:  # the last hours of the year 9999, east or west of here
        raise ValueError("expected an instant within the years 1 to 9999 in UTC") from error


UtcDatetime = Annotated[
    dt.datetime,
    AfterValidator(utc),
    PlainSerializer(iso_z, return_type=str, when_used="json"),
]


def new_message_id() -> str:
    """A UUID version 7: unique without asking anyone, and ordered by time for the ledger."""
    return str(uuid6.uuid7())


class DLQMessage(BaseModel):
    """One failed operation with its story."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "message_id": "550e8400-e29b-41d4-a716-446655440000",
                    "correlation_id": "req-123456",
                    "routing_key": "spotify.enrichment.failed",
                    "timestamp": "2025-10-10T12:30:45Z",
                    "retry_count": 3,
                    "error_type": "spotify",
                    "error_message": "Rate limit exceeded: 429 Too Many Requests",
                    "stack_trace": "Traceback (most recent call last):\n  ...",
                    "source_service": "api-enrichment-pipeline",
                    "payload": {"track_id": "abc123", "artist_name": "Deadmau5"},
                    "metadata": {"spider": "mixesdb"},
                }
            ]
        },
    )

    message_id: str = Field(min_length=1, max_length=SHORTSTR_BYTES)
    correlation_id: str | None = None
    routing_key: str = Field(min_length=1, max_length=SHORTSTR_BYTES)
    timestamp: UtcDatetime = Field(description="When it failed, to the second.")
    retry_count: int = Field(ge=0, le=2**31 - 1, description="Tries before it was given up.")
    error_type: str = Field(min_length=1, max_length=64, description="The provider that failed.")
    error_message: str
    stack_trace: str | None = None
    source_service: str
    payload: dict[str, Any]
    metadata: dict[str, Any] = Field(default_factory=dict)

    schema_version: int = SCHEMA_VERSION
    error_class: str | None = Field(None, description="Qualified class of the exception.")
    failed_at: UtcDatetime | None = Field(None, description="When it failed, to the microsecond.")
    category: str | None = Field(None, description="What kind of failure the producer saw.")
    http_status: int | None = None
    retry_after_s: float | None = None
    fingerprint: str | None = Field(
        None,
        max_length=OWN_FINGERPRINT_CHARS,
        description="The identity of its cause, where the producer knows it better.",
    )


class Form(StrEnum):
    """In which form a message arrived."""

    CURRENT = "current"  # ours
    LEGACY = "legacy"  # the older producers': item, error_context, metadata
    DEAD_LETTERED = "dead_lettered"  # RabbitMQ's own, with x-death
    MALFORMED = "malformed"  # nothing of the above; the bytes are kept


@dataclass(frozen=True, slots=True)
class WireMessage:
    """A message as a broker carries it. `properties` are AMQP's basic properties by name,
    less `headers`: message_id, correlation_id, timestamp (int, seconds), content_type …"""

    body: bytes
    routing_key: str
    headers: dict[str, Any] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)


# --- names -------------------------------------------------------------------------------


def error_type_word(text: str) -> str:
    """Make `text` one word of a routing key: lower case, no dots, at most 64 characters."""
    word = re.sub(r"[^a-z0-9_-]+", "_", text.strip().lower()).strip("_")[:64]
    return word or "general"


def routing_key_for(error_type: str) -> str:
    return f"{error_type_word(error_type)}.enrichment.failed"


def shorten_utf8(text: str, max_bytes: int) -> str:
    """The longest start of `text` that fits in `max_bytes` of UTF-8."""
    encoded = text.encode("utf-8")
    return text if len(encoded) <= max_bytes else encoded[:max_bytes].decode("utf-8", "ignore")


# --- encode ------------------------------------------------------------------------------


def encode(
    message: DLQMessage, *, replay_id: str | None = None, worker: str | None = None
) -> WireMessage:
    """Our wire form: JSON body, the specified headers, persistent AMQP properties.

    With `replay_id` it says that this replay of the same message has failed again, in the
    hands of `worker`.

    Headers are bounded in characters as specified and, together, well under 64 KiB: a
    header table over the broker's frame size would cost the whole connection. The full
    texts travel in the body.
    """
    properties: dict[str, Any] = {
        "message_id": message.message_id,
        "timestamp": int(message.timestamp.timestamp()),
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "delivery_mode": 2,
    }
    if message.correlation_id:
        properties["correlation_id"] = shorten_utf8(message.correlation_id, SHORTSTR_BYTES)
    return WireMessage(
        body=message.model_dump_json(exclude_none=False).encode("utf-8"),
        routing_key=message.routing_key,
        headers=_headers(message) | _replay_headers(replay_id, worker),
        properties=properties,
    )


def replay_of(
    wire: WireMessage,
    *,
    routing_key: str,
    message_id: str,
    replay_id: str,
    number: int,
    max_retries: int | None,
    replayed_at: dt.datetime,
) -> WireMessage:
    """The original message as a replay sends it: same body, properties and headers, less the
    broker's accounts and expiration, plus the replay's own headers."""
    headers = without_deaths(wire.headers) | {
        "x-replayed-at": iso_z(replayed_at),
        REPLAY_ID_HEADER: replay_id,
        "x-replay-count": number,
        ORIGINAL_ROUTING_KEY_HEADER: wire.routing_key,
    }
    if max_retries is not None:
        headers[MAX_RETRIES_HEADER] = max_retries
    kept = {name: value for name, value in wire.properties.items() if name != "expiration"}
    # A message that came without an id must come back under the one the ledger gave it.
    return WireMessage(
        body=wire.body,
        routing_key=routing_key,
        headers=headers,
        properties=kept | {"message_id": message_id, "delivery_mode": 2},
    )


def _replay_headers(replay_id: str | None, worker: str | None) -> dict[str, Any]:
    if not replay_id:
        return {}
    named = {WORKER_HEADER: shorten_utf8(worker, SHORTSTR_BYTES)} if worker else {}
    return {REPLAY_ID_HEADER: replay_id, **named}


def _headers(message: DLQMessage) -> dict[str, Any]:
    return {
        "x-retry-count": message.retry_count,
        "x-error-type": message.error_type,
        "x-error-message": message.error_message[:ERROR_MESSAGE_HEADER_CHARS],
        "x-stack-trace": (message.stack_trace or "")[:STACK_TRACE_HEADER_CHARS],
        "x-source-service": shorten_utf8(message.source_service, SHORTSTR_BYTES),
        "x-metadata": _metadata_header(message.metadata),
        "x-failed-at": iso_z(message.failed_at or message.timestamp),
    }


def _metadata_header(metadata: Mapping[str, Any]) -> str:
    text = json.dumps(metadata, ensure_ascii=False)
    if len(text.encode("utf-8")) <= METADATA_HEADER_BYTES:
        return text
    # Still JSON, so that a reader of headers alone is not broken by it.
    keys = [shorten_utf8(key, 100) for key in list(metadata)[:50]]
    return json.dumps({"truncated": True, "keys": keys}, ensure_ascii=False)
