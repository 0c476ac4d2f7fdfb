"""How often and how soon an operation is tried again."""

from __future__ import annotations

import asyncio
import time

import httpx2
import pytest

from dlq.contrib.tries import Done, GivenUp, try_repeatedly
from dlq.worker.attempt import TryPolicy
from scrapers.providers import ProviderError, TrackNotFound

QUICK = TryPolicy(max_attempts=3, base_s=0.01, cap_s=0.02, retry_after_cap_s=0.5)


class Operation:
    """Raises these errors one after the other, then succeeds."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.called_at: list[float] = []

    async def __call__(self) -> str:
        self.called_at.append(time.monotonic())
        if self.errors:
            raise self.errors.pop(0)
        return "enriched"


def answered(status: int, retry_after: str | None = None) -> ProviderError:
    headers = {"Retry-After": retry_after} if retry_after else {}
    request = httpx2.Request("GET", "http://127.0.0.1/")
    response = httpx2.Response(status, headers=headers, request=request)
    return ProviderError(f"Spotify answered {status}", response=response)


async def test_a_success_needs_one_try() -> None:
    assert await try_repeatedly(Operation(), QUICK, error_type="spotify") == Done("enriched", 1)


async def test_a_transient_failure_is_tried_again_until_it_succeeds() -> None:
    operation = Operation(answered(503), answered(500))
    assert await try_repeatedly(operation, QUICK, error_type="spotify") == Done("enriched", 3)


async def test_after_three_tries_it_is_given_up_with_the_last_error() -> None:
    errors = [answered(503), answered(502), answered(500)]
    outcome = await try_repeatedly(Operation(*errors), QUICK, error_type="spotify")
    assert outcome == GivenUp(errors[-1], 3)


@pytest.mark.parametrize(
    "error",
    [
        answered(401),
        answered(403),
        answered(404),
        answered(422),
        TrackNotFound("Spotify"),
        AttributeError("a bug of ours"),
    ],
    ids=str,
)
async def test_a_permanent_failure_is_tried_once(error: Exception) -> None:
    outcome = await try_repeatedly(Operation(error), QUICK, error_type="spotify")
    assert outcome == GivenUp(error, 1)


async def test_it_never_tries_earlier_than_the_provider_asked() -> None:
    operation = Operation(answered(429, retry_after="1"))
    policy = TryPolicy(max_attempts=3, base_s=0.01, cap_s=0.02, retry_after_cap_s=2.0)
    assert await try_repeatedly(operation, policy, error_type="spotify") == Done("enriched", 2)
    first, second = operation.called_at
    assert second - first >= 1.0


async def test_a_provider_that_asks_for_too_long_a_pause_is_not_waited_for() -> None:
    error = answered(429, retry_after="3600")
    outcome = await try_repeatedly(Operation(error), QUICK, error_type="spotify")
    assert outcome == GivenUp(error, 1)


async def test_cancellation_is_not_a_failure() -> None:
    with pytest.raises(asyncio.CancelledError):
        await try_repeatedly(Operation(asyncio.CancelledError()), QUICK, error_type="spotify")
