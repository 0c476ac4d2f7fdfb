"""The part of the ledger that knows causes: what broke, since when, how much, is it going on.

A dead letter has one cause, and each cause stands in one group. People see groups: they can
merge them, split them again, and mark them. Like the rest of the contract (`base.py`), every
method is one transaction, may be called from any thread, and either commits or changes
nothing. `group_id` is a group's fingerprint or at least the first four digits of it; that of a
cause that was merged into it names the group as well.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from dlq.classify import Category
from dlq.states import State

if TYPE_CHECKING:
    from dlq.ledger.base import AuditEntry, OutcomeCounts

NEW_FOR = dt.timedelta(hours=24)
"""So long after its first failure a group is new."""
FOREVER = dt.datetime(9999, 12, 31, tzinfo=dt.UTC)
"""Until when a group is muted if nobody says for how long."""

CAME_BACK = "group_came_back"
MARKING = (
    *("group_merge", "group_split", "group_category", "group_note", "group_mute", "group_unmute"),
    *("group_acknowledge", "group_archive", "group_restore", "group_fixed", "group_reopen"),
    CAME_BACK,  # by the ingest
)
"""What the audit trail calls changes of a group."""


class Status(StrEnum):
    """How people see a group; of several marks the last one here wins."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"  # somebody is at it
    FIXED = "fixed"  # until it comes back
    MUTED = "muted"  # for a while
    ARCHIVED = "archived"  # nobody wants to see it


class Sort(StrEnum):
    """The order of groups, each largest or newest first."""

    COUNT = "count"
    LAST_SEEN = "last_seen"
    FIRST_SEEN = "first_seen"
    TREND = "trend"  # failures of the last 24 hours


@dataclass(frozen=True, slots=True)
class NewCause:
    """What a message is found to have failed of, when it is looked at anew."""

    fingerprint: str
    title: str
    category: str
    error_class: str | None
    http_status: int | None
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Marks:
    """What people said of a group, and what followed from it."""

    category: str | None  # as corrected
    note: str | None
    noted_by: str | None
    noted_at: dt.datetime | None
    muted_until: dt.datetime | None
    muted_by: str | None
    acknowledged_at: dt.datetime | None
    acknowledged_by: str | None
    archived_at: dt.datetime | None
    archived_by: str | None
    fixed_at: dt.datetime | None
    fixed_by: str | None
    fixed_in: str | None  # the release that has the fix; empty: not said
    came_back_at: dt.datetime | None  # after it was resolved, or fixed

    def status(self, now: dt.datetime) -> Status:
        """The same as `groups.STATUS` has it in SQL."""
        if self.archived_at is not None:
            return Status.ARCHIVED
        if self.muted_until is not None and self.muted_until > now:
            return Status.MUTED
        if self.fixed_at is not None:
            return Status.FIXED
        return Status.OPEN if self.acknowledged_at is None else Status.ACKNOWLEDGED


@dataclass(frozen=True, slots=True)
class Member:
    """One cause of a group."""

    fingerprint: str
    title: str
    error_type: str
    category: str  # as the rules found it
    error_class: str | None
    http_status: int | None
    rule: str  # that found the category, of the first of them
    reason: str
    first_seen: dt.datetime  # by failed_at, of all that ever came
    last_seen: dt.datetime


@dataclass(frozen=True, slots=True)
class Trend:
    """Failures that arrived, new ones and replays that failed again, by the clock hour in which
    they happened. The last hour of each span is the one that is running."""

    hourly: tuple[int, ...]  # of 24 clock hours, the running one last
    last_7d: int

    @property
    def last_hour(self) -> int:
        return self.hourly[-1]

    @property
    def last_24h(self) -> int:
        return sum(self.hourly)


@dataclass(frozen=True, slots=True)
class Group:
    """Dead letters with one cause, or with several that people merged."""

    fingerprint: str
    shown: Member  # the cause that it is named after: see docs/groups.md
    category: str  # as corrected, or as the rules found it
    status: Status
    marks: Marks
    is_new: bool
    count: int  # in the DLQ
    by_state: dict[State, int]  # without zeros
    services: dict[str, int]  # in the DLQ, most first
    first_seen: dt.datetime
    last_seen: dt.datetime
    trend: Trend
    outcomes: OutcomeCounts
    sample_messages: tuple[str, ...]  # message ids of the newest in the DLQ


@dataclass(frozen=True, slots=True)
class GroupPage:
    """`total`: groups of that choice, on all pages."""

    groups: list[Group]
    total: int


@dataclass(frozen=True, slots=True)
class Release:
    """One `metadata.release` that failed so."""

    name: str
    failures: int
    first_seen: dt.datetime
    last_seen: dt.datetime


@dataclass(frozen=True, slots=True)
class GroupCause:
    """A member, and what of it is in the DLQ."""

    member: Member
    count: int


@dataclass(frozen=True, slots=True)
class GroupStory:
    """A group with all that is known of it."""

    group: Group
    daily: tuple[int, ...]  # failures of 7 times 24 of them, the newest last
    releases: tuple[Release, ...]  # seen last first
    causes: tuple[GroupCause, ...]  # seen last first
    history: tuple[AuditEntry, ...]  # of its marks, newest first


@dataclass(frozen=True, slots=True)
class ErrorTypeGroup:
    """Dead letters in the DLQ of one provider, as the specified endpoint groups them."""

    error_type: str
    count: int
    sample_messages: tuple[str, ...]  # message ids, newest first
    first_seen: dt.datetime  # of the causes that they have
    last_seen: dt.datetime


class Groups(Protocol):
    """Groups, their marks, and which causes stand in which."""

    def all(
        self,
        *,
        statuses: Sequence[Status] = (),
        states: Sequence[State] = (),
        sort: Sort = Sort.COUNT,
        limit: int = 100,
        offset: int = 0,
        now: dt.datetime,
    ) -> GroupPage:
        """Groups of these statuses that have something in one of these states.

        Args:
            statuses: none: whatever it is.
            states: none: also groups with nothing left.
            sort: COUNT counts what is in `states`, or without any in the DLQ.
        """
        ...

    def get(self, group_id: str, *, now: dt.datetime) -> GroupStory:
        """Raises: NotFound; InvalidInput: several groups begin so."""
        ...

    def fingerprint_of(self, group_id: str) -> str:
        """The whole of it. Raises: as `get`."""
        ...

    def by_error_type(self) -> list[ErrorTypeGroup]:
        """Largest first."""
        ...

    def merge(self, group_id: str, *, into: str) -> None:
        """All causes of one group go into another, whose marks then hold for them. The marks of
        the emptied one are kept for when they are split again.

        Raises: as `get`, for either; InvalidInput: both are one group.
        """
        ...

    def split(self, group_id: str, *, fingerprint: str | None, now: dt.datetime) -> list[Group]:
        """Causes go back to the groups that carry their own fingerprints.

        Args:
            fingerprint: of the causes to split off; None: all that are not the group's own.
        Returns: the group, then those that got causes back.
        Raises: as `get`; NotFound: no such cause in it; InvalidInput: it is the group's own.
        """
        ...

    def correct(self, group_id: str, category: Category | None) -> None:
        """Set the category of all that is in the group and all that will come; None: back to
        what the rules find. Raises: as `get`."""
        ...

    def note(self, group_id: str, text: str, *, actor: str, now: dt.datetime) -> None:
        """An empty text removes the note. Raises: as `get`."""
        ...

    def mute(self, group_id: str, *, until: dt.datetime, actor: str) -> None:
        """Raises: as `get`."""
        ...

    def unmute(self, group_id: str) -> None:
        """Raises: as `get`."""
        ...

    def acknowledge(self, group_id: str, *, actor: str, now: dt.datetime) -> None:
        """Until it comes back. Raises: as `get`."""
        ...

    def archive(self, group_id: str, *, actor: str, now: dt.datetime) -> None:
        """Until it is restored: what comes is counted and stays hidden. Raises: as `get`."""
        ...

    def restore(self, group_id: str) -> None:
        """Neither archived, acknowledged nor fixed any more. Raises: as `get`."""
        ...

    def fixed(self, group_id: str, *, release: str | None, actor: str, now: dt.datetime) -> None:
        """Until it comes back. Raises: as `get`.

        Args:
            release: that has the fix, as `metadata.release` names it.
        """
        ...

    def reopen(self, group_id: str) -> None:
        """It is not fixed after all. Raises: as `get`."""
        ...

    def reassign(self, moves: Sequence[tuple[str, NewCause]]) -> None:
        """Give messages, by id, the causes that a new version of the rules finds."""
        ...
