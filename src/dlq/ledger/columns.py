"""Column types that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, Text, TypeDecorator
from sqlalchemy.types import TypeEngine

from dlq.message import shorten_utf8
from dlq.payload import clean_text

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MICROSECOND = dt.timedelta(microseconds=1)

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

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else shorten_utf8(clean_text(value), 255)
