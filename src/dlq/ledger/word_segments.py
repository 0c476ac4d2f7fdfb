"""The index of words on PostgreSQL: signatures, kept by segments of rows that lie together.

What was stored last waits in a tail, signature by signature, and is folded into the segments a
few thousand rows at a time: a segment is written as a whole. A search looks into both.
"""

from __future__ import annotations

import array
from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import Connection, TextClause, delete, func, insert, select, text
from sqlalchemy.dialects import postgresql

from dlq.ledger import signatures
from dlq.ledger.schema import DELETED, dead_letters, word_segments, word_tail
from dlq.ledger.signatures import Alternatives, Slices
from dlq.ledger.word_index import CUT, Entry

SEGMENT_ROWS = 16_384
"""Ids that a segment is for."""
SLICE_BYTES = SEGMENT_ROWS // 8
FOLDED_AT = 8192
"""Rows in the tail from which they are folded."""
LOOKED_EVERY = 1024
"""Rows between two looks at how many there are."""
WORTH_WRITING = 1024
"""Rows for which a segment is written anew: 1.6 MB. Fewer wait, up to `LONGEST_TAIL`."""
LONGEST_TAIL = 4 * FOLDED_AT
MAX_SLICES = 90
"""From here on a segment is read as a whole."""
MOST_AT_ONCE = 32
"""Segments that one query reads: more each time, since those before did not do."""
_LOCK_KEY = 0x646C7177  # "dlqw"
_ID = "q"  # 64 bits
FARTHEST = 2**62


def _segments(order: str, compared: str, content: str) -> TextClause:
    """As a text: with so many parts, to put the query together would take longer than it runs."""
    return text(
        f"SELECT number, {content} FROM word_segments "  # noqa: S608 - of constants
        f"WHERE number {compared} :reached ORDER BY number {order} LIMIT :limit"
    )


_SOME_SLICES = (
    "(SELECT string_agg(substring(slices FROM start FOR :size), '' ORDER BY place) "
    "FROM unnest(:starts) WITH ORDINALITY AS wanted (start, place))"
)
_SEGMENTS = {
    (newest_first, is_whole): _segments(order, compared, "slices" if is_whole else _SOME_SLICES)
    for newest_first, order, compared in ((True, "DESC", "<"), (False, "ASC", ">"))
    for is_whole in (True, False)
}


# --- writing -----------------------------------------------------------------------------


def index(connection: Connection, entries: Sequence[Entry]) -> None:
    """Args: entries: in the order of their rows. What one of them had before stays indexed."""
    if not entries:
        return
    _append(connection, {entry.row_id: _signature(entry) for entry in entries})
    if entries[-1].row_id % LOOKED_EVERY < len(entries):
        waiting = connection.execute(select(func.sum(word_tail.c.count))).scalar() or 0
        if waiting >= FOLDED_AT:
            fold(connection)


def fold(connection: Connection) -> None:
    """Move rows from the tail into their segments, unless somebody else does; and let go of
    the segments of which all rows are emptied."""
    if not connection.execute(select(func.pg_try_advisory_xact_lock(_LOCK_KEY))).scalar():
        return
    tails = connection.execute(select(*word_tail.c).order_by(word_tail.c.id)).all()
    by_segment: dict[int, dict[int, bytes]] = {}
    for row_id, signed in (pair for tail in tails for pair in _pairs(tail.row_ids, tail.signed)):
        number, place = divmod(row_id, SEGMENT_ROWS)
        known = by_segment.setdefault(number, {})
        known[place] = _joined(known[place], signed) if place in known else signed
    is_long = sum(map(len, by_segment.values())) > LONGEST_TAIL
    left: dict[int, bytes] = {}
    for number, signed_by_place in sorted(by_segment.items()):
        if is_long or len(signed_by_place) >= WORTH_WRITING:
            _write(connection, number, signed_by_place)
        else:
            first_id = number * SEGMENT_ROWS
            left |= {first_id + place: signed for place, signed in signed_by_place.items()}
    connection.execute(delete(word_tail).where(word_tail.c.id.in_([tail.id for tail in tails])))
    if left:
        _append(connection, left)
    _let_go(connection)


def _signature(entry: Entry) -> bytes:
    return signatures.ANYTHING if CUT in entry.words else signatures.signature(entry.words)


def _append(connection: Connection, signed: Mapping[int, bytes]) -> None:
    connection.execute(
        insert(word_tail).values(
            count=len(signed),
            row_ids=array.array(_ID, signed).tobytes(),
            signed=b"".join(signed.values()),
        )
    )


def _pairs(row_ids: bytes, signed: bytes) -> Iterator[tuple[int, bytes]]:
    ids = array.array(_ID, bytes(row_ids))
    size = signatures.BYTES
    for at, row_id in enumerate(ids):
        yield row_id, signed[at * size : (at + 1) * size]


def _joined(one: bytes, other: bytes) -> bytes:
    both = int.from_bytes(one, "big") | int.from_bytes(other, "big")
    return both.to_bytes(len(one), "big")


def _write(connection: Connection, number: int, signed: Mapping[int, bytes]) -> None:
    column = word_segments.c
    slices = Slices(signatures.laid_out(signed, SEGMENT_ROWS)).packed()
    present = connection.execute(select(column.slices).where(column.number == number)).scalar()
    if present is not None:
        slices = _joined(slices, bytes(present))
    written = postgresql.insert(word_segments).values(number=number, slices=slices)
    connection.execute(
        written.on_conflict_do_update(
            index_elements=[column.number], set_={"slices": written.excluded.slices}
        )
    )


def _let_go(connection: Connection) -> None:
    """Of none that new rows come to."""
    column, letter = word_segments.c, dead_letters.c
    newest = select(func.max(column.number)).scalar_subquery()
    first_id = column.number * SEGMENT_ROWS
    still_there = (
        select(letter.id)
        .where(letter.id >= first_id, letter.id < first_id + SEGMENT_ROWS)
        .where(letter.state != DELETED)
        .exists()
    )
    connection.execute(delete(word_segments).where(column.number < newest, ~still_there))


# --- reading -----------------------------------------------------------------------------


class Candidates:
    """The ids of the rows that may meet all of the needs, in order.

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
        self._needs = needs
        self._newest_first = newest_first
        self._bits = signatures.needed_bits(needs)
        self._apart = {*others, *self._in_tail()}  # of segments that are not read yet
        self._ready: list[int] = []
        self._number: int | None = None  # of the segment that was read last
        self._at_once = 1
        self._is_over = False

    def beyond(self, reached: int | None, size: int) -> tuple[int | None, list[int]]:
        """The next ones, at most `size`, and how far that is; None: there are no more.

        Args:
            reached: not before that of the last call.
        """
        if self._number is None and reached is not None:
            edge = reached // SEGMENT_ROWS
            self._number = edge + 1 if self._newest_first else edge - 1
        self._ready = [row_id for row_id in self._ready if self._is_beyond(row_id, reached)]
        while len(self._ready) <= size and not self._is_over:
            found = [row_id for row_id in self._read_on() if self._is_beyond(row_id, reached)]
            self._ready += sorted(found, reverse=self._newest_first)
        ids = self._ready[:size]
        return (ids[-1] if len(self._ready) > size else None), ids

    def _read_on(self) -> set[int]:
        """What the next segments have."""
        if self._number is None:
            self._number = FARTHEST if self._newest_first else -1
        is_whole = len(self._bits) > MAX_SLICES
        bits = [] if is_whole else self._bits
        query = _SEGMENTS[self._newest_first, is_whole]
        rows = self._connection.execute(
            query,
            {
                "reached": self._number,
                "starts": [1 + bit * SLICE_BYTES for bit in bits],
                "size": SLICE_BYTES,
                "limit": self._at_once,
            },
        ).all()
        self._is_over = len(rows) < self._at_once
        self._at_once = min(2 * self._at_once, MOST_AT_ONCE)
        found: set[int] = set()
        for number, packed in rows:
            self._number = number
            first_id = number * SEGMENT_ROWS
            found.update(first_id + place for place in self._places(bytes(packed), is_whole))
        return found | self._taken_apart()

    def _places(self, packed: bytes, is_whole: bool) -> Iterator[int]:
        bits = range(signatures.BITS) if is_whole else self._bits
        slices = {
            bit: int.from_bytes(packed[at * SLICE_BYTES : (at + 1) * SLICE_BYTES], "big")
            for at, bit in enumerate(bits)
        }
        return signatures.places(self._needs, slices.__getitem__, SEGMENT_ROWS)

    def _taken_apart(self) -> set[int]:
        """Those that lie no farther than what was read."""
        if self._is_over or self._number is None:
            near = self._apart
        elif self._newest_first:
            near = {row_id for row_id in self._apart if row_id >= self._number * SEGMENT_ROWS}
        else:
            end = (self._number + 1) * SEGMENT_ROWS
            near = {row_id for row_id in self._apart if row_id < end}
        self._apart = self._apart - near
        return near

    def _in_tail(self) -> list[int]:
        tails = self._connection.execute(select(word_tail.c.row_ids, word_tail.c.signed)).all()
        row_ids = array.array(_ID, b"".join(tail.row_ids for tail in tails))
        if not row_ids:
            return []
        by_bit = Slices(b"".join(tail.signed for tail in tails))
        slices = {bit: by_bit[bit] for bit in self._bits}
        found = signatures.places(self._needs, slices.__getitem__, len(row_ids))
        return [row_ids[at] for at in found]

    def _is_beyond(self, row_id: int, reached: int | None) -> bool:
        if reached is None:
            return True
        return row_id < reached if self._newest_first else row_id > reached
