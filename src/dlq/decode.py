"""Reads messages in any form; pure, never raises.

Ours, the older producers', those that RabbitMQ itself dead-lettered, and anything else, which
is kept as `malformed`: whatever arrived is somebody's failure.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from dlq.deaths import is_dead_lettered, parse_deaths
from dlq.loose import (
    count,
    http_status,
    identifier,
    instant,
    seconds,
    string,
    text,
    wire_headers,
)
from dlq.message import (
    ORIGINAL_ROUTING_KEY_HEADER,
    REPLAY_ID_HEADER,
    SCHEMA_VERSION,
    SHORTSTR_BYTES,
    DLQMessage,
    Form,
    WireMessage,
    error_type_word,
    new_message_id,
    routing_key_for,
    shorten_utf8,
)
from dlq.payload import clean_text, from_json, in_object, representable

GENERAL = "general"
UNKNOWN_SERVICE = "unknown"
MAX_UNZIPPED_BYTES = 64 * 1024 * 1024


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


def decode(wire: WireMessage, *, received_at: dt.datetime | None = None) -> Decoded:
    """Read a message in any form; never raises.

    Args:
        wire: as it came. Headers and properties may hold anything.
        received_at: the instant for messages that carry none; default now.
    """
    source = _Source(wire, received_at or dt.datetime.now(dt.UTC))
    document = source.document
    if isinstance(document, dict):
        if "payload" in document and ("error_type" in document or "error_message" in document):
            decoded = _current(source, document)
            if decoded is not None:
                return decoded
        elif "item" in document and source.tells_an_error(document):
            return _legacy(source, document)
    if is_dead_lettered(source.headers):
        return _dead_lettered(source)
    return _malformed(source)


def unpacked(wire: WireMessage) -> bytes:
    """The body, unzipped if it says so; a bomb is left as it is."""
    if wire.properties.get("content_encoding") != "gzip":
        return wire.body
    try:
        unzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        body = unzip.decompress(wire.body, MAX_UNZIPPED_BYTES)
    except zlib.error:
        return wire.body
    return body if unzip.eof else wire.body


class _Source:
    """A wire message and what all forms read from it in the same way."""

    def __init__(self, wire: WireMessage, received_at: dt.datetime) -> None:
        self.wire = wire
        self.received_at = received_at
        self.headers = {name: representable(v) for name, v in wire_headers(wire).items()}
        self.problem: str | None = None
        self.document = self._parse_body()
        self.parsed = self.problem is None
        in_body = self.document.get("message_id") if isinstance(self.document, dict) else None
        self.given_id = identifier(wire.properties.get("message_id")) or identifier(in_body)
        self.message_id = self.given_id or new_message_id()

    @property
    def routing_key(self) -> str:
        """Where it first came in: a replay on its way back names that in a header."""
        original = string(self.headers.get(ORIGINAL_ROUTING_KEY_HEADER))
        if original is None or REPLAY_ID_HEADER not in self.headers:
            original = clean_text(self.wire.routing_key)
        # AMQP cannot carry a longer one, but not everything came by AMQP.
        return shorten_utf8(original, SHORTSTR_BYTES)

    def _parse_body(self) -> Any:
        try:
            return from_json(unpacked(self.wire).decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            self.problem = f"the body is not UTF-8 (byte {error.start})"
        except json.JSONDecodeError as error:
            self.problem = f"the body is not JSON ({error.msg} at character {error.pos})"
        except (RecursionError, ValueError) as error:
            self.problem = f"the body cannot be read as JSON ({type(error).__name__})"
        return None

    def tells_an_error(self, document: Mapping[str, Any]) -> bool:
        """Whether the older producers' account of the error is there, in body or headers."""
        in_headers = "x-error-message" in self.headers or "x-error-type" in self.headers
        return bool(document.get("error_context")) or in_headers

    def payload(self) -> dict[str, Any]:
        """The body as an object, whatever it was."""
        if self.parsed:
            return in_object(self.document)
        try:
            return {"text": clean_text(self.wire.body.decode("utf-8"))}
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(self.wire.body).decode("ascii")}

    def correlation_id(self, document: Mapping[str, Any]) -> str | None:
        return string(document.get("correlation_id")) or string(
            self.wire.properties.get("correlation_id")
        )

    def error_type(self, *candidates: Any) -> str:
        for candidate in (*candidates, self.headers.get("x-error-type")):
            if word := string(candidate):
                return error_type_word(word)
        return _provider_of(self.routing_key) or GENERAL

    def instant(self, *candidates: Any) -> dt.datetime:
        for candidate in (*candidates, self.headers.get("x-failed-at"), self._property_time()):
            if (parsed := instant(candidate)) is not None:
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
        "routing_key": string(document.get("routing_key")) or _routing_key(source),
        "timestamp": (instant(document.get("timestamp")) or failed_at).replace(microsecond=0),
        "failed_at": failed_at,
        "retry_count": count(document.get("retry_count"), headers.get("x-retry-count")),
        "error_type": source.error_type(document.get("error_type")),
        "error_message": text(document.get("error_message"), headers.get("x-error-message")),
        "stack_trace": string(document.get("stack_trace")) or string(headers.get("x-stack-trace")),
        "source_service": text(
            document.get("source_service"), headers.get("x-source-service"), UNKNOWN_SERVICE
        ),
        "payload": in_object(document.get("payload")),
        "metadata": in_object(document.get("metadata") or _header_metadata(headers)),
        "schema_version": count(document.get("schema_version"), SCHEMA_VERSION),
        "error_class": string(document.get("error_class")),
        "category": string(document.get("category")),
        "http_status": http_status(document.get("http_status")),
        "retry_after_s": seconds(document.get("retry_after_s")),
        "fingerprint": identifier(document.get("fingerprint")),
    }
    try:
        message = DLQMessage.model_validate(filled)
    except ValidationError as error:
        source.problem = f"the dead letter is not as specified ({_first_problem(error)})"
        return None
    return Decoded(message, Form.CURRENT, source.given_id is not None)


def _legacy(source: _Source, document: dict[str, Any]) -> Decoded:
    """The older producers: body {item, error_context, metadata}, facts in the headers.

    They named the facts in many ways. What is under none of the known names stays visible, in
    metadata.
    """
    headers, context = source.headers, _Context(document.get("error_context"))
    failed_at = source.instant(*context.all("failed_at", "timestamp", "time"))
    metadata = document.get("metadata") or context.get("metadata") or _header_metadata(headers)
    message = DLQMessage(
        message_id=source.message_id,
        correlation_id=string(context.get("correlation_id")) or source.correlation_id(document),
        routing_key=_routing_key(source),
        timestamp=failed_at.replace(microsecond=0),
        failed_at=failed_at,
        retry_count=count(
            headers.get("x-retry-count"), *context.all("retry_count", "retries", "attempts")
        ),
        error_type=source.error_type(
            headers.get("x-error-type"),
            _provider_of(source.routing_key),
            *context.all("error_type"),
        ),
        error_message=text(
            *context.all("error_message", "message", "error", "exception_message", "exception"),
            headers.get("x-error-message"),
        ),
        stack_trace=string(context.trace()) or string(headers.get("x-stack-trace")),
        source_service=text(
            *context.all("source_service", "service"),
            headers.get("x-source-service"),
            UNKNOWN_SERVICE,
        ),
        payload=in_object(document["item"]),
        error_class=string(context.get("error_class", "exception_type", "exception_class", "type")),
        http_status=http_status(context.get("http_status", "status_code", "status")),
        metadata=in_object(metadata) | context.unread(),  # last: by then all is asked for
    )
    return Decoded(message, Form.LEGACY, source.given_id is not None)


class _Context:
    """An older producer's error_context, under whatever names; remembers what was asked for."""

    def __init__(self, value: Any) -> None:
        facts = value if isinstance(value, dict) else {"error_message": value}
        nested = facts.get("error")
        if isinstance(nested, dict):
            facts = {**nested, **{k: v for k, v in facts.items() if k != "error"}}
        self._facts = {k: v for k, v in facts.items() if v is not None}
        self._asked: set[str] = set()

    def all(self, *names: str) -> list[Any]:
        """The values under these names, in their order."""
        self._asked.update(names)
        return [self._facts[name] for name in names if name in self._facts]

    def get(self, *names: str) -> Any:
        return next(iter(self.all(*names)), None)

    def trace(self) -> Any:
        found = self.get("stack_trace", "traceback", "tb", "stack")
        return "".join(map(str, found)) if isinstance(found, list) else found

    def unread(self) -> dict[str, Any]:
        rest = {name: value for name, value in self._facts.items() if name not in self._asked}
        return {"error_context": rest} if rest else {}


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
        retry_count=count(source.headers.get("x-retry-count"), sum(d.count for d in deaths)),
        error_type=source.error_type(),
        error_message=text(
            source.headers.get("x-error-message"),
            last.sentence() if last else None,
            "RabbitMQ dead-lettered it; its x-death header cannot be read",
        ),
        stack_trace=string(source.headers.get("x-stack-trace")),
        source_service=text(
            source.headers.get("x-source-service"), last.queue if last else None, UNKNOWN_SERVICE
        ),
        payload=source.payload(),
        metadata={
            **in_object(_header_metadata(source.headers)),
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
        retry_count=count(source.headers.get("x-retry-count"), 0),
        error_type=source.error_type(),
        error_message=text(
            source.headers.get("x-error-message"), f"Malformed dead letter: {problem}"
        ),
        stack_trace=string(source.headers.get("x-stack-trace")),
        source_service=text(source.headers.get("x-source-service"), UNKNOWN_SERVICE),
        payload=source.payload(),
        metadata=in_object(_header_metadata(source.headers)),
        category="malformed",
    )
    return Decoded(message, Form.MALFORMED, source.given_id is not None, problem)


# --- shared by the forms ---


def _header_metadata(headers: Mapping[str, Any]) -> Any:
    value = headers.get("x-metadata")
    if isinstance(value, str):
        try:
            return from_json(value)
        except (ValueError, RecursionError):
            return {"x-metadata": value}
    return value or {}


def _routing_key(source: _Source) -> str:
    return source.routing_key or routing_key_for(source.error_type())


def _provider_of(routing_key: str) -> str | None:
    word, _, rest = routing_key.partition(".")
    known = rest.startswith("enrichment.") and word not in ("expired", "")
    return error_type_word(word) if known else None


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(p) for p in first['loc'])}: {first['msg']}"
