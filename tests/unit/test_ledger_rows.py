"""Rows of the ledger, read by position."""

from __future__ import annotations

from dlq.ledger.rows import Stored
from dlq.ledger.schema import dead_letters


def test_a_stored_row_has_the_columns_of_its_table_in_their_order() -> None:
    assert Stored._fields == tuple(column.name for column in dead_letters.c)
