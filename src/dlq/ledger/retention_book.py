"""What the ledger lets go of: by age, and at somebody's word.

Like the rest of the contract (`base.py`): from any thread, and each transaction commits or
changes nothing. What deletes in bulk works in small transactions, of which the caller sets the
pace; several managers may do so at once, and leave to the other what it has in hand.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from dlq.keeping import Keep, Loss, RetentionRules
from dlq.query import Filter
from dlq.states import IN_DLQ, State

PURGEABLE = frozenset({*IN_DLQ, State.RESOLVED})
"""What is `replaying` is in a worker's hands."""
MOST_AT_ONCE = 50
"""Dead letters that one transaction lets go of: some hundredths of a second, in which nobody else
writes to SQLite."""
MOST_COUNTED = 10_000
"""An outlook counts no further: it is asked for every minute, whatever is at risk."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one transaction of a sweep let go; often nothing, where it only looked."""

    loss: Loss
    count: int  # dead letters


@dataclass(frozen=True, slots=True)
class AgeOutlook:
    """What retention takes out of the DLQ next.

    `next_loss_at` is never later than the first loss; None: nothing will be lost. Of what is not
    at risk within the span that was asked for, it may be earlier.
    """

    next_loss_at: dt.datetime | None
    at_risk_count: int = 0  # within the span that was asked for
    at_risk_is_more: bool = False  # than MOST_COUNTED, which were counted


@dataclass(frozen=True, slots=True)
class GroupCount:
    """How many of one group."""

    group: str
    title: str
    category: str
    count: int


@dataclass(frozen=True, slots=True)
class Survey:
    """What a filter chooses, once and for all: what arrives later is not among it."""

    row_ids: Sequence[int]  # in order of arrival; 8 bytes each
    by_state: dict[State, int]
    by_error_type: dict[str, int]
    by_category: dict[str, int]
    groups: tuple[GroupCount, ...]  # the largest first
    message_ids: tuple[str, ...]  # the first

    @property
    def total(self) -> int:
        return len(self.row_ids)


class Retention(Protocol):
    """Lets go of what is old enough, or not wanted any more."""

    def sweep(self, rules: RetentionRules, *, now: dt.datetime) -> Iterator[Step]:
        """Let go of all that is old enough. Each step is one small transaction (or a look that
        found nothing to do), and nothing is held between steps: rest there, or stop.

        A dead letter's time in the DLQ counts from its arrival, or from when its newest replay
        came back, by the clock of the manager that took it in; that of a resolved one from its
        success. Either is emptied, with a line in its history. Emptied ones, jobs that are over
        and the audit go for good; a dead letter not before all jobs that name it.
        """
        ...

    def outlook(self, keep: Keep, *, now: dt.datetime, within: dt.timedelta) -> AgeOutlook:
        """What will be lost by age, and how much of it within that span."""
        ...

    def survey(self, where: Filter, *, now: dt.datetime) -> Survey:
        """What matches now (several transactions).

        Raises: InvalidInput: the filter allows states that cannot be purged.
        """
        ...

    def purge(
        self, row_ids: Sequence[int], states: Collection[State], *, actor: str, now: dt.datetime
    ) -> int:
        """Empty these rows for good, each with a line in its history.

        Args:
            row_ids: of a `Survey`; at most MOST_AT_ONCE.
            states: those of its filter. What is in another one by now, or in somebody's hands, is
                left.
        Returns: how many were emptied.
        """
        ...

    def forget_hours(self, before: dt.datetime) -> None:
        """Drop the counts by hour from before that instant."""
        ...
