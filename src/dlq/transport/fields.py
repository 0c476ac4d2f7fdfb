"""AMQP field tables, to and from bytes; pure.

pika's own codec cannot encode a float, truncates floats when it decodes them, and raises on
values that a broker carries without complaint (a year beyond 9999, tables nested a thousand
deep). An error while decoding costs the whole connection, and the message comes again with
the next one, for ever. Here nothing that arrives raises, and what was read can be written.

Source: RabbitMQ's AMQP 0-9-1 errata, section 3, "Field types".
"""

from __future__ import annotations

import calendar
import datetime as dt
import math
import struct
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

MAX_DEPTH = 64
_INT32 = range(-(2**31), 2**31)

_FIXED = {  # tag -> struct format of those that are one number
    b"b": ">b",
    b"B": ">B",
    b"s": ">h",
    b"U": ">h",
    b"u": ">H",
    b"I": ">i",
    b"i": ">I",
    b"l": ">q",
    b"L": ">q",
    b"f": ">f",
    b"d": ">d",
}


def encode_short_string(value: str | bytes) -> bytes:
    """At most 255 bytes, after their length.

    Raises:
        ValueError: longer, or text that is not valid Unicode.
        TypeError: neither text nor bytes.
    """
    encoded = _as_bytes(value)
    if len(encoded) > 255:
        raise ValueError(f"expected at most 255 bytes, got {len(encoded)}")
    return bytes((len(encoded),)) + encoded


def encode_table(table: Mapping[str, Any], depth: int = 0) -> bytes:
    """A field table with its length.

    Values: str, int (64 bits), float, bool, None, bytes, datetime, Decimal, list, tuple, dict.

    Raises:
        ValueError, TypeError, struct.error: a value has no form in AMQP.
    """
    pairs = b"".join(
        encode_short_string(key) + _encode_value(value, depth) for key, value in table.items()
    )
    return struct.pack(">I", len(pairs)) + pairs


def _encode_value(value: Any, depth: int) -> bytes:
    if isinstance(value, str):
        encoded = value.encode("utf-8")
        return struct.pack(">cI", b"S", len(encoded)) + encoded
    if isinstance(value, bool):
        return struct.pack(">cB", b"t", value)
    if isinstance(value, int):
        return (
            struct.pack(">ci", b"I", value) if value in _INT32 else struct.pack(">cq", b"l", value)
        )
    if isinstance(value, float):
        if not math.isfinite(value):  # Erlang has no such number: RabbitMQ ends the connection
            raise ValueError(f"expected a finite number, got {value}")
        return struct.pack(">cd", b"d", value)
    if value is None:
        return b"V"
    if isinstance(value, bytes | bytearray):
        return struct.pack(">cI", b"x", len(value)) + bytes(value)
    if isinstance(value, dt.datetime):
        return struct.pack(">cQ", b"T", calendar.timegm(value.utctimetuple()))
    if isinstance(value, Decimal):
        return _encode_decimal(value)
    return _encode_nested(value, depth + 1)


def _encode_nested(value: Any, depth: int) -> bytes:
    if depth > MAX_DEPTH:
        raise ValueError(f"expected nesting of at most {MAX_DEPTH}, got more")
    if isinstance(value, Mapping):
        return b"F" + encode_table(value, depth)
    if isinstance(value, list | tuple):
        items = b"".join(_encode_value(item, depth) for item in value)
        return struct.pack(">cI", b"A", len(items)) + items
    raise TypeError(f"a header cannot hold a value of type {type(value).__name__}")


def _encode_decimal(value: Decimal) -> bytes:
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"expected a finite Decimal, got {value}")  # noqa: TRY004
    scale = max(0, -exponent)
    return struct.pack(">cBi", b"D", scale, int(value.scaleb(scale)))


def _as_bytes(value: str | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8")
    raise TypeError(f"expected text, got {type(value).__name__}")


def decode_short_string(data: bytes, offset: int) -> tuple[str | bytes, int]:
    """Text, or the bytes where they are not UTF-8; and where it ends."""
    end = offset + 1 + data[offset]
    return _readable(data[offset + 1 : end]), end


def decode_table(data: bytes, offset: int, depth: int = 0) -> tuple[dict[str, Any], int]:
    """The table at `offset`, and where it ends.

    Raises:
        ValueError, IndexError, struct.error: these are not the bytes of a table, or it is
            nested deeper than `MAX_DEPTH`.
    """
    end = offset + 4 + _length(data, offset)
    offset += 4
    table: dict[str, Any] = {}
    while offset < end:
        key, offset = decode_short_string(data, offset)
        value, offset = _decode_value(data, offset, depth)
        table[key if isinstance(key, str) else key.decode("utf-8", "backslashreplace")] = value
    return table, end


def _decode_value(data: bytes, offset: int, depth: int) -> tuple[Any, int]:
    tag = data[offset : offset + 1]
    offset += 1
    if tag in (b"S", b"x"):
        end = offset + 4 + _length(data, offset)
        content = data[offset + 4 : end]
        return (_readable(content) if tag == b"S" else content), end
    if tag in _FIXED:
        return struct.unpack_from(_FIXED[tag], data, offset)[0], offset + struct.calcsize(
            _FIXED[tag]
        )
    if tag == b"t":
        return bool(data[offset]), offset + 1
    if tag == b"V":
        return None, offset
    if tag == b"T":
        return _instant(struct.unpack_from(">Q", data, offset)[0]), offset + 8
    if tag == b"D":
        scale, raw = struct.unpack_from(">Bi", data, offset)
        return Decimal(raw).scaleb(-scale), offset + 5
    return _decode_nested(tag, data, offset, depth + 1)


def _decode_nested(tag: bytes, data: bytes, offset: int, depth: int) -> tuple[Any, int]:
    if depth > MAX_DEPTH:
        raise ValueError(f"expected nesting of at most {MAX_DEPTH}, got more")
    if tag == b"F":
        return decode_table(data, offset, depth)
    if tag != b"A":
        raise ValueError(f"expected the tag of a field type, got {tag!r}")
    end = offset + 4 + _length(data, offset)
    offset += 4
    items = []
    while offset < end:
        item, offset = _decode_value(data, offset, depth)
        items.append(item)
    return items, end


def _length(data: bytes, offset: int) -> int:
    return int(struct.unpack_from(">I", data, offset)[0])


def _readable(content: bytes) -> str | bytes:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content


def _instant(seconds: int) -> dt.datetime | int:
    """An instant; the number itself where no calendar reaches (milliseconds sent as seconds)."""
    try:
        return dt.datetime.fromtimestamp(seconds, dt.UTC)
    except (OverflowError, ValueError, OSError):
        return seconds
