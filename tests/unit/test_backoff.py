from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlq.backoff import bound, equal_jitter, full_jitter


def test_the_bound_doubles_with_each_failure_up_to_the_cap() -> None:
    bounds = [bound(attempt, base_s=0.5, cap_s=3.0) for attempt in range(1, 6)]
    assert bounds == [0.5, 1.0, 2.0, 3.0, 3.0]


@pytest.mark.parametrize("attempt", [0, -5])
def test_before_the_first_failure_the_bound_is_that_of_the_first(attempt: int) -> None:
    assert bound(attempt, base_s=2.0, cap_s=60.0) == 2.0


def test_millions_of_failures_do_not_overflow() -> None:
    assert bound(10**9, base_s=1.0, cap_s=60.0) == 60.0


@given(st.integers(1, 100), st.floats(0.001, 10), st.floats(10, 600))
def test_jitter_stays_within_its_bounds(attempt: int, base_s: float, cap_s: float) -> None:
    limit = bound(attempt, base_s=base_s, cap_s=cap_s)
    assert 0.0 <= full_jitter(attempt, base_s=base_s, cap_s=cap_s) <= limit
    assert limit / 2 <= equal_jitter(attempt, base_s=base_s, cap_s=cap_s) <= limit


@pytest.mark.parametrize(("jitter", "least"), [(full_jitter, 0.0), (equal_jitter, 4.0)])
def test_jitter_spreads_over_its_range(jitter: Callable[..., float], least: float) -> None:
    delays = [jitter(4, base_s=1.0, cap_s=60.0) for _ in range(1000)]
    assert min(delays) < least + 0.5
    assert max(delays) > 7.5


def test_full_jitter_from_a_seeded_source_can_be_repeated() -> None:
    delays = [
        full_jitter(3, base_s=1.0, cap_s=60.0, source=random.Random(seed)) for seed in (7, 7, 8)
    ]
    assert delays[0] == delays[1] != delays[2]
