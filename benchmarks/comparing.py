"""The ledger's figures against what somebody would do without it, in the same run and database."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, Engine, TextClause, text

from benchmarks.databases import RAW_TABLE, Database, drop_raw, fill_raw
from benchmarks.dead_letters import EPISODE, Plan, raw_of, wires
from benchmarks.filling import Filled
from benchmarks.measuring import Timing, milliseconds, ratio, timing
from benchmarks.operations import BY_CURSOR, GROUP_LIST, PAGE, SEARCH_NAME, STATS, Known
from dlq.query import Filter

RAW_ROWS = 20_000
FEW = 10
"""Samples of what is slow."""

_COUNTS = (
    "SELECT error_type, service_id, state, COUNT(*), MIN(failed_at), MAX(failed_at) "
    "FROM dead_letters GROUP BY error_type, service_id, state"
)
_GROUPS = (
    "SELECT cause_id, state, COUNT(*), MIN(failed_at), MAX(failed_at) FROM dead_letters "
    "GROUP BY cause_id, state ORDER BY COUNT(*) DESC LIMIT 50"
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """`ratio`: how many times better the ledger does."""

    what: str
    ours: str
    alternative: str
    theirs: str
    ratio: str


def comparisons(
    database: Database,
    plan: Plan,
    filled: Filled,
    size_bytes: int,
    known: Known,
    timings: dict[str, Timing],
) -> Iterator[Comparison]:
    """At the end: it adds a table of raw messages beside the ledger's, and takes it away."""
    yield from _of_bytes(filled, size_bytes)
    engine = database.beside()
    try:
        yield _of_ingest(engine, plan, filled)
        yield _of_search(engine, plan, known, timings[SEARCH_NAME])
        drop_raw(engine)
        offset = plan.rows // 2
        skipping = timing(
            partial(known.ledger.page, Filter(), limit=PAGE, offset=offset + n) for n in range(FEW)
        )
        yield _times(BY_CURSOR, timings[BY_CURSOR], f"OFFSET {offset:,}", skipping)
        yield from _of_counting(engine, timings)
    finally:
        engine.dispose()


def _of_bytes(filled: Filled, size_bytes: int) -> Iterator[Comparison]:
    ours = size_bytes / filled.rows
    for name, total in (
        ("the same rows raw: body, headers, properties", filled.raws.total),
        ("their bodies alone", filled.bodies.total),
        ("each raw row by zlib", filled.zlib_bytes),
    ):
        theirs = total / filled.rows
        yield Comparison(
            "bytes a message, all tables and indexes",
            f"{ours:,.0f}",
            f"{name}, without any index",
            f"{theirs:,.0f}",
            ratio(theirs, ours),
        )


def _of_ingest(engine: Engine, plan: Plan, filled: Filled) -> Comparison:
    rows = min(RAW_ROWS, plan.rows)
    batches = [
        [(str(wire.properties["message_id"]), raw_of(wire).decode()) for wire in wires(plan, n)]
        for n in range(-(-rows // EPISODE))
    ]
    started = time.perf_counter()
    fill_raw(engine, iter(batches))
    per_s = sum(map(len, batches)) / (time.perf_counter() - started)
    return Comparison(
        "ingest, messages/s",
        f"{filled.rows_per_s:,.0f}",
        "INSERT of raw messages with a unique id, nothing else",
        f"{per_s:,.0f}",
        f"{filled.rows_per_s / per_s:.2f}",
    )


def _of_search(engine: Engine, plan: Plan, known: Known, ours: Timing) -> Comparison:
    like = "ILIKE" if engine.dialect.name == "postgresql" else "LIKE"
    query = text(f"SELECT id FROM {RAW_TABLE} WHERE message {like} :words LIMIT {PAGE}")  # noqa: S608
    values = ({"words": f"%{known.artist()}%"} for _ in range(FEW))
    with engine.connect() as connection:
        theirs = timing(partial(_asked, connection, query, one) for one in values)
    rows = min(RAW_ROWS, plan.rows)
    return _times(f"{SEARCH_NAME}, in {known.rows:,}", ours, f"{like} over {rows:,} raw", theirs)


def _of_counting(engine: Engine, timings: dict[str, Timing]) -> Iterator[Comparison]:
    for what, alternative, query in (
        (STATS, "COUNT … GROUP BY over all rows", _COUNTS),
        (GROUP_LIST, "COUNT … GROUP BY cause over all rows", _GROUPS),
    ):
        with engine.connect() as connection:
            theirs = timing([partial(_asked, connection, text(query), {})] * FEW)
        yield _times(what, timings[what], alternative, theirs)


def _asked(connection: Connection, query: TextClause, values: dict[str, str]) -> Sequence[object]:
    return connection.execute(query, values).all()


def _times(what: str, ours: Timing, alternative: str, theirs: Timing) -> Comparison:
    return Comparison(
        f"{what}, p50 ms",
        milliseconds(ours.p50_ms),
        alternative,
        milliseconds(theirs.p50_ms),
        ratio(theirs.p50_ms, ours.p50_ms),
    )
