"""The parts of the ledger that replay in bulk: jobs, the schedule of the retry policies, and
what is known of each provider.

Like the rest of the contract (`base.py`), every method is one transaction unless it says
otherwise, may be called from any thread, and either commits or changes nothing. Several
managers call them at the same time and share the work: what one has claimed no other is given.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from dlq.circuit import Circuit
from dlq.job import Choice, Job, JobItem, JobState, NewJob, Preview
from dlq.policy import Decision, Facts, Past

if TYPE_CHECKING:
    from dlq.ledger.base import DeadLetter, Replay


@dataclass(slots=True)
class Claim:
    """Replays that were begun, to be handed over by the caller and by nobody else.

    `wait_s`: ask again then; None: only something else (an outcome, a person) can change it.
    """

    begun: list[tuple[Replay, DeadLetter]] = field(default_factory=list)
    wait_s: float | None = None
    waiting_for: str | None = None  # why there were no more

    def blocked(self, why: str, wait_s: float | None) -> None:
        """Note a reason; of several the one that ends first is told."""
        if self.wait_s is None or (wait_s is not None and wait_s < self.wait_s):
            self.waiting_for = why
            self.wait_s = wait_s if wait_s is not None else self.wait_s


@dataclass(frozen=True, slots=True)
class Due:
    """A dead letter as the retry policies see it."""

    message_id: str
    facts: Facts


@dataclass(frozen=True, slots=True)
class Planned:
    """What a policy decided about the dead letter that was `due` or unplanned."""

    due: Due
    decision: Decision


@dataclass(frozen=True, slots=True)
class Provider:
    """What is known of one provider, shared by all managers."""

    name: str
    share: float  # of its limit, as asked for now
    hold_until: dt.datetime | None  # nothing is sent before
    circuit: Circuit
    last_error: str | None  # of the failure that the circuit counted last
    mended_at: dt.datetime | None
    mended_by: str | None
    scheduled_count: int = 0
    waiting_count: int = 0  # for its credentials
    on_its_way_count: int = 0  # replays without an outcome
    next_replay_at: dt.datetime | None = None  # the earliest scheduled


class Jobs(Protocol):
    """Replays of many dead letters."""

    def create(self, new: NewJob, *, now: dt.datetime) -> Job:
        """Fix what the job replays, as it is now; what arrives later is not swept in.

        Raises: InvalidInput: a filter that cannot be read, or that names states which
        cannot be replayed.
        """
        ...

    def preview(self, choice: Choice, *, limit: int | None, now: dt.datetime) -> Preview:
        """What `create` would choose. Raises: as `create`."""
        ...

    def get(self, job_id: str) -> Job:
        """Raises: NotFound."""
        ...

    def page(
        self, *, states: Sequence[JobState] = (), limit: int = 100, offset: int = 0
    ) -> list[Job]:
        """Newest first."""
        ...

    def items(
        self, job_id: str, *, status: str | None = None, limit: int = 100, offset: int = 0
    ) -> list[JobItem]:
        """In order. Raises: NotFound."""
        ...

    def counts(self) -> dict[JobState, int]:
        """Jobs by state, zeros included."""
        ...

    def pause(self, job_id: str) -> Job:
        """Nothing more is sent; what is on its way comes back. Raises: NotFound;
        IllegalTransition: it is over."""
        ...

    def resume(self, job_id: str) -> Job:
        """Raises: NotFound; IllegalTransition: it is not paused."""
        ...

    def cancel(self, job_id: str, *, actor: str, now: dt.datetime) -> Job:
        """Its waiting items are given up. Raises: NotFound; IllegalTransition: it is over."""
        ...

    def runnable(self, now: dt.datetime) -> list[str]:
        """Jobs that are preparing or running and whose time to start has come, oldest first."""
        ...

    def advance(self, job_id: str, *, now: dt.datetime) -> Claim:
        """One step of a job: prepare it, judge its canary, end it, or begin replays of the
        next of its items, as far as pace, circuits and order allow."""
        ...

    def hold(self, job_id: str, until: dt.datetime, why: str) -> None:
        """Send nothing of it before that instant."""
        ...


class Schedule(Protocol):
    """What is replayed by itself."""

    def adopt(self, digest: str | None) -> bool:
        """Whose decisions the schedule follows from now on; None: nobody's. If they are
        others than before, all that was decided is asked for again (many transactions).

        Returns: whether they are others.
        """
        ...

    def undecided(self, limit: int) -> list[Due]:
        """What no policy has decided about since its newest failure, or what waited for
        credentials that are mended, oldest first."""
        ...

    def plan(self, planned: Sequence[Planned], *, now: dt.datetime) -> None:
        """Schedule, park or leave them, as decided. What has changed meanwhile is left out:
        it will be asked for again."""
        ...

    def due(self, now: dt.datetime, *, limit: int) -> dict[str, list[Due]]:
        """What is due, by provider, at most `limit` of each, the longest due first."""
        ...

    def claim(self, provider: str, due: Sequence[tuple[Due, str]], *, now: dt.datetime) -> Claim:
        """Begin replays of what is due, with the rule that each is sent by, as far as pace
        and circuit allow."""
        ...

    def past(self, since: dt.datetime) -> Iterator[Past]:
        """Every dead letter that arrived since then, with its replays; read batch by batch."""
        ...


class Providers(Protocol):
    """Pace and circuit of each provider."""

    def all(self, now: dt.datetime) -> list[Provider]:
        """By name; those that anything is known of."""
        ...

    def get(self, name: str, now: dt.datetime) -> Provider:
        """Also of one that nothing is known of."""
        ...

    def slow_down(
        self, name: str, *, at: dt.datetime, retry_after_s: float | None, now: dt.datetime
    ) -> None:
        """It said "too many" at that instant."""
        ...

    def mend(self, name: str, *, actor: str, now: dt.datetime) -> Provider:
        """Its credentials are mended: what waited for them flows, its circuit closes, and a
        hold ends."""
        ...
