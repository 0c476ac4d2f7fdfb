"""Calls an async operation until it succeeds, or until trying again is of no use.

The producers' side of the same rules that a worker keeps (`TryPolicy`): only transient
failures are tried again, with exponential backoff and jitter, never earlier than the
provider's `Retry-After`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from dlq.worker.attempt import TryPolicy

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """It succeeded, after `retry_count` tries."""

    value: T
    retry_count: int


@dataclass(frozen=True, slots=True)
class GivenUp:
    """It failed `retry_count` times; `last_error` is the reason to stop."""

    last_error: Exception
    retry_count: int


async def try_repeatedly(
    operation: Callable[[], Awaitable[T]], policy: TryPolicy, *, error_type: str
) -> Done[T] | GivenUp:
    """Call `operation` at most `policy.max_attempts` times; raises only cancellation.

    Args:
        operation: makes a fresh awaitable for each try.
        error_type: which provider this is, for the classification.
    """
    tries = 0
    while True:
        tries += 1
        try:
            return Done(await operation(), tries)
        except Exception as error:  # noqa: BLE001 - whatever failed is what the DLQ is for
            last_error = error
        pause_s = policy.pause_s(tries, policy.max_attempts, last_error, error_type)
        if pause_s is None:
            return GivenUp(last_error, tries)
        await asyncio.sleep(pause_s)
