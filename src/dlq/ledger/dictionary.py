"""The compression dictionary: trained from the ledger's own messages, and again when they have
become others."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from typing import Any

import zstandard
from sqlalchemy import Connection, Row, insert, select, update

from dlq.ledger.database import Database
from dlq.ledger.packing import LEVEL, archive_of
from dlq.ledger.queries import newest_id
from dlq.ledger.schema import DELETED, dead_letters, dictionaries

logger = logging.getLogger(__name__)

FIRST_AT = 500
"""Dead letters from which the first is trained."""
AGAIN_AFTER = 20_000
"""Dead letters after which another is tried."""
AGAIN_AFTER_TIME = dt.timedelta(hours=1)
SAMPLES, TESTS = 1500, 300
SPAN = 20_000
"""Rows, back from the newest, that samples are of."""
BYTES = 64 * 1024
LINE_END_IN_JSON = b"\\n"
MIN_LINE_BYTES = 10
MAX_SAMPLE_BYTES = 64 * 1024
WORTHWHILE = 0.95
"""Another one is kept if messages that neither has seen become smaller than this by it."""


def tend(database: Database, now: dt.datetime) -> None:
    """Train one if it is time. Reads a sample, works without holding anything, writes a row."""
    samples = database.read(lambda c: _samples(c, now))
    if len(samples) < FIRST_AT // 2:
        return
    tests = samples[::6]
    train: list[bytes | bytearray | memoryview] = [one for at, one in enumerate(samples) if at % 6]
    try:
        trained = zstandard.train_dictionary(BYTES, train, level=LEVEL)
    except zstandard.ZstdError as error:  # too few of them differ
        logger.info("No compression dictionary can be trained yet: %s", error)
        return
    ratio = _ratio(trained, tests)
    database.write(lambda c: _keep(c, trained, tests, ratio, now))


def _samples(connection: Connection, now: dt.datetime) -> list[bytes]:
    """Raw messages, if it is time to train on them."""
    newest = newest_id(connection)
    last = connection.execute(
        select(dictionaries.c.trained_to, dictionaries.c.trained_at)
        .order_by(dictionaries.c.id.desc())
        .limit(1)
    ).first()
    if newest < FIRST_AT:
        return []
    if last is not None and not _is_due(last.trained_to, last.trained_at, newest, now):
        return []
    column = dead_letters.c
    query = (
        select(column.message_id, column.shape_id, column.wire)
        .where(column.id.in_(range(newest, max(newest - SPAN, 0), -_step(newest))))
        .where(column.state != DELETED)
    )
    raw = [_without_frames(connection, row) for row in connection.execute(query).all()]
    return [one for one in raw if len(one) <= MAX_SAMPLE_BYTES]


def _is_due(trained_to: int, trained_at: dt.datetime, newest: int, now: dt.datetime) -> bool:
    """At first as often as the ledger doubles; later not more than once in an hour."""
    if trained_to < AGAIN_AFTER:
        return newest >= 2 * trained_to
    return newest >= trained_to + AGAIN_AFTER and now >= trained_at + AGAIN_AFTER_TIME


def _step(newest: int) -> int:
    """So that samples are of all that came of late, not of the last burst."""
    return max(min(newest, SPAN) // (SAMPLES + TESTS), 1)


def _without_frames(connection: Connection, row: Row[Any, Any, Any]) -> bytes:
    """A message without what its shape brings anyway: the dictionary has room for the rest."""
    archive = archive_of(connection)
    raw = archive.unpack_raw(connection, row.wire, message_id=row.message_id, shape=row.shape_id)
    if row.shape_id is not None:
        for line in set(archive.frames(connection, row.shape_id).split(LINE_END_IN_JSON)):
            if len(line) >= MIN_LINE_BYTES:
                raw = raw.replace(line, b"")
    return raw


def _keep(
    connection: Connection,
    trained: zstandard.ZstdCompressionDict,
    tests: Sequence[bytes],
    ratio: float,
    now: dt.datetime,
) -> None:
    present = connection.execute(
        select(dictionaries.c.id, dictionaries.c.content)
        .order_by(dictionaries.c.id.desc())
        .limit(1)
    ).first()
    known: dict[str, Any] = {"trained_at": now, "trained_to": newest_id(connection)}
    if present is None:
        connection.execute(
            insert(dictionaries).values(**known, ratio=ratio, content=trained.as_bytes())
        )
        logger.info("Messages take %.0f%% of their bytes with a dictionary", 100 * ratio)
        return
    before = _ratio(zstandard.ZstdCompressionDict(bytes(present.content)), tests)
    if ratio > before * WORTHWHILE:
        connection.execute(
            update(dictionaries).where(dictionaries.c.id == present.id).values(**known)
        )
        return
    connection.execute(
        insert(dictionaries).values(**known, ratio=ratio, content=trained.as_bytes())
    )
    logger.info(
        "Messages take %.0f%% of their bytes with a new dictionary, %.0f%% with the one before",
        100 * ratio,
        100 * before,
    )


def _ratio(content: zstandard.ZstdCompressionDict, tests: Sequence[bytes]) -> float:
    packer = zstandard.ZstdCompressor(level=LEVEL, dict_data=content)
    return sum(len(packer.compress(one)) for one in tests) / max(sum(map(len, tests)), 1)
