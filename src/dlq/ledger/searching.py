"""What a filter's texts find: candidates from the index of words, each read and compared."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Select, select

from dlq.ledger import word_fts, word_index
from dlq.ledger.base import DeadLetter
from dlq.ledger.causes import causes_by_id
from dlq.ledger.conditions import conditions
from dlq.ledger.rows import DEAD_LETTER_COLUMNS, dead_letter_of, raw_of_row, stored
from dlq.ledger.schema import dead_letters
from dlq.ledger.word_segments import Candidates
from dlq.message import Form
from dlq.query import Contains, Filter, Glimpse, Searchable

MIN_CANDIDATES, MAX_CANDIDATES = 50, 1000
"""How many are read at once: more each time, since those before did not do."""

_ALL = select(*DEAD_LETTER_COLUMNS)
_id = dead_letters.c.id


@dataclass(frozen=True, slots=True)
class Batch:
    """What was found among some candidates. `looked_to`: all up to there was looked at; None:
    all there is."""

    looked_to: int | None
    found: Iterator[tuple[int, DeadLetter]]  # read as they are asked for


class Search:
    """One filter with texts, on one connection."""

    def __init__(
        self, connection: Connection, where: Filter, now: dt.datetime, *, newest_first: bool = False
    ) -> None:
        self._connection = connection
        self._where = where
        self._newest_first = newest_first
        self._columns = conditions(connection, where, now)
        wanted = [term for term in where.text_terms if not term.negated]
        self._needs = word_index.needs(connection, wanted)
        self._named = self._rows_named()
        self._segments: Candidates | None = None
        self._glimpse = Glimpse(where.text_terms)

    def batches(
        self,
        reached: int | None = None,
        *,
        up_to: int | None = None,
        size: int = MIN_CANDIDATES,
    ) -> Iterator[Batch]:
        """By key, from beyond `reached`, until all was looked at.

        Args:
            size: candidates of the first batch, about.
        """
        while True:
            looked_to, ids = self._candidates(reached, size)
            if up_to is not None:
                ids = [row_id for row_id in ids if row_id <= up_to]
                looked_to = None if looked_to is not None and looked_to >= up_to else looked_to
            yield Batch(looked_to, self._matching(ids))
            if looked_to is None:
                return
            reached, size = looked_to, min(2 * size, MAX_CANDIDATES)

    def found(
        self, reached: int | None = None, *, size: int = MIN_CANDIDATES
    ) -> Iterator[tuple[int, DeadLetter]]:
        """All that match, by key.

        Args:
            size: how many are wanted, about.
        """
        for batch in self.batches(reached, size=max(size, MIN_CANDIDATES)):
            yield from batch.found

    # --- candidates ----------------------------------------------------------------------

    def _candidates(self, reached: int | None, size: int) -> tuple[int | None, list[int]]:
        """The next ids whose texts may match, and how far that is."""
        if self._needs and self._connection.dialect.name == "postgresql":
            if self._segments is None:
                self._segments = Candidates(
                    self._connection,
                    [need.alternatives for need in self._needs],
                    self._named,
                    newest_first=self._newest_first,
                )
            return self._segments.beyond(reached, size)
        query = self._from_rows() if not self._needs else self._from_fts()
        key = query.selected_columns[0]
        if reached is not None:
            query = query.where(key < reached if self._newest_first else key > reached)
        order = key.desc() if self._newest_first else key
        ids = list(self._connection.execute(query.order_by(order).limit(size)).scalars())
        return (ids[-1] if len(ids) == size else None), ids

    def _from_rows(self) -> Select[int]:
        return select(_id).where(*self._columns)

    def _from_fts(self) -> Select[int]:
        if self._named:
            matching = word_fts.ids(self._needs)
            ids = matching.union_all(select(_id).where(_id.in_(self._named)))
            return select(_id).where(*self._columns, _id.in_(ids))
        # Begun at the index of words, which gives its rows in their order.
        row_id = word_fts.fts.c.rowid
        joined = word_fts.fts.join(dead_letters, _id == row_id)
        matches = word_fts.matches(self._needs)
        return select(row_id.label("id")).select_from(joined).where(matches, *self._columns)

    def _rows_named(self) -> list[int]:
        """Ids are not in the index of words: there is one for them."""
        phrases = [t.phrase for t in self._where.text_terms if isinstance(t, Contains)]
        query = select(_id).where(dead_letters.c.message_id.in_(phrases))
        return list(self._connection.execute(query).scalars()) if phrases else []

    # --- comparing -----------------------------------------------------------------------

    def _matching(self, ids: Sequence[int]) -> Iterator[tuple[int, DeadLetter]]:
        if not ids:
            return
        order = _id.desc() if self._newest_first else _id
        query = _ALL.where(_id.in_(ids), *self._columns).order_by(order)
        rows = stored(self._connection.execute(query))
        known = causes_by_id(self._connection, (row.cause_id for row in rows))
        for row in rows:
            cause, raw = known[row.cause_id], None
            # Of what nothing newer has replaced, the bytes tell much before they are read.
            if row.form == Form.CURRENT and row.is_as_it_came and row.id not in self._named:
                raw = raw_of_row(self._connection, row)
                if not self._glimpse.may_match(raw, (cause.title, cause.error_type)):
                    continue
            letter = dead_letter_of(self._connection, row, cause, raw)
            if self._matches(letter):
                yield row.id, letter

    def _matches(self, letter: DeadLetter) -> bool:
        searched = Searchable.of(letter.message, letter.title)
        return all(searched.matches(term) is not term.negated for term in self._where.text_terms)
