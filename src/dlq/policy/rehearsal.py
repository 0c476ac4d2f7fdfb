"""What policies would have done with the ledger's past; pure, over a stream.

Each dead letter is simulated from its first failure on, or from the beginning of the time
looked at. What a simulated try would have come to is said only as far as the real replays
show it:

- at or after the start of a real replay that succeeded, it comes right: the operation had
  become possible, and a dead letter stays undone until somebody does it;
- at or before the start of a real replay that failed, it fails: the trouble was still there;
- else it is unknown, and with it all that would have followed: the simulation of that dead
  letter ends there.

Replays that were returned or presumed show nothing.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from enum import Enum, auto
from typing import Any

from dlq.policy.decision import Facts, Kind
from dlq.policy.policies import Policies
from dlq.states import Outcome

DAYS_LISTED = 366


@dataclass(frozen=True, slots=True)
class PastReplay:
    started_at: dt.datetime
    closed_at: dt.datetime | None
    outcome: Outcome | None  # None: open


@dataclass(frozen=True, slots=True)
class Past:
    """One dead letter as the ledger remembers it. Instants are aware."""

    message_id: str
    error_type: str
    category: str
    source_service: str
    fingerprint: str
    failed_at: dt.datetime  # the first failure
    retry_after_s: float | None  # with the first failure
    replays: tuple[PastReplay, ...]
    mended_at: dt.datetime | None  # when the provider's credentials were last said to be mended


@dataclass(slots=True)
class Count:
    """Of a rule, or of all. Each letter has one end:
    letters = came_right + unknown + parked + waiting + never.
    Each try has one outcome: tries = came_right + failed + unknown."""

    letters: int = 0
    would_replay: int = 0  # letters tried at least once
    tries: int = 0
    came_right: int = 0
    failed: int = 0  # tries
    unknown: int = 0  # the past does not show what the try would have come to
    parked: int = 0  # budget spent
    waiting: int = 0  # at the end of the time: for the next try, or for somebody
    never: int = 0
    first_at: dt.datetime | None = None  # of the tries
    last_at: dt.datetime | None = None

    def add_try(self, at: dt.datetime) -> None:
        self.tries += 1
        self.first_at = min(self.first_at or at, at)
        self.last_at = max(self.last_at or at, at)


@dataclass(slots=True)
class Rehearsal:
    """The sums. `tries_per_day` has the last 366 days, in UTC; the days without tries are left
    out."""

    since: dt.datetime
    now: dt.datetime
    total: Count = field(default_factory=Count)
    rules: dict[str, Count] = field(default_factory=dict)  # in the order of the file
    tries_per_day: dict[dt.date, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; instants and days in ISO 8601."""
        return {
            "since": self.since.isoformat(),
            "now": self.now.isoformat(),
            "total": _as_dict(self.total),
            "rules": [{"rule": name, **_as_dict(count)} for name, count in self.rules.items()],
            "tries_per_day": [
                {"day": day.isoformat(), "tries": self.tries_per_day[day]}
                for day in sorted(self.tries_per_day)
            ],
        }


def _as_dict(count: Count) -> dict[str, Any]:
    return {
        key: value.isoformat() if isinstance(value, dt.datetime) else value
        for key, value in asdict(count).items()
    }


def rehearse(
    policies: Policies, past: Iterable[Past], *, since: dt.datetime, now: dt.datetime, seed: int = 0
) -> Rehearsal:
    """Simulate each dead letter as if the policies had come into force at `since`.

    Args:
        past: read once; nothing of it is kept, so that memory does not grow with it.
        seed: of the jitter. A letter's schedule depends on it and on its `message_id` alone.
    """
    rehearsal = Rehearsal(since, now, rules={name: Count() for name in policies.rule_names})
    for letter in past:
        jitter = random.Random(f"{seed}:{letter.message_id}")  # noqa: S311
        _add(rehearsal, _simulate(policies, letter, since, now, jitter))
    return rehearsal


class _End(Enum):
    CAME_RIGHT = auto()
    UNKNOWN = auto()
    PARKED = auto()
    WAITING = auto()
    NEVER = auto()


@dataclass(frozen=True, slots=True)
class _Life:
    rule: str
    tries: tuple[dt.datetime, ...]
    end: _End


def _simulate(
    policies: Policies, letter: Past, since: dt.datetime, now: dt.datetime, jitter: random.Random
) -> _Life:
    """The life of one letter up to `now`; each round spends a try of its budget or ends it."""
    clock = min(max(letter.failed_at, since), now)
    facts = _facts_at(clock, letter)
    tries: list[dt.datetime] = []
    while True:
        decision = policies.decide(facts, now=clock, random=jitter)
        mended_at = letter.mended_at
        if decision.kind is Kind.WAIT and mended_at is not None and clock < mended_at <= now:
            facts, clock = replace(facts, mended_at=mended_at), mended_at
            continue
        if decision.at is None or decision.at > now:
            return _Life(decision.rule, tuple(tries), _END_OF[decision.kind])
        clock = decision.at
        tries.append(clock)
        known = _known_outcome(letter, clock)
        if known is not Outcome.FAILED:
            end = _End.UNKNOWN if known is None else _End.CAME_RIGHT
            return _Life(decision.rule, tuple(tries), end)
        facts = _after_failure(facts, clock)


_END_OF = {
    Kind.REPLAY: _End.WAITING,  # its time has not come by `now`
    Kind.WAIT: _End.WAITING,
    Kind.PARK: _End.PARKED,
    Kind.NEVER: _End.NEVER,
}


def _facts_at(clock: dt.datetime, letter: Past) -> Facts:
    """As they were known then, untried: what was mended later is not known yet."""
    is_mended = letter.mended_at is not None and letter.mended_at <= clock
    return Facts(
        error_type=letter.error_type,
        category=letter.category,
        source_service=letter.source_service,
        fingerprint=letter.fingerprint,
        failed_at=letter.failed_at,
        retry_after_s=letter.retry_after_s,
        failed_count=0,
        last_outcome=None,
        mended_at=letter.mended_at if is_mended else None,
    )


def _after_failure(facts: Facts, at: dt.datetime) -> Facts:
    """The same failure again: what was said to be mended before it was not."""
    return replace(
        facts,
        failed_at=at,
        retry_after_s=None,
        failed_count=facts.failed_count + 1,
        last_outcome=Outcome.FAILED,
        mended_at=None,
        last_replay_at=at,
    )


def _known_outcome(letter: Past, at: dt.datetime) -> Outcome | None:
    """What a try at this instant would have come to; None if the past does not show it."""
    succeeds = any(r.outcome is Outcome.SUCCEEDED and r.started_at <= at for r in letter.replays)
    fails = any(r.outcome is Outcome.FAILED and at <= r.started_at for r in letter.replays)
    if succeeds == fails:
        return None
    return Outcome.SUCCEEDED if succeeds else Outcome.FAILED


def _add(rehearsal: Rehearsal, life: _Life) -> None:
    for count in (rehearsal.total, rehearsal.rules.setdefault(life.rule, Count())):
        _add_to(count, life)
    days = rehearsal.tries_per_day
    for day in (at.date() for at in life.tries):
        if (rehearsal.now.astimezone(dt.UTC).date() - day).days < DAYS_LISTED:
            days[day] = days.get(day, 0) + 1


def _add_to(count: Count, life: _Life) -> None:
    count.letters += 1
    count.would_replay += bool(life.tries)
    for at in life.tries:
        count.add_try(at)
    count.came_right += life.end is _End.CAME_RIGHT
    count.unknown += life.end is _End.UNKNOWN
    count.parked += life.end is _End.PARKED
    count.waiting += life.end is _End.WAITING
    count.never += life.end is _End.NEVER
    count.failed += len(life.tries) - (life.end in (_End.CAME_RIGHT, _End.UNKNOWN))
