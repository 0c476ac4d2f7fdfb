from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlq.policy.windows import QuietHours, merged, outside, parse_window


def quiet(zone: str, *windows: str) -> QuietHours:
    return QuietHours(merged(span for w in windows for span in parse_window(w)), ZoneInfo(zone))


def only(zone: str, *windows: str) -> QuietHours:
    return QuietHours(outside(span for w in windows for span in parse_window(w)), ZoneInfo(zone))


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


ONE_US = dt.timedelta(microseconds=1)


def check(hours: QuietHours, start: str, end: str) -> None:
    """Quiet from `start` up to, and not including, `end`."""
    start_at, end_at = utc(start), utc(end)
    assert hours.free_from(start_at - ONE_US) == start_at - ONE_US
    assert hours.free_from(start_at) == end_at
    assert hours.free_from(end_at - ONE_US) == end_at
    assert hours.free_from(end_at) == end_at


NIGHT = "22:00-06:00"


@pytest.mark.parametrize(
    ("zone", "start", "end", "hours"),
    [
        ("Europe/Berlin", "2026-03-27T21:00", "2026-03-28T05:00", 8),
        ("Europe/Berlin", "2026-03-28T21:00", "2026-03-29T04:00", 7),
        ("Europe/Berlin", "2026-10-24T20:00", "2026-10-25T05:00", 9),
        ("America/New_York", "2026-03-08T03:00", "2026-03-08T10:00", 7),
        ("America/New_York", "2026-11-01T02:00", "2026-11-01T11:00", 9),
        ("Australia/Lord_Howe", "2026-10-03T11:30", "2026-10-03T19:00", 7.5),
        ("Australia/Lord_Howe", "2026-04-04T11:00", "2026-04-04T19:30", 8.5),
        ("UTC", "2026-03-28T22:00", "2026-03-29T06:00", 8),
    ],
)
def test_a_night_is_quiet_for_its_real_hours(zone: str, start: str, end: str, hours: float) -> None:
    check(quiet(zone, NIGHT), start, end)
    assert utc(end) - utc(start) == dt.timedelta(hours=hours)


def test_a_start_that_is_skipped_is_the_instant_of_the_skip() -> None:
    check(quiet("Europe/Berlin", "02:30-05:00"), "2026-03-29T01:00", "2026-03-29T03:00")
    check(quiet("Australia/Lord_Howe", "02:15-05:00"), "2026-10-03T15:30", "2026-10-03T18:00")


def test_an_end_that_is_skipped_is_the_instant_of_the_skip() -> None:
    check(quiet("America/New_York", "00:00-02:30"), "2026-03-08T05:00", "2026-03-08T07:00")


def test_a_window_that_is_skipped_whole_does_not_happen() -> None:
    hours = quiet("Europe/Berlin", "02:15-02:45")
    for minute in range(0, 180, 5):
        at = utc("2026-03-29T00:00") + dt.timedelta(minutes=minute)
        assert hours.free_from(at) == at


def test_a_repeated_end_is_the_second_one() -> None:
    check(quiet("Europe/Berlin", "22:00-02:30"), "2026-10-24T20:00", "2026-10-25T01:30")
    check(quiet("Australia/Lord_Howe", "22:00-01:45"), "2026-04-04T11:00", "2026-04-04T15:15")


def test_a_repeated_start_is_the_first_one() -> None:
    check(quiet("America/New_York", "01:30-05:00"), "2026-11-01T05:30", "2026-11-01T10:00")


def test_in_a_repeated_hour_what_is_only_allowed_gets_the_shorter_time() -> None:
    hours = only("Europe/Berlin", "02:30-05:00")
    assert hours.free_from(utc("2026-10-25T00:30")) == utc("2026-10-25T01:30")
    hours = only("Europe/Berlin", "22:00-02:30")
    assert hours.free_from(utc("2026-10-25T00:29")) == utc("2026-10-25T00:29")
    assert hours.free_from(utc("2026-10-25T00:30")) == utc("2026-10-25T21:00")


def test_an_only_window_within_the_repeated_hour_waits_for_the_next_day() -> None:
    hours = only("Europe/Berlin", "02:15-02:45")
    assert hours.free_from(utc("2026-10-24T12:00")) == utc("2026-10-26T01:15")


def test_an_only_window_that_is_skipped_waits_for_the_next_day() -> None:
    hours = only("Europe/Berlin", "02:15-02:45")
    assert hours.free_from(utc("2026-03-28T12:00")) == utc("2026-03-30T00:15")


def test_a_day_that_a_zone_skipped_waits_for_the_next_week() -> None:
    hours = only("Pacific/Apia", "Fri 00:00-24:00")  # there was no Friday 2011-12-30
    assert hours.free_from(utc("2011-12-29T12:00")) == utc("2012-01-05T10:00")


def test_days_are_those_on_which_a_window_starts() -> None:
    hours = quiet("UTC", "Fri 22:00-06:00")
    check(hours, "2026-11-27T22:00", "2026-11-28T06:00")
    assert hours.free_from(utc("2026-11-28T23:00")) == utc("2026-11-28T23:00")


def test_days_and_windows_may_go_over_the_end_of_the_week() -> None:
    check(quiet("UTC", "Sat-Mon 00:00-24:00"), "2026-11-28T00:00", "2026-12-01T00:00")
    check(quiet("UTC", "Sun 22:00-06:00"), "2026-11-29T22:00", "2026-11-30T06:00")


def test_windows_that_touch_are_one_stretch_of_quiet() -> None:
    hours = quiet("Europe/Berlin", "Mon-Fri 07:00-23:00", "23:00-01:00", "00:30-07:00")
    assert hours.free_from(utc("2026-11-23T06:00")) == utc("2026-11-28T06:00")


def test_off_peak_is_said_either_way() -> None:
    either = quiet("UTC", "Mon-Fri 07:00-23:00")
    other = only("UTC", "Mon-Fri 23:00-07:00", "Sat-Sun 00:00-24:00", "Mon 00:00-07:00")
    assert either.spans == other.spans
    assert either.shown()[0] == "Mon 07:00 - Mon 23:00"


def test_only_all_week_is_never_quiet() -> None:
    assert only("UTC", "00:00-24:00").spans == ()
    assert only("UTC", "00:00-24:00").free_from(utc("2026-01-01")) == utc("2026-01-01")


@pytest.mark.parametrize(
    "text",
    [
        "22:00",
        "22-6",
        "22:00-22:00",
        "24:00-06:00",
        "22:60-23:00",
        "22:00-25:00",
        "24:01-03:00",
        "Foo 22:00-23:00",
        "Mon-Fri",
        "Mon,Tue 10:00-11:00",
        "",
        None,
        "٢٢:٠٠-٢٣:٠٠",
    ],
)
def test_a_malformed_window_is_refused(text: str | None) -> None:
    with pytest.raises(ValueError, match='expected a window such as "22:00-06:00"'):
        parse_window(text)


ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")
times = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
texts = st.builds("{}{}-{}".format, st.sampled_from(["", "Mon ", "Sat-Tue "]), times, times)
windows = st.lists(texts.filter(lambda w: w[-5:] != w[-11:-6]), min_size=1, max_size=4)
instants = st.integers(0, 365 * 86_400).map(
    lambda second: utc("2026-01-01") + dt.timedelta(seconds=second)
)


@given(windows, st.sampled_from(ZONES), instants)
def test_time_that_is_free_is_free_and_no_time_before_it(
    texts: list[str], zone: str, at: dt.datetime
) -> None:
    hours = quiet(zone, *texts)
    if hours.spans == ((0, 7 * 24 * 60),):
        return
    free_at = hours.free_from(at)
    assert at <= free_at <= at + dt.timedelta(days=9)
    assert hours.free_from(free_at) == free_at
    if free_at > at:
        assert hours.free_from(at + (free_at - at) / 2) == free_at


@given(windows, st.sampled_from(ZONES), instants)
def test_it_is_quiet_whenever_the_wall_clock_says_so(
    texts: list[str], zone: str, at: dt.datetime
) -> None:
    hours = quiet(zone, *texts)
    wall = at.astimezone(ZoneInfo(zone))
    minute = wall.weekday() * 1440 + wall.hour * 60 + wall.minute
    is_within = any(s <= m < e for s, e in hours.spans for m in (minute, minute + 10_080))
    if is_within and hours.spans != ((0, 7 * 24 * 60),):
        assert hours.free_from(at) > at
