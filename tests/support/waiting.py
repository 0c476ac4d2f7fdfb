"""Waiting for what another thread or process brings about: poll, bounded."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(
    condition: Callable[[], bool], timeout_s: float, failure: str | Callable[[], str]
) -> None:
    """Return once `condition` holds.

    Raises:
        AssertionError: it did not within `timeout_s`; says `failure`.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(failure if isinstance(failure, str) else failure())
        time.sleep(0.02)
