"""The ledger's questions are answered from indexes, however many dead letters there are.

SQLite says how it will run a statement; what must not happen is that it walks the table, with
its bodies, or sorts all of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, event

from dlq.job import Choice, JobOptions, JobState, NewJob
from dlq.ledger import (
    ReplayRules,
    choosing,
    group_pages,
    group_samples,
    group_story,
    jobs,
    outcomes,
    providers,
    queries,
    replays,
    schedule,
    summaries,
)
from dlq.ledger.advance import advance
from dlq.ledger.cause_book import Sort
from dlq.ledger.database import Database
from dlq.ledger.engines import connect
from dlq.ledger.ingest import ingest
from dlq.ledger.schema import replays as replay_rows
from dlq.query import Filter, parse, where
from dlq.states import Outcome, State
from tests.support.ledger import an_arrival, now


@pytest.fixture
def database(sqlite_ledger_url: str) -> Iterator[Database]:
    opened = connect(sqlite_ledger_url)
    yield opened
    opened.close()


def _page(chosen: Filter) -> Callable[[Connection], Any]:
    return lambda c: queries.page(c, chosen, limit=100, offset=1000, newest_first=True)


RULES = ReplayRules()

QUESTIONS: dict[str, Callable[[Connection], Any]] = {
    "page": _page(Filter()),
    "page of one type": _page(where(error_type="spotify")),
    "page of one cause": _page(where(fingerprint="f")),
    "page of what is replaying": _page(where(states=(State.REPLAYING,))),
    "batch of an export": lambda c: queries.after(
        c, Filter(), row_id=1, up_to=9, limit=5, now=now()
    ),
    "count": lambda c: queries.count(c, Filter()),
    "get": lambda c: queries.get(c, "m-1"),
    "stats": summaries.stats,
    "ages": lambda c: summaries.ages(c, [0.99], now()),
    "by type": group_samples.by_error_type,
    "by cause": lambda c: group_pages.page(
        c, statuses=(), states=(), sort=Sort.COUNT, limit=5, offset=0, now=now()
    ),
    "a group": lambda c: group_story.story(c, "a" * 16, now()),
    "page of what is resolved": _page(where(states=(State.RESOLVED,))),
    "a word": _page(parse("deadmau5")),
    "a value": _page(parse("payload.artist_name:Deadmau5")),
    "next page": lambda c: queries.scroll(c, Filter(), limit=5, cursor="a0", newest_first=False),
    "overdue": lambda c: outcomes.close_overdue(c, now(), 5, Outcome.RETURNED, rules=RULES),
    "unconfirmed": lambda c: replays.unconfirmed(c, now(), 5),
    "what is undecided": lambda c: schedule.undecided(c, 5),
    "what is due": lambda c: schedule.due(c, now(), limit=5),
    "providers": lambda c: providers.listed(c, now()),
    "outcomes by provider": lambda c: outcomes.outcome_counts(c, replay_rows.c.error_type),
    "replays of one": lambda c: replays.replays_of(c, "m-1"),
    "jobs to run": lambda c: jobs.runnable(c, now()),
    "a job": lambda c: _stepped(c, JobOptions()),
    "a job with a canary": lambda c: _stepped(c, JobOptions(canary=1)),
    "a job in order": lambda c: _stepped(c, JobOptions(ordered_by="payload.track_id")),
    "a job that skips": lambda c: _stepped(c, JobOptions(skip_superseded="payload.track_id")),
    "a claim": lambda c: schedule.claim(c, "spotify", [], rules=RULES, now=now()),
}
WALK = re.compile("SCAN (dead_letters|replays|job_items)")
MAY_SORT = {
    "a job",  # its errors, by how many; the statuses of one job
    "a job with a canary",
    "a job in order",
    "a job that skips",
    "by type",  # the groups, by size
    "by cause",
    "page of one type",  # the members of one group, by arrival
    "page of one cause",
    "page of what is replaying",
    "page of what is resolved",
    "a group",
    "jobs to run",  # as few as are not over
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_no_question_walks_the_table(database: Database, name: str) -> None:
    _fill(database)
    plan = _plan_of(database, QUESTIONS[name])
    assert plan
    walks = [step for step in plan if WALK.match(step) and "INDEX" not in step]
    assert walks == [], plan
    if name not in MAY_SORT:
        assert not [step for step in plan if "TEMP B-TREE FOR ORDER" in step], plan


def _stepped(connection: Connection, options: JobOptions) -> None:
    """A job made and sent on until nothing more goes."""
    new = NewJob(Choice(where="state:dlq"), options, "ann")
    made = choosing.create(connection, new, now=now())
    while advance(connection, made, rules=RULES, now=now()).wait_s == 0:
        pass
    jobs.get(connection, made, now())


def _fill(database: Database) -> None:
    """One row, so that questions with several steps go all the way."""
    database.write(lambda c: ingest(c, [an_arrival("m-1")], rules=RULES))


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


@pytest.mark.parametrize(
    "options",
    [
        JobOptions(canary=0),
        JobOptions(canary=50),
        JobOptions(canary=0, ordered_by="payload.track_id"),
        JobOptions(canary=0, skip_superseded="payload.track_id"),
    ],
    ids=["plain", "canary", "ordered", "superseded"],
)
def test_a_step_of_a_job_reads_as_much_of_many_items_as_of_few(
    database: Database, options: JobOptions
) -> None:
    few = _instructions_of_a_step(database, options, 300)
    many = _instructions_of_a_step(database, options, 3000)
    assert many < 2 * few + 2000, (few, many)


def _instructions_of_a_step(database: Database, options: JobOptions, count: int) -> int:
    """What SQLite does for the second step that sends, in steps of its virtual machine."""
    fresh = [an_arrival(f"{count}-{n}", payload={"track_id": f"t{n}"}) for n in range(count)]
    database.write(lambda c: ingest(c, fresh, rules=RULES))
    new = NewJob(Choice(message_ids=tuple(f"{count}-{n}" for n in range(count))), options, "ann")
    made = database.write(lambda c: choosing.create(c, new, now=now()))
    while database.read(lambda c: jobs.get(c, made, now())).state is JobState.PREPARING:
        database.write(lambda c: advance(c, made, rules=RULES, now=now()))
    database.write(lambda c: advance(c, made, rules=ReplayRules(concurrency=2), now=now()))
    ticks = 0

    def tick() -> int:
        nonlocal ticks
        ticks += 1
        return 0

    def step(connection: Connection) -> int:
        raw = connection.connection.driver_connection
        assert raw is not None
        raw.set_progress_handler(tick, 1)
        claim = advance(connection, made, rules=RULES, now=now())
        raw.set_progress_handler(None, 0)
        return len(claim.begun)

    assert database.write(step) > 0
    return ticks
