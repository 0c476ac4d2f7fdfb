"""The index of words on PostgreSQL: signatures, kept by segments of rows.

A segment is for ids that lie together. Rows of very many words have wider signatures, in segments
of their own that name their rows. What was stored last waits in a tail, signature by signature,
since a segment is written as a whole. A search looks into all three, in the order of their ids.
"""

from __future__ import annotations

import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Exists,
    Row,
    TextClause,
    delete,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.dialects import postgresql

from dlq.ledger.schema import DELETED, dead_letters, wide_segments, word_segments, word_tail
from dlq.ledger.signatures import (
    NARROW,
    WIDE,
    Alternatives,
    Slices,
    Wanted,
    anything,
    laid_out,
    signature,
    width_for,
)
from dlq.ledger.word_index import CUT, Entry

SEGMENT_ROWS = 8192
WIDE_SEGMENT_ROWS = 1024
LOOKED_EVERY = 1024
"""Rows between two looks at how many are in the tail."""
FOLDED_AT = SEGMENT_ROWS + LOOKED_EVERY
"""Rows in the tail from which it is folded, and most of them fill a segment."""
WORTH_WRITING = 1024
"""Rows for which a segment is written anew. Fewer wait, up to `LONGEST_TAIL`."""
LONGEST_TAIL = 4 * SEGMENT_ROWS
MAX_SLICES = 90
"""From here on a segment is read as a whole."""
MOST_AT_ONCE = 64
"""Segments that one query reads: more each time, since those before did not do."""
_LOCK_KEY = 0x646C7177  # "dlqw"
_ID = "q"  # 64 bits

Signed = dict[int, bytes]
"""Signatures by id, or by place in a segment."""


# --- writing -----------------------------------------------------------------------------


def index(connection: Connection, entries: Sequence[Entry]) -> None:
    """Args: entries: in the order of their rows. What one of them had before stays indexed."""
    if not entries:
        return
    signed: dict[int, Signed] = {NARROW: {}, WIDE: {}}
    for entry in entries:
        if CUT in entry.words:
            signed[NARROW][entry.row_id] = anything(NARROW)
        else:
            width = width_for(entry.words)
            signed[width][entry.row_id] = signature(entry.words, width)
    for width, some in signed.items():
        _append(connection, width, some)
    if entries[-1].row_id % LOOKED_EVERY < len(entries):
        count = func.sum(word_tail.c.count)
        waiting = select(word_tail.c.width, count).group_by(word_tail.c.width)
        counts = {row[0]: row[1] for row in connection.execute(waiting)}
        if counts.get(NARROW, 0) >= FOLDED_AT or counts.get(WIDE, 0) >= WIDE_SEGMENT_ROWS:
            fold(connection)


def fold(connection: Connection) -> None:
    """Move rows from the tail into segments, unless somebody else does; and let go of the
    segments of which all rows are emptied."""
    if not connection.execute(select(func.pg_try_advisory_xact_lock(_LOCK_KEY))).scalar():
        return
    tails = connection.execute(select(*word_tail.c).order_by(word_tail.c.id)).all()
    signed: dict[int, Signed] = {NARROW: {}, WIDE: {}}
    for tail in tails:
        _add(signed[tail.width], _pairs(tail.row_ids, bytes(tail.signed), tail.width))
    connection.execute(delete(word_tail).where(word_tail.c.id.in_([tail.id for tail in tails])))
    _append(connection, NARROW, _fold_narrow(connection, signed[NARROW]))
    _append(connection, WIDE, _fold_wide(connection, signed[WIDE]))
    _let_go(connection)


def _append(connection: Connection, width: int, signed: Signed) -> None:
    if signed:
        connection.execute(
            insert(word_tail).values(
                width=width,
                count=len(signed),
                first_id=min(signed),
                last_id=max(signed),
                row_ids=array.array(_ID, signed).tobytes(),
                signed=b"".join(signed.values()),
            )
        )


def _fold_narrow(connection: Connection, signed: Signed) -> Signed:
    """Returns: what stays in the tail."""
    by_segment: dict[int, Signed] = {}
    for row_id, one in signed.items():
        number, place = divmod(row_id, SEGMENT_ROWS)
        by_segment.setdefault(number, {})[place] = one
    newest = max(by_segment, default=0)  # will have more
    left: Signed = {}
    for number, some in sorted(by_segment.items()):
        is_worth_it = number < newest and len(some) >= WORTH_WRITING
        if is_worth_it or len(signed) > LONGEST_TAIL:
            _write(connection, number, some)
        else:
            left |= {number * SEGMENT_ROWS + place: one for place, one in some.items()}
    return left


def _write(connection: Connection, number: int, signed: Signed) -> None:
    column = word_segments.c
    slices = Slices(laid_out(signed, SEGMENT_ROWS, NARROW), NARROW).packed()
    present = connection.execute(select(column.slices).where(column.number == number)).scalar()
    if present is not None:
        slices = _joined(slices, bytes(present))
    written = postgresql.insert(word_segments).values(number=number, slices=slices)
    connection.execute(
        written.on_conflict_do_update(
            index_elements=[column.number], set_={"slices": written.excluded.slices}
        )
    )


def _fold_wide(connection: Connection, signed: Signed) -> Signed:
    """Into segments that are full and stay as they are. Returns: what stays in the tail."""
    left = sorted(signed.items())
    while len(left) >= WIDE_SEGMENT_ROWS:
        some, left = left[:WIDE_SEGMENT_ROWS], left[WIDE_SEGMENT_ROWS:]
        ids = [row_id for row_id, _ in some]
        rows = b"".join(one for _, one in some)
        connection.execute(
            insert(wide_segments).values(
                first_id=ids[0],
                last_id=ids[-1],
                row_ids=array.array(_ID, ids).tobytes(),
                slices=Slices(rows, WIDE).packed(),
            )
        )
    return dict(left)


def _let_go(connection: Connection) -> None:
    """Of none that new rows come to."""
    segment, wide = word_segments.c, wide_segments.c
    newest = select(func.max(segment.number)).scalar_subquery()
    first_id = segment.number * SEGMENT_ROWS
    is_empty = ~_any_alive(first_id, first_id + SEGMENT_ROWS - 1)
    connection.execute(delete(word_segments).where(segment.number < newest, is_empty))
    connection.execute(delete(wide_segments).where(~_any_alive(wide.first_id, wide.last_id)))


def _any_alive(first_id: ColumnElement[int], last_id: ColumnElement[int]) -> Exists:
    letter = dead_letters.c
    between = letter.id.between(first_id, last_id)
    return select(letter.id).where(between, letter.state != DELETED).exists()


def _add(signed: Signed, pairs: Iterable[tuple[int, bytes]]) -> None:
    for row_id, one in pairs:
        signed[row_id] = _joined(signed[row_id], one) if row_id in signed else one


def _joined(one: bytes, other: bytes) -> bytes:
    both = int.from_bytes(one, "big") | int.from_bytes(other, "big")
    return both.to_bytes(len(one), "big")


def _ids(packed: bytes) -> array.array[int]:
    return array.array(_ID, bytes(packed))


def _pairs(row_ids: bytes, signed: bytes, width: int) -> Iterator[tuple[int, bytes]]:
    size = width // 8
    for at, row_id in enumerate(_ids(row_ids)):
        yield row_id, signed[at * size : (at + 1) * size]


# --- reading -----------------------------------------------------------------------------


class Block(NamedTuple):
    """A segment, or what one batch left in the tail, and which ids it can have."""

    table: str
    key: int
    first_id: int
    last_id: int


class Candidates:
    """The ids of the rows that may meet all of the needs, in order. Blocks are read as they
    come to be needed: of what is common the first will do.

    Args:
        others: ids that are candidates too.
    """

    def __init__(
        self,
        connection: Connection,
        needs: Sequence[Alternatives],
        others: Sequence[int],
        *,
        newest_first: bool,
    ) -> None:
        self._connection = connection
        self._newest_first = newest_first
        self._wanted = {width: Wanted(needs, width) for width in (NARROW, WIDE)}
        self._found = set(others)
        blocks = [Block(*row) for row in connection.execute(_BLOCKS, {"rows": SEGMENT_ROWS})]
        # What is needed first comes last.
        blocks.sort(key=(lambda b: b.last_id) if newest_first else (lambda b: -b.first_id))
        self._blocks = blocks
        self._at_once = 1

    def beyond(self, reached: int | None, size: int) -> tuple[int | None, list[int]]:
        """The next ones, at most `size`, and how far that is; None: there are no more.

        Args:
            reached: not before that of the last call.
        """
        if reached is not None:
            self._found = {row_id for row_id in self._found if self._is_beyond(row_id, reached)}
            self._blocks = [
                block
                for block in self._blocks
                if self._is_beyond(block.first_id if self._newest_first else block.last_id, reached)
            ]
        while len(ready := self._ready()) <= size and self._blocks:
            self._read(self._blocks[-self._at_once :], reached)
            del self._blocks[-self._at_once :]
            self._at_once = min(2 * self._at_once, MOST_AT_ONCE)
        ids = sorted(ready, reverse=self._newest_first)[:size]
        return (ids[-1] if len(ready) > size else None), ids

    def _ready(self) -> set[int]:
        """Those before which no block can have any."""
        if not self._blocks:
            return self._found
        block = self._blocks[-1]
        if self._newest_first:
            return {row_id for row_id in self._found if row_id > block.last_id}
        return {row_id for row_id in self._found if row_id < block.first_id}

    def _read(self, blocks: Sequence[Block], reached: int | None) -> None:
        for found in (self._in_segments(blocks), self._in_wide(blocks), self._in_tail(blocks)):
            self._found.update(
                row_id for row_id in found if reached is None or self._is_beyond(row_id, reached)
            )

    def _in_segments(self, blocks: Sequence[Block]) -> Iterator[int]:
        for number, packed in self._slices(_SEGMENTS, word_segments.name, blocks, NARROW):
            first_id = number * SEGMENT_ROWS
            yield from (first_id + place for place in self._places(packed, NARROW))

    def _in_wide(self, blocks: Sequence[Block]) -> Iterator[int]:
        for row_ids, packed in self._slices(_WIDE_SEGMENTS, wide_segments.name, blocks, WIDE):
            ids = _ids(row_ids)
            yield from (ids[place] for place in self._places(packed, WIDE))

    def _slices(
        self, queries: Mapping[bool, TextClause], table: str, blocks: Sequence[Block], width: int
    ) -> Sequence[Row[*tuple[Any, Any]]]:
        """What the query selects, and the slices, those of all bits or of those wanted."""
        keys = [block.key for block in blocks if block.table == table]
        if not keys:
            return []
        values: dict[str, Any] = {"keys": keys}
        if not (is_whole := self._is_whole(width)):
            size = _rows_of(width) // 8
            starts = [1 + bit * size for bit in self._wanted[width].bits]
            values |= {"starts": starts, "size": size}
        return self._connection.execute(queries[is_whole], values).all()

    def _places(self, packed: bytes, width: int) -> Iterator[int]:
        content, wanted, count = bytes(packed), self._wanted[width], _rows_of(width)
        size = count // 8
        bits = range(width) if self._is_whole(width) else wanted.bits
        slices = {
            bit: int.from_bytes(content[at * size : (at + 1) * size], "big")
            for at, bit in enumerate(bits)
        }
        return wanted.places(slices, count)

    def _is_whole(self, width: int) -> bool:
        return len(self._wanted[width].bits) > MAX_SLICES

    def _in_tail(self, blocks: Sequence[Block]) -> Iterator[int]:
        keys = [block.key for block in blocks if block.table == word_tail.name]
        if not keys:
            return
        column = word_tail.c
        query = select(column.width, column.row_ids, column.signed).where(column.id.in_(keys))
        tails = self._connection.execute(query).all()
        for width, wanted in self._wanted.items():
            some = [tail for tail in tails if tail.width == width]
            if not some:
                continue
            ids = _ids(b"".join(tail.row_ids for tail in some))
            by_bit = Slices(b"".join(tail.signed for tail in some), width)
            found = wanted.places({bit: by_bit[bit] for bit in wanted.bits}, len(ids))
            yield from (ids[place] for place in found)

    def _is_beyond(self, row_id: int, reached: int) -> bool:
        return row_id < reached if self._newest_first else row_id > reached


def _rows_of(width: int) -> int:
    """Of a segment."""
    return SEGMENT_ROWS if width == NARROW else WIDE_SEGMENT_ROWS


# Queries as texts: with so many parts, to put them together would take longer than they run.

_BLOCKS = text(
    "SELECT 'word_segments', number, number * :rows, (number + 1) * :rows - 1 FROM word_segments "
    "UNION ALL SELECT 'wide_segments', id, first_id, last_id FROM wide_segments "
    "UNION ALL SELECT 'word_tail', id, first_id, last_id FROM word_tail"
)
_SOME_SLICES = (
    "(SELECT string_agg(substring(slices FROM start FOR :size), '' ORDER BY place) "
    "FROM unnest(:starts) WITH ORDINALITY AS wanted (start, place))"
)
_SEGMENTS = {
    is_whole: text(
        f"SELECT number, {content} FROM word_segments "  # noqa: S608 - of constants
        "WHERE number = ANY(:keys)"
    )
    for is_whole, content in ((True, "slices"), (False, _SOME_SLICES))
}
_WIDE_SEGMENTS = {
    is_whole: text(
        f"SELECT row_ids, {content} FROM wide_segments "  # noqa: S608 - of constants
        "WHERE id = ANY(:keys)"
    )
    for is_whole, content in ((True, "slices"), (False, _SOME_SLICES))
}
