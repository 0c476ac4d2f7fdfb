"""A job: one replay of many dead letters; pure.

What it replays is fixed when it is made. Its items go out at a pace, a canary first, and each
is counted by what became of its replay.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from dlq.errors import InvalidInput
from dlq.message import SHORTSTR_BYTES
from dlq.pace import parse_rate
from dlq.query import check_path

MAX_IDS = 10_000
MAX_LIMIT = 10**9
DEFAULT_CANARY_OVER = 100
DEFAULT_CANARY = 10
DEFAULT_CANARY_SHARE = 0.8


class JobState(StrEnum):
    PREPARING = "preparing"  # the keys of its items are being read
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"  # nothing is left to send, and all that was sent has come back
    STOPPED = "stopped"  # its canary failed
    CANCELLED = "cancelled"


LIVE = frozenset({JobState.PREPARING, JobState.RUNNING, JobState.PAUSED})
"""A job that is not over."""


class ItemStatus(StrEnum):
    """Where one dead letter of a job stands. The four outcomes are as of a replay."""

    WAITING = "waiting"
    SENT = "sent"  # its outcome is awaited
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RETURNED = "returned"
    PRESUMED = "presumed"
    SKIPPED = "skipped"  # not to be sent (any more); its reason says why
    REFUSED = "refused"  # the broker will not take it
    CANCELLED = "cancelled"


SETTLED = tuple(s for s in ItemStatus if s not in (ItemStatus.WAITING, ItemStatus.SENT))


def _rate(text: str) -> str:
    return _checked(parse_rate, text)


def _path(text: str) -> str:
    return _checked(check_path, text)


def _checked(check: Callable[[str], object], text: str) -> str:
    """As pydantic wants to hear of it, so that the answer names the field."""
    try:
        check(text)
    except InvalidInput as error:
        raise ValueError(str(error)) from None
    return text


class JobOptions(BaseModel):
    """How a job goes about it. A repeated job is made with the same ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: Annotated[str, AfterValidator(_rate)] | None = Field(
        None, description="1/s, 30/m …; never above what the provider's own limit allows."
    )
    concurrency: int | None = Field(
        None, ge=1, le=1000, description="Replays on their way at once. Default: the setting's."
    )
    max_retries: int | None = Field(
        None, ge=1, le=100, description="Tries granted to the worker; default: the worker's."
    )
    canary: int | None = Field(
        None,
        ge=0,
        le=1000,
        description=f"Send so many first and wait for their outcomes; 0: none. Default: "
        f"{DEFAULT_CANARY} in a job over {DEFAULT_CANARY_OVER}, else none.",
    )
    canary_share: float = Field(
        DEFAULT_CANARY_SHARE, gt=0, le=1, description="Share of it that must succeed to go on."
    )
    routing_key: str | None = Field(
        None, min_length=1, max_length=SHORTSTR_BYTES, description="One of DLQ_REPLAY_TARGETS."
    )
    skip_superseded: Annotated[str, AfterValidator(_path)] | None = Field(
        None,
        description="Path of an entity's key, as payload.track_id: skip what failed before a "
        "success for the same key.",
    )
    ordered_by: Annotated[str, AfterValidator(_path)] | None = Field(
        None,
        description="Path of a key, as payload.playlist_id: of one key, each waits for the "
        "outcome of the one before.",
    )
    limit: int | None = Field(
        None, ge=1, le=MAX_LIMIT, description="At most so many, the oldest first."
    )

    def canary_of(self, total: int) -> int:
        """How many of `total` are the canary."""
        if self.canary is not None:
            return min(self.canary, total)
        return DEFAULT_CANARY if total > DEFAULT_CANARY_OVER else 0


class Choice(BaseModel):
    """Which dead letters: ids, or a filter (docs/filters.md). Exactly one of the two."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    where: str | None = Field(None, max_length=2000)
    message_ids: tuple[str, ...] = Field((), max_length=MAX_IDS)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.message_ids) == (self.where is not None):
            raise ValueError("expected either where (a filter) or message_ids")
        if self.where is not None and not self.where.strip():
            # It finds everything, which nobody means who replays.
            raise ValueError("where: expected a filter, got an empty one. For all: state:dlq")
        return self


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job that is asked for. `start_at` None is at once."""

    choice: Choice
    options: JobOptions
    actor: str
    start_at: dt.datetime | None = None
    repeat_of: str | None = None


@dataclass(frozen=True, slots=True)
class Canary:
    size: int
    passed: bool
    counts: dict[ItemStatus, int]


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands."""

    job_id: str
    state: JobState
    actor: str
    choice: Choice
    options: JobOptions
    repeat_of: str | None
    created_at: dt.datetime
    start_at: dt.datetime
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    stop_reason: str | None
    waiting_for: str | None  # why nothing is sent just now
    total: int
    counts: dict[ItemStatus, int]  # every status, zeros included; their sum is the total
    canary: Canary | None
    skipped_because: dict[str, int] = field(default_factory=dict)  # of skipped and refused
    new_errors: dict[str, int] = field(default_factory=dict)  # the most frequent of the failed
    rate_per_s: float = 0.0  # settled of late
    unknown_ids: tuple[str, ...] = ()  # asked for, and not in the ledger

    @property
    def done_count(self) -> int:
        return sum(self.counts[status] for status in SETTLED)

    @property
    def success_rate(self) -> float | None:
        """Of the replays that came back; None while there are none."""
        outcomes = ("succeeded", "failed", "returned", "presumed")
        closed = sum(self.counts[ItemStatus(name)] for name in outcomes)
        return self.counts[ItemStatus.SUCCEEDED] / closed if closed else None

    def eta_s(self) -> float | None:
        """Seconds until all is settled at the rate of late; None if that cannot be said."""
        left = self.total - self.done_count
        if self.state is not JobState.RUNNING or left == 0 or self.rate_per_s <= 0:
            return None
        return left / self.rate_per_s


@dataclass(frozen=True, slots=True)
class JobItem:
    message_id: str
    status: ItemStatus
    canary: bool
    reason: str | None
    replay_id: str | None
    error: str | None  # the new one, if it failed
    sent_at: dt.datetime | None
    done_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a job would replay, had it been started now."""

    total: int
    by_error_type: dict[str, int]
    by_state: dict[str, int]
    causes: tuple[tuple[str, str, str, int], ...]  # fingerprint, title, category, count
    message_ids: tuple[str, ...]  # the first of them
    unknown_ids: tuple[str, ...]
