"""How well real failures are understood: `tests/corpus`, on the part no rule was written on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby

import pytest

from dlq.classify import Category
from tests.corpus.parts import PARTS, causes_of, ways_of
from tests.corpus.report import Report
from tests.corpus.running import run
from tests.corpus.world import World
from tests.support.postgres import PostgresCluster
from tests.support.rabbitmq import BrokerNode

NEVER_RAISED = {Category.MALFORMED}
"""What no exception can be: it is said of messages that cannot be read."""


@pytest.fixture(scope="module")
def unseen(postgres: PostgresCluster, broker: BrokerNode) -> Iterator[Report]:
    """The report on the unseen part; its causes fail once for all tests here."""
    with World(postgres=postgres, broker=broker) as world:
        yield Report("unseen", list(run(causes_of("unseen"), ways_of("unseen"), world)))


def test_the_corpus_is_as_large_as_it_claims() -> None:
    causes = {part: causes_of(part) for part in PARTS}
    names = Counter(cause.name for part in PARTS for cause in causes[part])
    apps = {cause.app for part in PARTS for cause in causes[part]}

    assert len({app.path for app in apps}) == len(apps), "one file has one source text"
    assert [name for name, count in names.items() if count > 1] == []
    assert len(names) >= 150
    assert len(causes["unseen"]) >= 110
    assert min(cause.variations for part in PARTS for cause in causes[part]) >= 4


def test_every_category_that_can_be_raised_occurs_in_both_parts() -> None:
    for part in PARTS:
        assert {cause.category for cause in causes_of(part)} == set(Category) - NEVER_RAISED


@pytest.mark.timeout(180)
def test_every_case_did_fail(unseen: Report) -> None:
    raised = {cause: len(list(cases)) for cause, cases in groupby(r.cause for r in unseen.results)}

    assert raised == {cause.name: cause.variations for cause in causes_of("unseen")}


@pytest.mark.timeout(180)
def test_categories_are_right_on_the_unseen_part(unseen: Report) -> None:
    assert unseen.accuracy >= 0.97, f"\n{unseen}"


@pytest.mark.timeout(180)
def test_one_cause_is_one_group_on_the_unseen_part(unseen: Report) -> None:
    assert unseen.rand_index >= 0.97, f"\n{unseen}"
