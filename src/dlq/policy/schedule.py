"""When the next try of a dead letter is due by its rule, quiet hours aside; pure."""

from __future__ import annotations

import datetime as dt
import math
import random
from dataclasses import dataclass

from dlq.backoff import full_jitter
from dlq.policy.decision import Facts
from dlq.policy.form import Backoff, Cooldown, WhenMended
from dlq.policy.spans import DAY_S
from dlq.states import Outcome

RETRY_AFTER_MAX_S = 30 * DAY_S
"""A provider that asks for more is asked again after this long."""

RETURNED_PAUSE_S = 3600
"""After a try that nobody took, where the rule has no `base`."""


@dataclass(frozen=True, slots=True)
class Plan:
    budget: int  # tries
    due_at: dt.datetime | None  # of the next try, may be past; None: not by the clock


def plan(
    rule: Backoff | Cooldown | WhenMended, facts: Facts, now: dt.datetime, source: random.Random
) -> Plan:
    """The rule applied to one dead letter. With the budget spent, `due_at` means nothing."""
    match rule:
        case Backoff():
            return Plan(rule.budget, _backoff_at(rule, facts, now, source))
        case Cooldown():
            return Plan(len(rule.after_s), _cooldown_at(rule, facts, now))
        case WhenMended():
            return Plan(rule.budget, _mended_at(facts, now))


def _backoff_at(
    rule: Backoff, facts: Facts, now: dt.datetime, source: random.Random
) -> dt.datetime:
    jitter_s = full_jitter(
        facts.failed_count + 1, base_s=rule.base_s, cap_s=rule.cap_s, source=source
    )
    due_at = _anchor(facts, now) + dt.timedelta(seconds=jitter_s)
    asked_s = _asked_s(facts) if rule.honour_retry_after else None
    if asked_s is not None:
        # Spread beyond what was asked: all whom the provider sent away would come back at once.
        spread_s = full_jitter(1, base_s=rule.base_s, cap_s=rule.cap_s, source=source)
        asked_at = min(facts.failed_at, now) + dt.timedelta(seconds=asked_s + spread_s)
        due_at = max(due_at, asked_at)
    return _not_soon_after_return(due_at, facts, rule.base_s)


def _cooldown_at(rule: Cooldown, facts: Facts, now: dt.datetime) -> dt.datetime | None:
    if facts.failed_count >= len(rule.after_s):
        return None
    # What was returned has cooled down already: nobody tried it.
    is_returned = facts.last_outcome is Outcome.RETURNED
    start_at = min(facts.failed_at, now) if is_returned else _anchor(facts, now)
    due_at = start_at + dt.timedelta(seconds=rule.after_s[facts.failed_count])
    return _not_soon_after_return(due_at, facts, RETURNED_PAUSE_S)


def _mended_at(facts: Facts, now: dt.datetime) -> dt.datetime | None:
    if facts.mended_at is None or facts.mended_at < facts.failed_at:
        return None
    return _not_soon_after_return(min(facts.mended_at, now), facts, RETURNED_PAUSE_S)


def _anchor(facts: Facts, now: dt.datetime) -> dt.datetime:
    """The newest event of the letter; never in the future, whatever another clock said."""
    return min(max(facts.failed_at, facts.last_replay_at or facts.failed_at), now)


def _not_soon_after_return(due_at: dt.datetime, facts: Facts, pause_s: int) -> dt.datetime:
    """Nobody took it: give the workers some time to come back."""
    if facts.last_outcome is not Outcome.RETURNED or facts.last_replay_at is None:
        return due_at
    return max(due_at, facts.last_replay_at + dt.timedelta(seconds=pause_s))


def _asked_s(facts: Facts) -> float | None:
    """The provider's `Retry-After`, bounded: it is a stranger's number."""
    asked_s = facts.retry_after_s
    if asked_s is None or math.isnan(asked_s):
        return None
    return min(max(asked_s, 0.0), RETRY_AFTER_MAX_S)
