"""AMQP basic properties of a `WireMessage`, to and from the bytes of a content header.

They are encoded where the message is published, on the caller's thread: what AMQP cannot
carry is refused there and never reaches the connection, which one bad header would cost.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import pika

from dlq.errors import PublishRejected
from dlq.message import WireMessage
from dlq.transport.fields import (
    decode_short_string,
    decode_table,
    encode_short_string,
    encode_table,
)

MAX_HEADER_BYTES = 100 * 1024
"""A content header is one frame, and a frame over the broker's 128 KiB ends the connection."""

UNREADABLE_HEADERS = "x-unreadable-headers"
"""Under this name the bytes of a header table that cannot be read are kept."""

# In the order of the wire; the first has bit 15 of the flags. Source: AMQP 0-9-1, 1.8.1.
_FIELDS = (
    ("content_type", "text"),
    ("content_encoding", "text"),
    ("headers", "table"),
    ("delivery_mode", ">B"),
    ("priority", ">B"),
    ("correlation_id", "text"),
    ("reply_to", "text"),
    ("expiration", "text"),
    ("message_id", "text"),
    ("timestamp", ">Q"),
    ("type", "text"),
    ("user_id", "text"),
    ("app_id", "text"),
    ("cluster_id", "text"),
)
_NAMES = frozenset(name for name, _ in _FIELDS)
_PERSISTENT = 2


class EncodedProperties:
    """What pika asks of properties when it writes a content header, encoded already."""

    INDEX = pika.BasicProperties.INDEX

    def __init__(self, encoded: bytes) -> None:
        self._encoded = encoded

    def __len__(self) -> int:
        return len(self._encoded)

    def encode(self) -> list[bytes]:
        """The pieces of the frame; a new list each time, since pika inserts into it."""
        return [self._encoded]


def encode_properties(wire: WireMessage) -> EncodedProperties:
    """Headers and properties of `wire`, persistent whatever it says.

    Raises:
        PublishRejected: AMQP, or RabbitMQ, cannot carry a value, or they are too large.
    """
    values = {name: value for name, value in wire.properties.items() if value is not None}
    values |= {"headers": wire.headers, "delivery_mode": _PERSISTENT}
    # The broker refuses another user's name; a replay must not fail for whose message it was.
    values.pop("user_id", None)
    _check(wire, values)
    try:
        encoded = _encode(values)
    except (TypeError, ValueError, ArithmeticError, AttributeError, struct.error) as error:
        raise PublishRejected(
            f"AMQP cannot carry the headers or properties of this message: {error}"
        ) from error
    if len(encoded) > MAX_HEADER_BYTES:
        raise PublishRejected(
            f"expected headers of at most {MAX_HEADER_BYTES} bytes, got {len(encoded)}: "
            "put long texts into the body"
        )
    return EncodedProperties(encoded)


def _encode(values: Mapping[str, Any]) -> bytes:
    flags, pieces = 0, []
    for position, (name, kind) in enumerate(_FIELDS):
        if name not in values:
            continue
        flags |= 1 << (15 - position)
        value = values[name]
        if kind == "text":
            pieces.append(encode_short_string(value))
        elif kind == "table":
            pieces.append(encode_table(value))
        else:
            pieces.append(struct.pack(kind, value))
    return struct.pack(">H", flags) + b"".join(pieces)


def _check(wire: WireMessage, values: Mapping[str, Any]) -> None:
    """What the broker would answer by closing the channel, and so failing others' messages."""
    unknown = values.keys() - _NAMES
    if unknown:
        raise PublishRejected(
            f"expected AMQP's basic properties, got {', '.join(sorted(map(str, unknown)))}"
        )
    expiration = values.get("expiration")
    if expiration is not None and not (
        isinstance(expiration, str) and expiration.isascii() and expiration.isdigit()
    ):
        raise PublishRejected(f"expected expiration in milliseconds, got {expiration!r}")
    for name in ("CC", "BCC"):
        routes = wire.headers.get(name, [])
        if not isinstance(routes, list) or not all(isinstance(route, str) for route in routes):
            raise PublishRejected(f"expected the header {name} to be a list of routing keys")


def decode_properties(data: bytes) -> pika.BasicProperties:
    """Properties from a content header (behind its 12 bytes of class and size).

    Never raises for a header table: one that cannot be read is kept as bytes under
    `UNREADABLE_HEADERS`, so that its message arrives like any other.
    """
    flags = struct.unpack_from(">H", data)[0]
    offset = 2
    values: dict[str, Any] = {}
    for position, (name, kind) in enumerate(_FIELDS):
        if not flags & (1 << (15 - position)):
            continue
        if kind == "text":
            values[name], offset = decode_short_string(data, offset)
        elif kind == "table":
            values[name], offset = _decode_headers(data, offset)
        else:
            values[name] = struct.unpack_from(kind, data, offset)[0]
            offset += struct.calcsize(kind)
    return pika.BasicProperties(**values)


def _decode_headers(data: bytes, offset: int) -> tuple[dict[str, Any], int]:
    try:
        return decode_table(data, offset)
    except (ValueError, IndexError, struct.error):
        end = offset + 4 + struct.unpack_from(">I", data, offset)[0]
        return {UNREADABLE_HEADERS: data[offset:end]}, end


def properties_of(decoded: pika.BasicProperties) -> tuple[dict[str, Any], dict[str, Any]]:
    """(headers, properties) for a `WireMessage`, of what a delivery carried."""
    properties = {
        name: value
        for name in _NAMES
        if name != "headers" and (value := getattr(decoded, name)) is not None
    }
    return dict(decoded.headers or {}), properties
