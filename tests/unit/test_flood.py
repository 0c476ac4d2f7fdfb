"""The flood limit tells once per window, and only when it is a flood."""

from __future__ import annotations

import logging

import pytest

from dlq.client.flood import FloodReport, FloodWatch
from dlq.settings import Settings


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reports() -> list[FloodReport]:
    return []


def watch(clock: Clock, reports: list[FloodReport], count: int = 10) -> FloodWatch:
    settings = Settings(flood_window_s=60, flood_count=count, flood_ratio=0.5)
    return FloodWatch(settings, reports.append, clock)


def test_without_known_successes_only_the_count_matters(
    clock: Clock, reports: list[FloodReport]
) -> None:
    flood = watch(clock, reports)
    flood.record_failure(9)
    assert reports == []
    flood.record_failure()
    assert reports == [FloodReport(10, 0, 60.0, None)]


def test_many_failures_among_more_successes_are_no_flood(
    clock: Clock, reports: list[FloodReport]
) -> None:
    flood = watch(clock, reports)
    flood.record_success(100)
    flood.record_failure(99)
    assert reports == []
    flood.record_failure()
    assert [r.ratio for r in reports] == [0.5]


def test_it_tells_once_per_window(clock: Clock, reports: list[FloodReport]) -> None:
    flood = watch(clock, reports)
    for _ in range(50):
        flood.record_failure()
    assert len(reports) == 1
    clock.now += 61
    flood.record_failure(10)
    assert len(reports) == 2


def test_failures_older_than_the_window_are_forgotten(
    clock: Clock, reports: list[FloodReport]
) -> None:
    flood = watch(clock, reports)
    flood.record_failure(9)
    clock.now += 61
    flood.record_failure(9)
    assert reports == []


def test_a_hook_that_raises_is_logged_and_ignored(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def hook(_report: FloodReport) -> None:
        raise ValueError("broken hook")

    flood = FloodWatch(Settings(flood_count=1), hook, clock)
    with caplog.at_level(logging.ERROR):
        flood.record_failure()
    assert "Flood of failures: 1 failed" in caplog.text
    assert "broken hook" in caplog.text
