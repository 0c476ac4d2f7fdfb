"""Pace: what a limit lets through over time, and how rates are read."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlq.errors import InvalidInput
from dlq.pace import (
    DECREASE,
    INCREASE,
    INCREASE_AFTER,
    LEAST_SHARE,
    MAX_BURST,
    MAX_RATE_PER_S,
    Limit,
    Limits,
    parse_limits,
    parse_rate,
    share_at,
    slowed_share,
)

T0 = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def _after(seconds: float) -> dt.datetime:
    return T0 + dt.timedelta(seconds=seconds)


# --- limits ------------------------------------------------------------------------------


def test_a_fresh_bucket_gives_its_burst_and_then_one_an_interval() -> None:
    limit = Limit(1.0, 3)
    assert limit.available(None, T0) == 3
    next_at = limit.spend(None, T0, 3)
    assert limit.available(next_at, T0) == 0
    assert limit.wait_s(next_at, T0) == 1.0
    assert limit.available(next_at, _after(0.999)) == 0
    assert limit.available(next_at, _after(1)) == 1
    assert limit.available(next_at, _after(3)) == 3
    assert limit.available(next_at, _after(3600)) == 3, "a pause fills no more than the burst"


def test_a_debt_is_waited_for() -> None:
    limit = Limit(2.0, 1)
    next_at = limit.spend(None, T0, 10)
    assert limit.available(next_at, T0) == 0
    assert limit.wait_s(next_at, T0) == 5.0
    assert limit.available(next_at, _after(5)) == 1


def test_a_fast_limit_lets_what_is_due_within_a_tenth_of_a_second_go_together() -> None:
    assert Limit(100.0, 1).available(None, T0) == 10
    assert Limit(9.0, 1).available(None, T0) == 1
    assert Limit(100.0, 50).available(None, T0) == 50


@given(
    rate=st.floats(0.01, 500),
    burst=st.integers(1, 50),
    steps=st.lists(st.tuples(st.floats(0, 5), st.integers(0, 20)), min_size=1, max_size=60),
)
def test_never_more_goes_than_rate_and_burst_allow(
    rate: float, burst: int, steps: list[tuple[float, int]]
) -> None:
    limit = Limit(rate, burst)
    next_at, passed_s, sent = None, 0.0, 0
    for pause_s, wanted in steps:
        passed_s += pause_s
        now = _after(passed_s)
        count = min(limit.available(next_at, now), wanted)
        if count:
            next_at = limit.spend(next_at, now, count)
        sent += count
        at_once = max(burst, rate * 0.1)
        assert sent <= rate * passed_s * 1.001 + at_once + 0.001


@given(rate=st.floats(0.001, 10_000), burst=st.integers(1, 100), spent=st.integers(1, 500))
def test_after_the_wait_that_it_names_one_may_go(rate: float, burst: int, spent: int) -> None:
    limit = Limit(rate, burst)
    next_at = limit.spend(None, T0, spent)
    wait_s = limit.wait_s(next_at, T0)
    assert (wait_s == 0) == (limit.available(next_at, T0) > 0)
    # An instant holds whole microseconds, a wait does not.
    assert limit.available(next_at, _after(wait_s) + dt.timedelta(microseconds=1)) >= 1


def test_a_share_slows_the_rate_and_leaves_the_burst() -> None:
    assert Limit(8.0, 4).shared(0.25) == Limit(2.0, 4)


def test_headroom_and_the_limit_of_others() -> None:
    limits = Limits({"spotify": Limit(10.0, 5)}, Limit(2.0, 1), headroom=0.1)
    assert limits.of("spotify").rate_per_s == pytest.approx(9.0)
    assert limits.of("unheard of") == Limit(1.8, 1)


# --- shares ------------------------------------------------------------------------------


def test_a_share_recovers_step_by_step_up_to_all() -> None:
    assert share_at(0.5, None, T0) == 1.0
    assert share_at(0.5, T0, T0) == 0.5
    step_s = INCREASE_AFTER.total_seconds()
    assert share_at(0.5, T0, _after(step_s - 0.001)) == 0.5
    assert share_at(0.5, T0, _after(step_s)) == pytest.approx(0.5 + INCREASE)
    assert share_at(0.5, T0, _after(100 * step_s)) == 1.0
    assert share_at(0.5, T0, _after(-60)) == 0.5, "another manager's clock is ahead"


def test_a_share_is_halved_down_to_the_least() -> None:
    share = 1.0
    for _ in range(10):
        share = slowed_share(share)
        assert share >= LEAST_SHARE
    assert slowed_share(1.0) == DECREASE
    assert share == LEAST_SHARE


# --- reading -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("1/s", 1.0),
        (" 30 / m ", 0.5),
        ("5/10s", 0.5),
        ("1000/h", 1000 / 3600),
        ("0.5/s", 0.5),
        (f"{MAX_RATE_PER_S:.0f}/s", MAX_RATE_PER_S),
        ("1/24h", 1 / 86_400),
    ],
)
def test_a_rate_is_read(text: str, rate: float) -> None:
    assert parse_rate(text) == pytest.approx(rate)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1/d",
        "0/s",
        "-1/s",
        "1/0s",
        "10001/s",
        "1e3/s",
        "nan/s",
        "inf/s",
        "1/s;",
        "1/s\n1/s",
        "9" * 400 + "/s",
        "1/" + "9" * 400 + "s",
        "1/" + "9" * 5000 + "s",
        "0." + "0" * 20 + "1/h",
        "1/999999999h",
    ],
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="Expected a rate as 1/s"):
        parse_rate(text)


@given(st.text(alphabet="0123456789./smh ", max_size=30))
def test_whatever_rate_is_read_can_be_reckoned_with(text: str) -> None:
    try:
        limit = Limit(parse_rate(text), MAX_BURST)
    except InvalidInput:
        return
    next_at = limit.spend(None, T0, 2 * MAX_BURST)
    assert next_at > T0
    assert limit.shared(LEAST_SHARE / 2).available(next_at, T0) >= 0


def test_limits_are_read() -> None:
    assert parse_limits("spotify=10/s:20, musicbrainz = 1/s ,") == {
        "spotify": Limit(10.0, 20),
        "musicbrainz": Limit(1.0, 1),
    }
    assert parse_limits("") == {}


@pytest.mark.parametrize(
    "text",
    [
        "spotify",
        "=1/s",
        "spotify=",
        "spotify=1/s:0",
        "spotify=1/s:many",
        "spotify=1/s:10001",
        "spotify=1/s:-1",
        "spotify=1/s:        20x",
        "spotify=1/s:²",
    ],
)
def test_an_entry_that_cannot_be_read_is_named(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_limits(f"lastfm=5/s, {text}")


def test_a_burst_may_stand_apart() -> None:
    assert parse_limits("spotify=1/s:          20") == {"spotify": Limit(1.0, 20)}
