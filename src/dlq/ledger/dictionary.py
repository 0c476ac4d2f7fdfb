"""The compression dictionary: trained from the ledger's own messages, and again when they have
become others."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from typing import Any

import zstandard
from sqlalchemy import Connection, insert, select, update

from dlq.ledger.database import Database
from dlq.ledger.packing import LEVEL, archive_of, raw_of
from dlq.ledger.queries import newest_id
from dlq.ledger.schema import DELETED, dead_letters, dictionaries

logger = logging.getLogger(__name__)

FIRST_AT = 500
"""Dead letters from which the first is trained."""
AGAIN_AFTER = 20_000
"""Dead letters after which another is tried."""
AGAIN_AFTER_TIME = dt.timedelta(hours=1)
SAMPLES, TESTS = 1000, 200
BYTES = 64 * 1024
MAX_SAMPLE_BYTES = 64 * 1024
WORTHWHILE = 0.9
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
    if last is not None and (
        newest < last.trained_to + AGAIN_AFTER or now < last.trained_at + AGAIN_AFTER_TIME
    ):
        return []
    column = dead_letters.c
    query = (
        select(column.message_id, column.shape_id, column.wire)
        .where(column.state != DELETED)
        .order_by(column.id.desc())
        .limit(SAMPLES + TESTS)
    )
    archive = archive_of(connection)
    raw = [
        raw_of(archive.unpack(connection, row.wire, message_id=row.message_id, shape=row.shape_id))
        for row in connection.execute(query).all()
    ]
    return [one for one in raw if len(one) <= MAX_SAMPLE_BYTES]


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
