"""Column types that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, LargeBinary, Text, TypeDecorator
from sqlalchemy.types import TypeEngine

from dlq.message import shorten_utf8
from dlq.payload import clean_text

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MICROSECOND = dt.timedelta(microseconds=1)

_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_UUID_START = re.compile(r"[0-9a-f-]{1,36}")

RowId = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits on both: on SQLite only a column called INTEGER becomes the row's own key."""


class Instant(TypeDecorator[dt.datetime]):
    """An aware instant in UTC: timestamptz, and on SQLite whole microseconds since 1970, so
    that comparing and ordering are exact and by index."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        sqlite = dialect.name == "sqlite"
        return dialect.type_descriptor(BigInteger() if sqlite else DateTime(timezone=True))

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        return (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> dt.datetime | None:
        if value is None:
            return None
        instant: dt.datetime = EPOCH + value * MICROSECOND if dialect.name == "sqlite" else value
        return instant.astimezone(dt.UTC)


class CleanText(TypeDecorator[str]):
    """Text without what the databases cannot hold: NUL, lone surrogates."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else clean_text(value)


class Name(CleanText):
    """Clean text of at most 255 bytes, fit for an index: PostgreSQL refuses an index entry
    over 2,704. What is compared with it is shortened in the same way."""

    cache_ok = True
    MAX_BYTES = 255

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else shorten_utf8(clean_text(value), self.MAX_BYTES)


class MessageId(TypeDecorator[str]):
    """Clean text, kept in bytes: a UUID in 17 where its text has 36, all else as UTF-8.

    The bytes order as the texts do within each kind; `id_spans` finds the starts of both.
    """

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | bytes | None, dialect: Dialect) -> bytes | None:
        return id_bytes(value) if isinstance(value, str) else value

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else _id_text(bytes(value))


def id_bytes(message_id: str) -> bytes:
    text = clean_text(message_id)  # has no NUL, which marks a UUID
    if _UUID.fullmatch(text):
        return b"\0" + bytes.fromhex(text.replace("-", ""))
    return text.encode("utf-8")


def _id_text(value: bytes) -> str:
    return str(UUID(bytes=value[1:])) if value[:1] == b"\0" else value.decode("utf-8")


def id_spans(start: str) -> list[tuple[bytes, bytes]]:
    """From (inclusive) and to (exclusive) of what ids that begin with `start` are kept as."""
    text = clean_text(start)
    raw = text.encode("utf-8")
    spans = [(raw, raw + b"\xff")]  # 0xff is in no UTF-8
    if (
        _UUID_START.fullmatch(text)
        and text == _dashed(digits := text.replace("-", ""))[: len(text)]
    ):
        low, high = digits.ljust(32, "0"), digits.ljust(32, "f")
        spans.append((b"\0" + bytes.fromhex(low), b"\0" + bytes.fromhex(high) + b"\0"))
    return spans


def _dashed(digits: str) -> str:
    full = digits.ljust(32, "0")
    return "-".join((full[:8], full[8:12], full[12:16], full[16:20], full[20:]))
