from __future__ import annotations

import datetime as dt
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlq.classify import CATEGORIES
from dlq.policy import Decision, Facts, Kind, Policies, load_policies, read_policies
from dlq.states import Outcome

DEFAULTS = load_policies()
NOON = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)


def s(seconds: float) -> dt.timedelta:
    return dt.timedelta(seconds=seconds)


def days(count: int) -> dt.timedelta:
    return dt.timedelta(days=count)


def facts(category: str = "network", **more: object) -> Facts:
    plain = Facts(
        error_type="spotify",
        category=category,
        source_service="enricher",
        fingerprint="0123456789abcdef",
        failed_at=NOON,
        retry_after_s=None,
        failed_count=0,
        last_outcome=None,
        mended_at=None,
    )
    return replace(plain, **more)  # type: ignore[arg-type]


def one_rule(*lines: str, head: str = "") -> Policies:
    keys = "".join(f"    {line}\n" for line in lines)
    return read_policies(f"version: 1\n{head}rules:\n  - name: a rule\n{keys}")


class Least(random.Random):
    """Jitter of nothing."""

    def random(self) -> float:
        return 0.0


class Most(random.Random):
    """Jitter of all."""

    def random(self) -> float:
        return 1.0


def decide(
    policies: Policies, letter: Facts, now: dt.datetime = NOON, source: random.Random | None = None
) -> Decision:
    return policies.decide(letter, now=now, random=source or Least())


def schedule(category: str, source: random.Random, **more: object) -> list[float | Kind]:
    """Seconds between the tries by the defaults, each failing at once, and how it ends."""
    letter = facts(category, **more)
    gone: list[float | Kind] = []
    while True:
        now = letter.failed_at
        decision = decide(DEFAULTS, letter, now, source)
        if decision.at is None:
            return [*gone, decision.kind]
        gone.append(round((decision.at - now).total_seconds(), 3))
        letter = replace(
            letter,
            failed_at=decision.at,
            last_replay_at=decision.at,
            failed_count=letter.failed_count + 1,
            last_outcome=Outcome.FAILED,
        )


# --- the shipped defaults over simulated time --------------------------------------------

MINUTE, HOUR, DAY = 60, 3600, 86_400

MOST: dict[str, list[float | Kind]] = {
    "rate_limit": [60, 120, 240, 480, 960, 1920, Kind.PARK],
    "network": [60, 120, 240, 480, 960, 1920, Kind.PARK],
    "timeout": [60, 120, 240, 480, 960, 1920, Kind.PARK],
    "server_error": [60, 120, 240, 480, 960, 1920, Kind.PARK],
    "resource": [600, 1200, 2400, 4800, 9600, 19_200, Kind.PARK],
    "auth": [Kind.WAIT],
    "not_found": [30 * DAY, 60 * DAY, 90 * DAY, Kind.PARK],
    "invalid_data": [Kind.NEVER],
    "bug": [Kind.NEVER],
    "malformed": [Kind.NEVER],
    "unknown": [Kind.NEVER],
}


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_defaults_at_their_slowest(category: str) -> None:
    assert schedule(category, Most()) == MOST[category]


@pytest.mark.parametrize(
    ("category", "expected"),
    [
        ("rate_limit", [38.366, 3.001, 66.007, 107.141, 707.012, 1299.263, Kind.PARK]),
        ("network", [38.366, 3.001, 66.007, 107.141, 707.012, 1299.263, Kind.PARK]),
        ("timeout", [38.366, 3.001, 66.007, 107.141, 707.012, 1299.263, Kind.PARK]),
        ("server_error", [38.366, 3.001, 66.007, 107.141, 707.012, 1299.263, Kind.PARK]),
        ("resource", [383.656, 30.013, 660.070, 1071.412, 7070.124, 12_992.63, Kind.PARK]),
        ("not_found", [30 * DAY, 60 * DAY, 90 * DAY, Kind.PARK]),
    ],
)
def test_a_seeded_schedule_is_exact(category: str, expected: list[float | Kind]) -> None:
    assert schedule(category, random.Random(42)) == expected


def test_the_cap_bounds_the_pause() -> None:
    policies = one_rule("retry: backoff", "base: 1h", "cap: 3h", "budget: 100")
    for failed_count, hours in ((0, 1), (1, 2), (2, 3), (99, 3)):
        decision = decide(policies, facts(failed_count=failed_count), source=Most())
        assert decision.at == NOON + s(hours * HOUR)


def test_the_pause_counts_from_the_newest_event() -> None:
    letter = facts(last_replay_at=NOON + s(600), failed_count=1, last_outcome=Outcome.FAILED)
    assert decide(DEFAULTS, letter, NOON + s(700), Most()).at == NOON + s(720)


def test_what_is_overdue_goes_now() -> None:
    assert decide(DEFAULTS, facts(), NOON + days(40)).at == NOON + days(40)
    late = decide(DEFAULTS, facts("not_found"), NOON + days(31))
    assert (late.at, late.why) == (NOON + days(31), "unknown to the provider: try 1 of 3, at once")


def test_a_clock_ahead_of_ours_does_not_delay() -> None:
    letter = facts(failed_at=NOON + days(1000), retry_after_s=10.0)
    assert decide(DEFAULTS, letter, NOON, Most()).at == NOON + s(70)


# --- Retry-After -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"), [(Least(), 600), (Most(), 660), (random.Random(42), 601.501)]
)
def test_never_sooner_than_the_provider_asked(source: random.Random, expected: float) -> None:
    decision = decide(DEFAULTS, facts("rate_limit", retry_after_s=600.0), source=source)
    assert decision.at is not None
    assert round((decision.at - NOON).total_seconds(), 3) == expected


def test_a_short_retry_after_does_not_shorten_the_backoff() -> None:
    letter = facts("rate_limit", retry_after_s=1.0, failed_count=5)
    assert decide(DEFAULTS, letter, source=Most()).at == NOON + s(1920)


def test_retry_after_can_be_left_unheeded() -> None:
    policies = one_rule("retry: backoff", "honour_retry_after: false")
    assert decide(policies, facts(retry_after_s=9999.0)).at == NOON


@pytest.mark.parametrize(
    ("asked_s", "waits"),
    [(float("nan"), s(0)), (-5.0, s(0)), (1e300, days(30)), (float("inf"), days(30))],
)
def test_a_senseless_retry_after_is_bounded(asked_s: float, waits: dt.timedelta) -> None:
    assert decide(DEFAULTS, facts("rate_limit", retry_after_s=asked_s)).at == NOON + waits


# --- credentials -------------------------------------------------------------------------


def test_auth_waits_until_the_credentials_are_mended() -> None:
    waiting = decide(DEFAULTS, facts("auth", error_type="lastfm"))
    assert waiting == Decision(
        Kind.WAIT, "credentials", None, "waits until the credentials of lastfm are mended"
    )
    too_old = facts("auth", mended_at=NOON - s(1))
    assert decide(DEFAULTS, too_old, NOON + s(5)).kind is Kind.WAIT
    mended = facts("auth", mended_at=NOON)
    assert decide(DEFAULTS, mended, NOON + s(5)).at == NOON + s(5)


def test_mended_credentials_do_not_refill_the_budget() -> None:
    spent = facts("auth", mended_at=NOON, failed_count=6, last_outcome=Outcome.FAILED)
    decision = decide(DEFAULTS, spent)
    assert (decision.kind, decision.why) == (Kind.PARK, "6 of 6 tries failed")


# --- outcomes ----------------------------------------------------------------------------


@pytest.mark.parametrize("category", ["network", "auth", "not_found"])
def test_what_somebody_took_without_a_report_waits(category: str) -> None:
    letter = facts(category, last_outcome=Outcome.PRESUMED, mended_at=NOON, failed_count=1)
    decision = decide(DEFAULTS, letter)
    assert (decision.kind, decision.at) == (Kind.WAIT, None)
    assert decision.why.startswith("somebody took it without a report")


def test_what_nobody_took_goes_again_but_not_at_once() -> None:
    returned_at = NOON + days(1)
    back = {"last_outcome": Outcome.RETURNED, "last_replay_at": returned_at}
    assert decide(DEFAULTS, facts("network", **back), returned_at).at == returned_at + s(60)
    again = decide(DEFAULTS, facts("auth", mended_at=NOON, **back), returned_at)
    assert (again.at, again.why) == (
        returned_at + s(3600),
        "credentials: try 1 of 6, after 1 h",
    )


def test_what_has_cooled_down_does_not_cool_again_because_nobody_took_it() -> None:
    returned_at = NOON + days(31)
    letter = facts("not_found", last_outcome=Outcome.RETURNED, last_replay_at=returned_at)
    assert decide(DEFAULTS, letter, returned_at).at == returned_at + s(3600)


# --- rules -------------------------------------------------------------------------------

SEVERAL = """\
version: 1
rules:
  - name: one group
    match: {group: "00ff", provider: [spotify, lastfm]}
    retry: never
  - name: one service
    match: {service: importer, category: [network, timeout]}
    retry: backoff
  - name: one provider
    match: {provider: lastfm}
    retry: cooldown
    after: 1d
"""


@pytest.mark.parametrize(
    ("letter", "rule"),
    [
        (facts(fingerprint="00ff"), "one group"),
        (facts(fingerprint="00ff", error_type="musicbrainz"), "none"),
        (facts(source_service="importer"), "one service"),
        (facts("bug", source_service="importer"), "none"),
        (facts(source_service="importer", error_type="lastfm"), "one service"),
        (facts("bug", error_type="lastfm"), "one provider"),
        (facts(), "none"),
    ],
)
def test_the_first_rule_that_matches_decides(letter: Facts, rule: str) -> None:
    assert decide(read_policies(SEVERAL), letter).rule == rule


def test_without_a_rule_nothing_goes_by_itself() -> None:
    policies = read_policies("version: 1\nrules: []\n")
    assert decide(policies, facts(error_type="a\n\x1bb")) == Decision(
        Kind.NEVER, "none", None, "no rule matches network of a b"
    )
    assert policies.held_until(facts(), NOON) is None


def test_why_is_for_a_person() -> None:
    first = decide(DEFAULTS, facts(failed_count=1), source=random.Random(4))
    assert first.why == "passing troubles: try 2 of 6, after 28 s"
    assert decide(DEFAULTS, facts("bug")).why == "bug is never replayed by itself"
    cold = decide(DEFAULTS, facts("not_found"), NOON + s(3600))
    assert cold.why == "unknown to the provider: try 1 of 3, after 29 d 23 h"


# --- quiet hours -------------------------------------------------------------------------

OFF_PEAK = one_rule(
    "retry: backoff", 'quiet: ["Mon-Fri 07:00-23:00"]', head="timezone: Europe/Berlin\n"
)


def test_a_try_in_quiet_hours_is_moved_to_their_end() -> None:
    decision = decide(OFF_PEAK, facts())  # Tuesday noon UTC
    assert decision.at == dt.datetime(2026, 11, 24, 22, tzinfo=dt.UTC)
    assert decision.why == "a rule: try 1 of 6, after 10 h, when the quiet hours end"


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-03-27T20:00", "2026-03-27T22:00"),  # Friday, before the change
        ("2026-03-27T22:00", None),
        ("2026-03-29T12:00", None),  # Sunday, the change
        ("2026-03-30T04:59", None),
        ("2026-03-30T05:00", "2026-03-30T21:00"),  # Monday, after it
        ("2026-10-26T05:59", None),
        ("2026-10-26T06:00", "2026-10-26T22:00"),
    ],
)
def test_held_until_the_quiet_hours_end(now: str, until: str | None) -> None:
    expected = dt.datetime.fromisoformat(until).replace(tzinfo=dt.UTC) if until else None
    at = dt.datetime.fromisoformat(now).replace(tzinfo=dt.UTC)
    assert OFF_PEAK.held_until(facts(), at) == expected


instants = st.integers(0, 400 * 86_400).map(lambda second: NOON - days(300) + s(second))
ALL_RULES = [
    one_rule(*rule, head=f"timezone: {zone}\n")
    for zone in ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")
    for rule in (
        ("retry: backoff", 'quiet: ["07:00-23:00"]'),
        ("retry: cooldown", "after: [1h, 30d]", 'only: ["02:15-02:45", "Sun 00:00-24:00"]'),
        ("retry: when_mended", 'quiet: ["Mon-Sat 00:00-24:00", "Sun 01:30-24:00"]'),
    )
]


@given(
    policies=st.sampled_from([DEFAULTS, *ALL_RULES]),
    category=st.sampled_from(CATEGORIES),
    now=instants,
    failed_at=instants,
    last_replay_at=st.none() | instants,
    mended_at=st.none() | instants,
    last_outcome=st.none() | st.sampled_from(Outcome),
    failed_count=st.integers(0, 10),
    retry_after_s=st.none() | st.floats(),
    seed=st.integers(0, 99),
)
def test_a_replay_is_never_set_before_now_nor_into_quiet_hours(
    policies: Policies, category: str, now: dt.datetime, seed: int, **more: object
) -> None:
    letter = facts(category, **more)
    decision = policies.decide(letter, now=now, random=random.Random(seed))
    assert (decision.kind is Kind.REPLAY) == (decision.at is not None)
    assert decision.why.isprintable()
    if decision.at is not None:
        assert decision.at >= now
        assert policies.held_until(letter, decision.at) is None
