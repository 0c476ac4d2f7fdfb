"""The keeper: it warns before it lets go, goes on after a fault, and is told of by the manager."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import time_machine
from fastapi.testclient import TestClient

from dlq.errors import LedgerUnavailable
from dlq.keeping import Loss
from dlq.ledger import open_ledger
from dlq.ledger.base import Ledger
from dlq.manager.app import create_app
from dlq.manager.keeper import Keeper
from dlq.manager.outlook import MainQueue
from dlq.manager.service import Manager
from dlq.settings import Settings
from tests.support.ledger import an_arrival, stored
from tests.support.waiting import until

NOW = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
HOUR = dt.timedelta(hours=1)
MINUTE = dt.timedelta(minutes=1)
BASE = "http://127.0.0.1:8024"
LIMIT = 100_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        ledger_url=f"sqlite:///{tmp_path / 'kept.sqlite'}",
        keeper_interval_s=0.05,
        retention_grace_s=0,
    )


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    opened = open_ledger(settings.resolved_ledger_url)
    yield opened
    opened.close()


class Kept:
    """A keeper, the depth it is told, and what it tells."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self.depth: int | None = None
        self.expired: Counter[Loss] = Counter()
        self.keeper = Keeper(
            ledger,
            settings,
            main_depth=lambda: self.depth,
            on_expired=self._note,
        )

    def _note(self, loss: Loss, count: int) -> None:
        self.expired[loss] += count


@pytest.fixture
def kept(ledger: Ledger, settings: Settings) -> Kept:
    with time_machine.travel(NOW, tick=False):
        return Kept(ledger, settings)


def store(ledger: Ledger, age: dt.timedelta, count: int = 1) -> None:
    with time_machine.travel(NOW - age, tick=False):
        ledger.ingest([an_arrival() for _ in range(count)])


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


# --- rounds ------------------------------------------------------------------------------


def test_a_round_lets_go_of_what_is_old_and_counts_it(ledger: Ledger, kept: Kept) -> None:
    store(ledger, 31 * DAY, 120)
    store(ledger, DAY)
    kept.keeper.round(NOW)
    assert kept.expired == {Loss.DLQ: 120}
    assert ledger.stats().in_dlq == 1


def test_nothing_goes_in_the_grace_but_the_warning_is_there(
    ledger: Ledger, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    store(ledger, 60 * DAY, 3)
    with time_machine.travel(NOW, tick=False):
        grace_s = {"retention_grace_s": HOUR.total_seconds()}
        kept = Kept(ledger, settings.model_copy(update=grace_s))
    kept.keeper.round(NOW)
    assert not kept.expired
    assert "the first now; 3 within 7 days" in warnings(caplog)[0]
    kept.keeper.round(NOW + HOUR)
    assert kept.expired[Loss.DLQ] == 3


def test_a_fault_ends_a_part_of_a_round_and_the_next_round_does_it(
    ledger: Ledger,
    kept: Kept,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store(ledger, 31 * DAY)
    tended: list[dt.datetime] = []
    monkeypatch.setattr(ledger, "tend", tended.append)

    def away(*_: Any, **__: Any) -> None:
        raise LedgerUnavailable("The disk is full.")

    with monkeypatch.context() as fault:
        fault.setattr(ledger.retention, "outlook", away)
        kept.keeper.round(NOW)
    assert kept.keeper.outlook is None
    assert kept.expired[Loss.DLQ] == 1
    assert tended == [NOW]
    assert warnings(caplog) == ["The keeper's round is cut short: The disk is full."]
    kept.keeper.round(NOW)
    assert kept.keeper.outlook is not None


def test_the_thread_keeps_going_and_stops_within_a_step(ledger: Ledger, kept: Kept) -> None:
    kept.keeper.start()
    with time_machine.travel(dt.datetime.now(dt.UTC) - 31 * DAY, tick=False):
        stored(ledger)
    until(lambda: kept.expired[Loss.DLQ] == 1, 20, "the keeper let nothing go")
    began = time.monotonic()
    kept.keeper.stop(began + 10)
    assert time.monotonic() - began < 5


# --- the outlook -------------------------------------------------------------------------


def test_a_loss_by_age_is_warned_of_once_with_what_to_do(
    ledger: Ledger, kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    store(ledger, 22 * DAY, 2)
    kept.keeper.round(NOW)
    assert warnings(caplog) == []
    for minutes in range(3):
        kept.keeper.round(NOW + DAY + minutes * MINUTE)
    (warning,) = warnings(caplog)
    assert warning == (
        "Dead letters that nobody replayed will be let go, the first in 7.0 days; 2 within "
        "7 days: dlq list --where 'age>552h'. Replay or export them, or keep them longer with "
        "DLQ_RETENTION_DLQ (now 30d)."
    )
    seen = kept.keeper.outlook
    assert seen is not None
    assert seen.days_left_by_age == pytest.approx(7, abs=0.01)
    assert seen.next_loss_at == NOW + 8 * DAY
    assert (seen.at_risk_count, seen.at_risk_is_more) == (2, False)
    assert seen.days_left_by_length is None


def test_an_empty_dlq_has_nothing_to_lose(kept: Kept) -> None:
    kept.keeper.round(NOW)
    seen = kept.keeper.outlook
    assert seen is not None
    assert (seen.days_left_by_age, seen.days_left_by_length, seen.warnings) == (None, None, ())


def test_a_main_queue_that_fills_up_is_warned_of_until_it_is_taken_in(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for minute in range(10):
        kept.depth = 100 * minute
        kept.keeper.round(NOW + minute * MINUTE)
    seen = kept.keeper.outlook
    assert seen is not None
    assert seen.days_left_by_length == pytest.approx((LIMIT - 900) / 100 / 60 / 24)
    assert len(warnings(caplog)) == 1
    assert "enrichment.dlq.queue has 100 of at most 100000 messages" in warnings(caplog)[0]
    assert "in 17 hours at this rate" in warnings(caplog)[0]
    kept.depth = 0
    kept.keeper.round(NOW + 11 * MINUTE)
    assert kept.keeper.outlook is not None
    assert kept.keeper.outlook.days_left_by_length is None
    assert "Nothing is about to be lost any more" in caplog.messages


def queue(*depths: int | None, ttl: dt.timedelta = 30 * DAY) -> MainQueue:
    """Looked at once an hour."""
    found = MainQueue(max_length=LIMIT, ttl_ms=round(ttl.total_seconds() * 1000))
    for number, depth in enumerate(depths):
        found.note(depth, NOW + number * HOUR)
    return found


@pytest.mark.parametrize("depths", [(), (None,), (0,), (5,), (7, 7), (9, 3), (0, 0, 0), (5, None)])
def test_a_queue_that_does_not_grow_does_not_fill_up(depths: tuple[int | None, ...]) -> None:
    assert queue(*depths).full_at is None


def test_a_full_queue_drops_its_oldest_now() -> None:
    assert queue(LIMIT).full_at == NOW
    assert queue(LIMIT - 10, LIMIT + 3).full_at == NOW + HOUR


def test_growth_tells_when_a_queue_is_full() -> None:
    assert queue(0, 10_000, 20_000).full_at == NOW + 10 * HOUR
    # Only the last looks count; and in a century nothing is due.
    assert queue(0, *[10_000] * 29, 10_100).full_at == NOW + 30 * HOUR + 899 * 29 * HOUR
    assert queue(*[0] * 29, 1).full_at is None


def test_what_waits_in_the_queue_runs_out_by_its_ttl() -> None:
    assert queue(0, 5, 3).expires_at == NOW + HOUR + 30 * DAY
    assert queue(5, 0, 3, None).expires_at == NOW + 2 * HOUR + 30 * DAY
    assert queue(5, 0).expires_at is None


# --- told by the manager -----------------------------------------------------------------


def test_stats_and_metrics_tell_what_is_lost_next(settings: Settings, ledger: Ledger) -> None:
    began = dt.datetime.now(dt.UTC)
    with time_machine.travel(began - 25 * DAY, tick=False):
        stored(ledger)
    service = Manager(settings)
    with TestClient(create_app(service), base_url=BASE) as api:
        until(lambda: service.keeper.outlook is not None, 20, "the keeper did not look")
        seen = api.get("/dlq/stats").json()["retention"]
        assert seen["days_left_by_age"] == pytest.approx(5, abs=0.01)
        assert seen["days_left_by_length"] is None
        assert seen["at_risk_count"] == 1
        assert len(seen["warnings"]) == 1
        page = api.get("/metrics").text
        assert 'dlq_retention_days_left{limit="age"} 4.99' in page
        assert 'dlq_retention_days_left{limit="length"}' not in page
        for reason in Loss:
            assert f'dlq_expired_total{{reason="{reason}"}} 0.0' in page
