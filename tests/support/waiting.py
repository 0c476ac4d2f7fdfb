"""Waiting for what another thread or process brings about: poll, bounded."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(
    condition: Callable[[], bool],
    timeout_s: float,
    failure: str | Callable[[], str],
    *,
    poll_s: float = 0.02,
) -> None:
    """Return once `condition` holds.

    Args:
        poll_s: between two looks; more where looking itself is work for what is waited for.
    Raises:
        AssertionError: it did not within `timeout_s`; says `failure`.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(failure if isinstance(failure, str) else failure())
        time.sleep(poll_s)
