"""The dead letter, and its forms on the wire; pure.

`DLQMessage` is what everyone speaks about. `encode` turns it into a `WireMessage` (body,
headers, AMQP properties) in our form; `decode` reads that form, the older producers' form,
messages that RabbitMQ itself dead-lettered, and anything else, which is kept as
`malformed`. Decoding never raises: whatever arrived is somebody's failure and is kept.
"""

from __future__ import annotations

import base64
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
    ValidationError,
)

from dlq.deaths import is_dead_lettered, parse_deaths, without_deaths
from dlq.payload import as_object, clean_text, iso_z, representable

SCHEMA_VERSION = 1
PROVIDERS = ("spotify", "musicbrainz", "lastfm", "audio_analysis", "general")

ERROR_MESSAGE_HEADER_CHARS = 500
STACK_TRACE_HEADER_CHARS = 2000
METADATA_HEADER_BYTES = 16_384
REPLAY_ID_HEADER = "x-replay-id"
MAX_RETRIES_HEADER = "x-max-retries"
SHORTSTR_BYTES = 255
"""AMQP's bound on message_id, correlation_id and routing_key."""


def _utc(instant: dt.datetime) -> dt.datetime:
    return (instant if instant.tzinfo else instant.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)


UtcDatetime = Annotated[
    dt.datetime,
    AfterValidator(_utc),
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


@dataclass(frozen=True, slots=True)
class Decoded:
    """What `decode` made of a `WireMessage`.

    `had_id` tells whether the producer gave the message_id, or we made it up just now;
    `problem` says in one line why a malformed message could not be read.
    """

    message: DLQMessage
    form: Form
    had_id: bool
    problem: str | None = None


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


def encode(message: DLQMessage, *, replay_id: str | None = None) -> WireMessage:
    """Our wire form: JSON body, the specified headers, persistent AMQP properties.

    With `replay_id` it says that this replay of the same message has failed again.

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
        headers=_headers(message) | ({REPLAY_ID_HEADER: replay_id} if replay_id else {}),
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
    headers = without_deaths(wire_headers(wire)) | {
        "x-replayed-at": iso_z(replayed_at),
        REPLAY_ID_HEADER: replay_id,
        "x-replay-count": number,
        "x-original-routing-key": wire.routing_key,
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


# --- decode ------------------------------------------------------------------------------


def decode(wire: WireMessage, *, received_at: dt.datetime | None = None) -> Decoded:
    """Read a message in any form; never raises.

    Args:
        wire: as it came. Headers and properties may hold anything.
        received_at: the instant for messages that carry none; default now.
    """
    source = _Source(wire, received_at or dt.datetime.now(dt.UTC))
    document = source.document
    if isinstance(document, dict):
        if "error_type" in document and "payload" in document:
            decoded = _current(source, document)
            if decoded is not None:
                return decoded
        elif "item" in document and isinstance(document.get("error_context"), dict):
            return _legacy(source, document)
    if is_dead_lettered(source.headers):
        return _dead_lettered(source)
    return _malformed(source)


class _Source:
    """A wire message and what all forms read from it in the same way."""

    def __init__(self, wire: WireMessage, received_at: dt.datetime) -> None:
        self.wire = wire
        self.received_at = received_at
        self.headers = {name: representable(v) for name, v in wire_headers(wire).items()}
        self.problem: str | None = None
        self.document = self._parse_body()
        self.parsed = self.problem is None
        given = _string(wire.properties.get("message_id"))
        if not given and isinstance(self.document, dict):
            given = _string(self.document.get("message_id"))
        self.given_id = shorten_utf8(given, SHORTSTR_BYTES) if given else None
        self.message_id = self.given_id or new_message_id()

    def _parse_body(self) -> Any:
        try:
            return representable(json.loads(self.wire.body.decode("utf-8")))
        except UnicodeDecodeError as error:
            self.problem = f"the body is not UTF-8 (byte {error.start})"
        except json.JSONDecodeError as error:
            self.problem = f"the body is not JSON ({error.msg} at character {error.pos})"
        except (RecursionError, ValueError) as error:
            self.problem = f"the body cannot be read as JSON ({type(error).__name__})"
        return None

    def payload(self) -> dict[str, Any]:
        """The body as an object, whatever it was."""
        if self.parsed:
            return as_object(self.document)
        try:
            return {"text": clean_text(self.wire.body.decode("utf-8"))}
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(self.wire.body).decode("ascii")}

    def correlation_id(self, document: Mapping[str, Any]) -> str | None:
        return _string(document.get("correlation_id")) or _string(
            self.wire.properties.get("correlation_id")
        )

    def error_type(self, *candidates: Any) -> str:
        for candidate in (*candidates, self.headers.get("x-error-type")):
            if word := _string(candidate):
                return error_type_word(word)
        return _provider_of(self.wire.routing_key)

    def instant(self, *candidates: Any) -> dt.datetime:
        for candidate in (*candidates, self.headers.get("x-failed-at"), self._property_time()):
            if (parsed := _instant(candidate)) is not None:
                return parsed
        return self.received_at

    def _property_time(self) -> Any:
        return self.wire.properties.get("timestamp")


def _current(source: _Source, document: dict[str, Any]) -> Decoded | None:
    """Our form. Fields that lack are filled from headers and properties."""
    headers = source.headers
    failed_at = source.instant(document.get("failed_at"), document.get("timestamp"))
    filled = {
        **document,
        "message_id": source.message_id,
        "correlation_id": source.correlation_id(document),
        "routing_key": _string(document.get("routing_key")) or _routing_key(source),
        "timestamp": (_instant(document.get("timestamp")) or failed_at).replace(microsecond=0),
        "failed_at": failed_at,
        "retry_count": _count(document.get("retry_count"), headers.get("x-retry-count")),
        "error_type": source.error_type(document.get("error_type")),
        "error_message": _text(document.get("error_message"), headers.get("x-error-message")),
        "stack_trace": _string(document.get("stack_trace"))
        or _string(headers.get("x-stack-trace")),
        "source_service": _text(
            document.get("source_service"), headers.get("x-source-service"), "unknown"
        ),
        "payload": as_object(document.get("payload")),
        "metadata": as_object(document.get("metadata") or _header_metadata(headers)),
        "schema_version": _count(document.get("schema_version"), SCHEMA_VERSION),
        "error_class": _string(document.get("error_class")),
        "category": _string(document.get("category")),
        "http_status": _http_status(document.get("http_status")),
        "retry_after_s": _seconds(document.get("retry_after_s")),
    }
    try:
        message = DLQMessage.model_validate(filled)
    except ValidationError as error:
        source.problem = f"the dead letter is not as specified ({_first_problem(error)})"
        return None
    return Decoded(message, Form.CURRENT, source.given_id is not None)


def _legacy(source: _Source, document: dict[str, Any]) -> Decoded:
    """The older producers: body {item, error_context, metadata}, facts in the headers."""
    headers, context = source.headers, document["error_context"]
    failed_at = source.instant(context.get("failed_at"), context.get("timestamp"))
    metadata = document.get("metadata") or context.get("metadata") or _header_metadata(headers)
    message = DLQMessage(
        message_id=source.message_id,
        correlation_id=source.correlation_id({**document, **context}),
        routing_key=_routing_key(source),
        timestamp=failed_at.replace(microsecond=0),
        failed_at=failed_at,
        retry_count=_count(headers.get("x-retry-count"), context.get("retry_count")),
        error_type=source.error_type(headers.get("x-error-type"), context.get("error_type")),
        error_message=_text(
            context.get("error_message"),
            context.get("message"),
            context.get("error"),
            headers.get("x-error-message"),
        ),
        stack_trace=_string(context.get("stack_trace"))
        or _string(context.get("traceback"))
        or _string(headers.get("x-stack-trace")),
        source_service=_text(
            context.get("source_service"), headers.get("x-source-service"), "unknown"
        ),
        payload=as_object(document["item"]),
        metadata=as_object(metadata),
        error_class=_string(context.get("error_class")) or _string(context.get("exception_type")),
    )
    return Decoded(message, Form.LEGACY, source.given_id is not None)


def _dead_lettered(source: _Source) -> Decoded:
    """A message of another service that RabbitMQ rejected, expired or dropped for us."""
    deaths = parse_deaths(wire_headers(source.wire))
    last = deaths[0] if deaths else None
    failed_at = source.instant(last.died_at if last else None)
    message = DLQMessage(
        message_id=source.message_id,
        correlation_id=source.correlation_id({}),
        routing_key=_routing_key(source),
        timestamp=failed_at.replace(microsecond=0),
        failed_at=failed_at,
        retry_count=_count(source.headers.get("x-retry-count"), sum(d.count for d in deaths)),
        error_type=source.error_type(),
        error_message=_text(
            source.headers.get("x-error-message"),
            last.sentence() if last else None,
            "RabbitMQ dead-lettered it; its x-death header cannot be read",
        ),
        stack_trace=_string(source.headers.get("x-stack-trace")),
        source_service=_text(
            source.headers.get("x-source-service"), last.queue if last else None, "unknown"
        ),
        payload=source.payload(),
        metadata={
            **as_object(_header_metadata(source.headers)),
            "deaths": representable(deaths),
        },
    )
    return Decoded(message, Form.DEAD_LETTERED, source.given_id is not None)


def _malformed(source: _Source) -> Decoded:
    problem = source.problem or "the body is JSON but not a dead letter in any known form"
    failed_at = source.instant()
    message = DLQMessage(
        message_id=source.message_id,
        correlation_id=source.correlation_id({}),
        routing_key=_routing_key(source),
        timestamp=failed_at.replace(microsecond=0),
        failed_at=failed_at,
        retry_count=_count(source.headers.get("x-retry-count"), 0),
        error_type=source.error_type(),
        error_message=_text(
            source.headers.get("x-error-message"), f"Malformed dead letter: {problem}"
        ),
        stack_trace=_string(source.headers.get("x-stack-trace")),
        source_service=_text(source.headers.get("x-source-service"), "unknown"),
        payload=source.payload(),
        metadata=as_object(_header_metadata(source.headers)),
        category="malformed",
    )
    return Decoded(message, Form.MALFORMED, source.given_id is not None, problem)


# --- reading single values ---------------------------------------------------------------


def wire_headers(wire: WireMessage) -> dict[str, Any]:
    """Headers with names that are text; pika gives bytes for names that are not UTF-8."""
    return {_string(name) or str(name): value for name, value in wire.headers.items()}


def _string(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return clean_text(value) or None if isinstance(value, str) else None


def _text(*candidates: Any) -> str:
    for candidate in candidates:
        if (text := _string(candidate)) is not None:
            return text
    return ""


def _count(*candidates: Any) -> int:
    for candidate in candidates:
        if isinstance(candidate, bool):
            continue
        if isinstance(candidate, str) and candidate.isascii() and candidate.isdigit():
            candidate = int(candidate[:10])
        if isinstance(candidate, int | float) and 0 <= candidate < 2**31:
            return int(candidate)
    return 0


def _http_status(value: Any) -> int | None:
    return value if isinstance(value, int) and 100 <= value <= 599 else None


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 2**31 else None


def _instant(value: Any) -> dt.datetime | None:
    """An aware instant from ISO text, epoch seconds or a datetime; None if it is neither."""
    try:
        if isinstance(value, dt.datetime):
            return _utc(value)
        if isinstance(value, str):
            return _utc(dt.datetime.fromisoformat(value.strip()))
        if isinstance(value, int | float) and not isinstance(value, bool):
            return dt.datetime.fromtimestamp(value, dt.UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def _header_metadata(headers: Mapping[str, Any]) -> Any:
    value = headers.get("x-metadata")
    if isinstance(value, str):
        try:
            return representable(json.loads(value))
        except (ValueError, RecursionError):
            return {"x-metadata": value}
    return value or {}


def _routing_key(source: _Source) -> str:
    # AMQP cannot carry a longer one, but not everything came by AMQP.
    given = shorten_utf8(clean_text(source.wire.routing_key), SHORTSTR_BYTES)
    return given or routing_key_for(source.error_type())


def _provider_of(routing_key: str) -> str:
    word, _, rest = routing_key.partition(".")
    known = rest.startswith("enrichment.") and word not in ("expired", "")
    return error_type_word(word) if known else "general"


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(p) for p in first['loc'])}: {first['msg']}"
