from __future__ import annotations

import datetime as dt
import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace

import pytest

from dlq.policy import (
    Past,
    PastReplay,
    Policies,
    Rehearsal,
    load_policies,
    read_policies,
    rehearse,
)
from dlq.policy.rehearsal import Count
from dlq.states import Outcome

DEFAULTS = load_policies()
START = dt.datetime(2026, 10, 1, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
NOW = START + 30 * DAY

HOURLY = read_policies(
    "version: 1\nrules: [{name: hourly, retry: cooldown, after: [1h, 1h, 1h]}]\n"
)
"""Tries after exactly 1, 2 and 3 hours."""


def replayed(after: dt.timedelta, outcome: Outcome | None) -> PastReplay:
    return PastReplay(START + after, START + after + HOUR / 60, outcome)


def past(*replays: PastReplay, category: str = "network", **more: object) -> Past:
    letter = Past(
        message_id="m-1",
        error_type="spotify",
        category=category,
        source_service="enricher",
        fingerprint="0123456789abcdef",
        failed_at=START,
        retry_after_s=None,
        replays=replays,
        mended_at=None,
    )
    return replace(letter, **more)  # type: ignore[arg-type]


def run(policies: Policies, *letters: Past, now: dt.datetime = NOW) -> Rehearsal:
    return rehearse(policies, letters, since=START, now=now)


def ends(count: Count) -> dict[str, int]:
    every = ("came_right", "unknown", "parked", "waiting", "never")
    return {end: getattr(count, end) for end in every if getattr(count, end)}


SUCCEEDED, FAILED = Outcome.SUCCEEDED, Outcome.FAILED


@pytest.mark.parametrize(
    ("replays", "tries", "failed", "end"),
    [
        ([replayed(HOUR / 2, SUCCEEDED)], 1, 0, "came_right"),
        ([replayed(HOUR, SUCCEEDED)], 1, 0, "came_right"),
        ([replayed(1.5 * HOUR, SUCCEEDED)], 1, 0, "unknown"),
        ([replayed(HOUR, FAILED), replayed(1.5 * HOUR, SUCCEEDED)], 2, 1, "came_right"),
        ([replayed(HOUR, FAILED), replayed(2.5 * HOUR, SUCCEEDED)], 2, 1, "unknown"),
        ([replayed(2 * HOUR, FAILED)], 3, 2, "unknown"),
        ([replayed(9 * HOUR, FAILED)], 3, 3, "parked"),
        ([], 1, 0, "unknown"),
        ([replayed(HOUR / 2, Outcome.RETURNED)], 1, 0, "unknown"),
        ([replayed(9 * HOUR, Outcome.PRESUMED)], 1, 0, "unknown"),
        ([replayed(HOUR / 2, None)], 1, 0, "unknown"),
        ([replayed(HOUR / 2, SUCCEEDED), replayed(9 * HOUR, FAILED)], 1, 0, "unknown"),
    ],
)
def test_a_try_comes_to_what_the_past_shows(
    replays: list[PastReplay], tries: int, failed: int, end: str
) -> None:
    total = run(HOURLY, past(*replays)).total
    assert (total.tries, total.failed, ends(total)) == (tries, failed, {end: 1})


def test_what_is_due_after_the_end_is_waiting() -> None:
    total = run(HOURLY, past(replayed(9 * HOUR, FAILED)), now=START + 1.5 * HOUR).total
    assert (total.tries, total.failed, ends(total)) == (1, 1, {"waiting": 1})
    total = run(DEFAULTS, past(category="not_found"), now=START + 29 * DAY).total
    assert (total.would_replay, ends(total)) == (0, {"waiting": 1})


def test_credentials_flow_from_when_they_were_mended() -> None:
    mended_at = START + 5 * DAY
    success = replayed(5 * DAY, SUCCEEDED)
    result = run(DEFAULTS, past(success, category="auth", mended_at=mended_at))
    assert ends(result.total) == {"came_right": 1}
    assert result.total.first_at == mended_at
    late = run(DEFAULTS, past(category="auth", mended_at=NOW + DAY))
    assert ends(late.total) == {"waiting": 1}
    before = run(DEFAULTS, past(category="auth", mended_at=START - DAY))
    assert (before.total.tries, ends(before.total)) == (0, {"waiting": 1})


def test_credentials_that_were_mended_in_vain_wait_again() -> None:
    failure = replayed(6 * DAY, FAILED)
    total = run(DEFAULTS, past(failure, category="auth", mended_at=START + 5 * DAY)).total
    assert (total.tries, total.failed, ends(total)) == (1, 1, {"waiting": 1})


def test_retry_after_is_heeded_in_the_first_pause() -> None:
    letter = past(category="rate_limit", retry_after_s=7200.0)
    first_at = run(DEFAULTS, letter).total.first_at
    assert first_at is not None
    assert START + 2 * HOUR <= first_at <= START + 2 * HOUR + HOUR / 60


def test_sums_are_kept_per_rule_and_in_all() -> None:
    result = run(
        DEFAULTS,
        past(replayed(HOUR / 3600, SUCCEEDED)),
        past(replayed(29 * DAY, FAILED)),
        past(category="bug"),
        past(category="auth"),
    )
    assert list(result.rules) == list(DEFAULTS.rule_names)
    assert result.total.letters == 4
    network = result.rules["passing troubles"]
    assert (network.letters, network.would_replay, network.tries) == (2, 2, 7)
    assert ends(network) == {"came_right": 1, "parked": 1}
    assert ends(result.rules["needs a person"]) == {"never": 1}
    assert result.rules["rate limits"] == Count()
    for count in (result.total, *result.rules.values()):
        assert count.letters == sum(ends(count).values())
        assert count.tries == count.came_right + count.failed + count.unknown
    assert sum(result.tries_per_day.values()) == result.total.tries


def test_what_failed_before_is_tried_from_the_beginning_on() -> None:
    total = run(HOURLY, past(replayed(HOUR, SUCCEEDED), failed_at=START - 9 * DAY)).total
    assert (total.first_at, ends(total)) == (START, {"unknown": 1})
    mended = past(category="auth", failed_at=START - DAY, mended_at=START - HOUR)
    assert run(DEFAULTS, mended).total.first_at == START


def test_a_failure_in_the_future_is_waiting() -> None:
    assert ends(run(HOURLY, past(failed_at=NOW + DAY)).total) == {"waiting": 1}


def test_what_no_rule_matches_is_counted() -> None:
    result = run(read_policies("version: 1\nrules: []\n"), past())
    assert list(result.rules) == ["none"]
    assert ends(result.total) == {"never": 1}


def test_the_answer_is_json() -> None:
    result = run(HOURLY, past(replayed(9 * HOUR, FAILED)))
    told = json.loads(json.dumps(result.as_dict()))
    assert told["tries_per_day"] == [{"day": "2026-10-01", "tries": 3}]
    assert told["rules"][0] == {"rule": "hourly", **told["total"]}
    assert told["total"] | {"rule": None} == {
        "rule": None,
        "letters": 1,
        "would_replay": 1,
        "tries": 3,
        "came_right": 0,
        "failed": 3,
        "unknown": 0,
        "parked": 1,
        "waiting": 0,
        "never": 0,
        "first_at": "2026-10-01T01:00:00+00:00",
        "last_at": "2026-10-01T03:00:00+00:00",
    }


def test_a_seed_repeats_it_and_order_does_not_matter() -> None:
    letters = [past(replayed(9 * DAY, FAILED), message_id=f"m-{n}") for n in range(20)]
    first = run(DEFAULTS, *letters).as_dict()
    assert run(DEFAULTS, *reversed(letters)).as_dict() == first
    assert rehearse(DEFAULTS, letters, since=START, now=NOW, seed=1).as_dict() != first


def test_quiet_hours_are_kept() -> None:
    text = (
        "version: 1\ntimezone: Europe/Berlin\n"
        'rules: [{name: night, retry: backoff, only: "22:00-06:00"}]\n'
    )
    letter = past(failed_at=dt.datetime(2026, 10, 24, 12, tzinfo=dt.UTC))
    assert run(read_policies(text), letter).total.first_at == dt.datetime(
        2026, 10, 24, 20, tzinfo=dt.UTC
    )


def test_only_the_last_days_are_listed() -> None:
    policies = read_policies(
        "version: 1\nrules: [{name: yearly, retry: cooldown, after: [1d, 400d]}]\n"
    )
    now = START + 500 * DAY
    result = run(policies, past(replayed(499 * DAY, FAILED)), now=now)
    assert result.total.tries == 2
    assert list(result.tries_per_day) == [(START + 401 * DAY).date()]


def test_memory_does_not_grow_with_the_stream() -> None:
    def many(count: int) -> Iterator[Past]:
        return (past(replayed(9 * DAY, FAILED), message_id=str(n)) for n in range(count))

    def peak_bytes(count: int) -> int:
        tracemalloc.start()
        rehearse(DEFAULTS, many(count), since=START, now=NOW)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_bytes(10)  # what is made once
    assert peak_bytes(1000) < peak_bytes(100) + 20_000
