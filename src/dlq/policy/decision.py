"""What a policy is asked, and what it answers; pure."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

from dlq.states import Outcome


class Kind(StrEnum):
    REPLAY = "replay"  # by itself, at `Decision.at`
    WAIT = "wait"  # for something that no clock brings: a person, or an outcome
    NEVER = "never"  # by itself; a person may
    PARK = "park"  # the budget is spent: held for a person


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one dead letter when it is decided on. Instants are aware."""

    error_type: str  # the provider
    category: str
    source_service: str
    fingerprint: str  # the group
    failed_at: dt.datetime  # the newest failure
    retry_after_s: float | None  # what the provider asked for with the newest failure
    failed_count: int  # replays of it that failed so far
    last_outcome: Outcome | None  # of its newest replay
    mended_at: dt.datetime | None  # when the provider's credentials were last said to be mended
    last_replay_at: dt.datetime | None = None  # when its newest replay closed


@dataclass(frozen=True, slots=True)
class Decision:
    kind: Kind
    rule: str  # name of the rule that decided
    at: dt.datetime | None  # REPLAY: when, UTC, never before `now`; else None
    why: str  # one line for a person
