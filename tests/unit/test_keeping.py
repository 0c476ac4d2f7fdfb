"""How long things are kept, as it is written in a setting."""

from __future__ import annotations

import datetime as dt

import pytest

from dlq.errors import InvalidInput, SettingsError
from dlq.keeping import Keep, parse_keep, rest_s, show_span
from dlq.settings import Settings

DAY = dt.timedelta(days=1)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("30d", Keep(30 * DAY)),
        ("off", Keep(None)),
        ("0", Keep(None)),
        ("12h", Keep(DAY / 2)),
        ("2W", Keep(14 * DAY)),
        (" 30d , Rate_Limit = 14d,bug=off ", Keep(30 * DAY, {"rate_limit": 14 * DAY, "bug": None})),
        ("off,timeout=1d", Keep(None, {"timeout": DAY})),
    ],
)
def test_a_span_for_all_and_for_single_categories(text: str, kept: Keep) -> None:
    assert parse_keep(text) == kept


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "got ''"),
        ("30", "as 12h, 30d or 2w"),
        ("30s", "got '30s'"),
        ("0h", "from 1h to 3650d"),
        ("3651d", "got '3651d'"),
        ("-1d", "got '-1d'"),
        ("bug=30d", "the span for all categories first, as 30d,bug=30d"),
        ("30d,bug", "category=span"),
        ("30d,", "category=span"),
        ("30d,rate_limits=1d", "Did you mean rate_limit?"),
        ("30d,bug=1d,bug=2d", "got bug twice"),
        ("30d," + "x" * 5000, "category=span"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, told: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_keep(text)
    assert told in str(refused.value)
    assert len(str(refused.value)) < 400


def test_a_category_has_its_own_span_and_all_others_share_one() -> None:
    keep = parse_keep("30d,rate_limit=14d,auth=14d,bug=off")
    assert keep.of("rate_limit") == 14 * DAY
    assert keep.of("bug") is None
    assert keep.of("timeout") == keep.of(None) == 30 * DAY
    assert list(keep.spans()) == [14 * DAY, 30 * DAY]


@pytest.mark.parametrize(
    ("span", "shown"),
    [(30 * DAY, "30 days"), (DAY, "1 day"), (DAY * 1.5, "36 hours"), (DAY / 24, "1 hour")],
)
def test_a_span_is_told_in_days_or_hours(span: dt.timedelta, shown: str) -> None:
    assert show_span(span) == shown


def test_the_slower_the_ledger_the_longer_it_is_left_alone() -> None:
    assert rest_s(0.0) > 0
    assert rest_s(0.1) == pytest.approx(0.3)
    assert rest_s(0.5) > rest_s(0.1)
    assert rest_s(3600.0) <= 10


def test_the_specified_spans_are_the_defaults() -> None:
    rules = Settings().retention
    assert rules.dlq.of("bug") == 30 * DAY
    assert rules.resolved.of("bug") == 7 * DAY
    assert rules.history.of("bug") == 90 * DAY


def test_a_span_that_cannot_be_read_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLQ_RETENTION_DLQ", "30days")
    with pytest.raises(SettingsError, match=r"DLQ_RETENTION_DLQ: .*30days"):
        Settings.load()
