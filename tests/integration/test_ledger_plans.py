"""The ledger's questions are answered from indexes, however many dead letters there are.

SQLite says how it will run a statement; what must not happen is that it walks the table, with
its bodies, or sorts all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, event

from dlq.ledger import queries, replays, summaries
from dlq.ledger.base import Filter
from dlq.ledger.database import Database
from dlq.ledger.engines import connect
from dlq.ledger.ingest import ingest
from dlq.ledger.schema import dead_letters
from dlq.states import State
from tests.support.ledger import an_arrival, now


@pytest.fixture
def database(sqlite_ledger_url: str) -> Iterator[Database]:
    opened = connect(sqlite_ledger_url)
    yield opened
    opened.close()


def _page(where: Filter) -> Callable[[Connection], Any]:
    return lambda c: queries.page(c, where, limit=100, offset=1000, newest_first=True)


QUESTIONS: dict[str, Callable[[Connection], Any]] = {
    "page": _page(Filter()),
    "page of one type": _page(Filter(error_type="spotify")),
    "page of one cause": _page(Filter(fingerprint="f")),
    "page of what is replaying": _page(Filter(states=(State.REPLAYING,))),
    "batch of an export": lambda c: queries.after(c, Filter(), row_id=1, up_to=9, limit=5),
    "count": lambda c: queries.count(c, Filter()),
    "get": lambda c: queries.get(c, "m-1"),
    "stats": summaries.stats,
    "ages": lambda c: summaries.ages(c, [0.99], now()),
    "by type": lambda c: summaries.groups(c, dead_letters.c.error_type),
    "by cause": lambda c: summaries.groups(c, dead_letters.c.fingerprint),
    "overdue": lambda c: replays.return_overdue(c, now(), 5, replay_budget=6),
    "unconfirmed": lambda c: replays.unconfirmed(c, now(), 5),
    "replays of one": lambda c: replays.replays_of(c, "m-1"),
}
MAY_SORT = {
    "by type",  # the groups, by size
    "by cause",
    "page of one type",  # the members of one group, by arrival
    "page of one cause",
    "page of what is replaying",
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_no_question_walks_the_table(database: Database, name: str) -> None:
    _fill(database)
    plan = _plan_of(database, QUESTIONS[name])
    assert plan
    walks = [step for step in plan if step.startswith("SCAN dead_letters") and "INDEX" not in step]
    assert walks == [], plan
    if name not in MAY_SORT:
        assert not [step for step in plan if "TEMP B-TREE FOR ORDER" in step], plan


def _fill(database: Database) -> None:
    """One row, so that questions with several steps go all the way."""
    database.write(lambda c: ingest(c, [an_arrival("m-1")], replay_budget=6))


def _plan_of(database: Database, question: Callable[[Connection], Any]) -> list[str]:
    asked: list[tuple[str, Any]] = []

    def ask(connection: Connection) -> list[str]:
        @event.listens_for(connection, "before_cursor_execute")
        def _note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
            if statement.startswith("SELECT"):
                asked.append((statement, parameters))

        question(connection)
        return [
            row[3]
            for statement, parameters in asked
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]

    return database.write(ask)
