"""How well real failures are understood: `tests/corpus`, on the parts that measure."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

import pytest

from dlq.classify import Category
from tests.corpus.book import Raised
from tests.corpus.parts import PARTS, causes_of, ways_of
from tests.corpus.report import Report
from tests.corpus.running import run
from tests.corpus.world import World
from tests.support.postgres import PostgresCluster
from tests.support.rabbitmq import BrokerNode

NEVER_RAISED = {Category.MALFORMED}
"""What no exception can be: it is said of messages that cannot be read."""


MEASURED = ("unseen", "fresh", "blind")


@pytest.fixture(scope="module")
def reports(postgres: PostgresCluster, broker: BrokerNode) -> dict[str, Report]:
    """The report on each part that measures; its causes fail once for all tests here."""
    with World(postgres=postgres, broker=broker) as world:
        return {
            part: Report(part, list(run(causes_of(part), ways_of(part), world)))
            for part in MEASURED
        }


def test_the_corpus_is_as_large_as_it_claims() -> None:
    causes = {part: causes_of(part) for part in PARTS}
    names = Counter(cause.name for part in PARTS for cause in causes[part])
    raised = [cause for part in PARTS for cause in causes[part] if isinstance(cause, Raised)]
    apps = {cause.app for cause in raised}

    assert len({app.path for app in apps}) == len(apps), "one file has one source text"
    assert [name for name, count in names.items() if count > 1] == []
    assert len(names) >= 150
    assert len(causes["unseen"]) >= 110
    assert len(causes["fresh"]) >= 60
    assert len(causes["blind"]) >= 60
    assert min(cause.variations for part in PARTS for cause in causes[part]) >= 4


def test_every_category_that_can_be_raised_occurs_in_every_part() -> None:
    for part in PARTS:
        categories = {cause.category for cause in causes_of(part)}
        assert categories >= set(Category) - NEVER_RAISED


@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", MEASURED)
def test_every_case_did_fail(reports: dict[str, Report], part: str) -> None:
    results = reports[part].results
    raised = {cause: len(list(cases)) for cause, cases in groupby(r.cause for r in results)}

    assert raised == {cause.name: cause.variations for cause in causes_of(part)}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", MEASURED)
def test_categories_are_right(reports: dict[str, Report], part: str) -> None:
    assert reports[part].accuracy >= 0.97, f"\n{reports[part]}"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", MEASURED)
def test_one_cause_is_one_group(reports: dict[str, Report], part: str) -> None:
    assert reports[part].rand_index >= 0.97, f"\n{reports[part]}"
