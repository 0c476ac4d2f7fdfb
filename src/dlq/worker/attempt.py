"""The tries that one task is given, and what came of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from dlq.backoff import full_jitter
from dlq.classify import diagnose
from dlq.client.handling import Handling
from dlq.message import DLQMessage


@dataclass(frozen=True, slots=True)
class TryPolicy:
    """How often and at what pace a worker tries before it sends a failure back.

    Only transient failures (rate limits, time-outs, networks, server errors) are tried
    again. A provider that asks for a longer pause than `retry_after_cap_s` is not waited
    for: the failure goes back.
    """

    max_attempts: int = 5  # bounds what a replay grants with x-max-retries
    base_s: float = 1.0  # bound of the pause after the first failure; doubles
    cap_s: float = 30.0
    retry_after_cap_s: float = 60.0

    def pause_s(self, tries: int, granted: int, error: BaseException, about: str) -> float | None:
        """Seconds until the next try, or None if there is none."""
        if tries >= min(granted, self.max_attempts):
            return None
        diagnosis = diagnose(error, error_type=about)
        if not diagnosis.transient:
            return None
        jitter = full_jitter(tries, base_s=self.base_s, cap_s=self.cap_s)
        if diagnosis.retry_after_s is None:
            return jitter
        if diagnosis.retry_after_s > self.retry_after_cap_s:
            return None
        return diagnosis.retry_after_s + min(jitter, self.base_s)


@dataclass(frozen=True, slots=True)
class Succeeded:
    tries: int


@dataclass(frozen=True, slots=True)
class Failed:
    error: BaseException
    tries: int


@dataclass(frozen=True, slots=True)
class Reported:
    """The handler itself sent the failure to the DLQ, and that is safe."""

    tries: int


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The worker was told to stop while it waited for the next try."""


@dataclass(frozen=True, slots=True)
class Unhandled:
    """This worker has no handler for it."""

    why: str


Result = Succeeded | Failed | Reported | Interrupted | Unhandled


class ReportLost(Exception):
    """The handler reported a failure that could not be made safe."""


def attempt(
    call: Callable[[DLQMessage], None],
    handling: Handling,
    *,
    granted: int,
    policy: TryPolicy,
    stopping: threading.Event,
) -> Result:
    """Call the handler until it succeeds, reports, or has used its tries; never raises.

    Args:
        call: the handler, called on this thread.
        handling: of the current context, where a report from inside shows up.
        granted: tries that the replay allows, from 1.
    """
    message = handling.message
    tries = 0
    while True:
        tries += 1
        error = _one_try(call, message)
        if handling.reported is not None:
            return _judge_report(handling, error, tries)
        if error is None:
            return Succeeded(tries)
        pause_s = policy.pause_s(tries, granted, error, message.error_type)
        if pause_s is None:
            return Failed(error, tries)
        if stopping.wait(pause_s):
            return Interrupted()


def _one_try(call: Callable[[DLQMessage], None], message: DLQMessage) -> BaseException | None:
    try:
        call(message)
    except BaseException as error:  # noqa: BLE001 - sys.exit() or a cancelled task in a handler
        return error  # is that message's failure; on this thread nobody else would hear of it
    return None


def _judge_report(handling: Handling, error: BaseException | None, tries: int) -> Result:
    if handling.reported:
        return Reported(tries)
    lost = ReportLost("The handler reported a failure that the DLQ could not take; see the logs.")
    return Failed(error or lost, tries)
