"""Delay arithmetic; pure."""

from __future__ import annotations

import random


def full_jitter(
    attempt: int, *, base_s: float, cap_s: float, source: random.Random | None = None
) -> float:
    """Seconds to wait before try `attempt` + 1: uniform between 0 and the exponential bound.

    Args:
        attempt: failures so far, from 1.
        base_s: bound after the first failure; doubles with each further one.
        cap_s: the bound never exceeds it.
        source: of the randomness, for schedules that can be repeated; None: the module's own.
    Source: AWS Architecture Blog, "Exponential Backoff And Jitter".
    """
    limit = bound(attempt, base_s=base_s, cap_s=cap_s)
    return source.uniform(0.0, limit) if source else random.uniform(0.0, limit)  # noqa: S311


def equal_jitter(attempt: int, *, base_s: float, cap_s: float) -> float:
    """Like `full_jitter`, but never less than half the bound: for polling and reconnects,
    where a pause near zero would spin."""
    half = bound(attempt, base_s=base_s, cap_s=cap_s) / 2
    return half + random.uniform(0.0, half)  # noqa: S311


def bound(attempt: int, *, base_s: float, cap_s: float) -> float:
    """base_s × 2^(attempt-1), at most cap_s."""
    return float(min(cap_s, base_s * 2.0 ** min(max(attempt, 1) - 1, 60)))
