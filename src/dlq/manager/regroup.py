"""Regrouping: every stored dead letter is diagnosed anew, and filed under the cause that the
rules of today find.

It is needed after an upgrade with another `ALGORITHM_VERSION`, or with other rules. It reads the
whole ledger once to see which causes split and merge; then it moves, group by group, what has
to move. Nothing has to be undone when it ends early: run again, it finds what is left.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum

from dlq.errors import DLQError, IllegalTransition, InvalidInput, LedgerUnavailable, NotFound
from dlq.keeping import rest_s
from dlq.ledger.base import DeadLetter, Ledger
from dlq.ledger.cause_book import Marks, NewCause
from dlq.manager.arrivals import cause_of_message
from dlq.manager.regroup_plan import Change, Plan
from dlq.query import Filter, where
from dlq.states import State

logger = logging.getLogger(__name__)

BATCH = 500
"""Dead letters between two reports, and moved in one transaction."""
GROUP_PAGE = 200


class RegroupRunning(IllegalTransition):
    """This manager regroups already."""

    code = "regroup_running"


class RegroupStopped(DLQError):
    """The manager was stopped meanwhile."""

    code = "stopping"


class Phase(StrEnum):
    READING = "reading"  # every dead letter, to see what changes
    MOVING = "moving"  # those groups in which something changes


@dataclass(frozen=True, slots=True)
class Progress:
    """Dead letters looked at, of those that the phase is about; `moved` so far."""

    phase: Phase
    done: int
    total: int
    moved: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What changes, or has changed. `to_move` was counted before anything was; `moved` is 0 of
    a dry run."""

    dry_run: bool
    total: int
    to_move: int
    moved: int
    unchanged_causes: int
    changes: tuple[Change, ...]


class Regrouper:
    """Regroups for whoever asks, on the thread that asks, once at a time.

    Args:
        stopping: ends it with the step in hand.
    """

    def __init__(self, ledger: Ledger, *, stopping: threading.Event) -> None:
        self._ledger = ledger
        self._stopping = stopping
        self._running = threading.Lock()

    def run(self, *, dry_run: bool) -> Generator[Progress | Report]:
        """Progress, and the report at last.

        Raises:
            RegroupRunning: with the first step.
            RegroupStopped, LedgerUnavailable: how far it came; what is moved stays moved.
        """
        with self._alone():
            yield from _Regrouping(self._ledger, self._stopping, dry_run=dry_run).steps()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._running.acquire(blocking=False):
            raise RegroupRunning(
                "This manager regroups already, or tries it as a dry run. Wait for its end; "
                "GET /dlq/groups shows groups as they are now."
            )
        try:
            yield
        finally:
            self._running.release()


class _Regrouping:
    """One of them."""

    def __init__(self, ledger: Ledger, stopping: threading.Event, *, dry_run: bool) -> None:
        self._ledger = ledger
        self._stopping = stopping
        self._dry_run = dry_run
        self._plan = Plan()
        self._marks: dict[str, Marks] = {}  # of groups that have any
        self._found: dict[str, dict[str, set[str]]] = {}  # see `_categories_found`
        self._homes: dict[str, str] = {}
        self._at = Progress(Phase.READING, 0, 0)

    def steps(self) -> Iterator[Progress | Report]:
        try:
            self._marks = self._marked_groups()
            yield from self._read()
            changes = self._changes()
            if not self._dry_run:
                yield from self._move()
        except (LedgerUnavailable, NotFound) as error:  # NotFound: merged away meanwhile
            raise type(error)(f"{error} {self._how_far()}") from error
        yield Report(
            dry_run=self._dry_run,
            total=self._plan.total,
            to_move=self._plan.moved,
            moved=self._at.moved,
            unchanged_causes=self._plan.unchanged_causes(),
            changes=changes,
        )

    # --- what changes ---

    def _read(self) -> Iterator[Progress]:
        everything = where(states=tuple(State))
        self._at = replace(self._at, total=self._ledger.count(everything))
        yield self._at
        for batch in self._batches(everything):
            for letter in batch:
                new = _cause_of(letter)
                found = self._categories_found(letter)
                is_moved = letter.fingerprint != new.fingerprint or new.category not in found
                shown = letter if letter.category in found else _with_category(letter, found)
                self._plan.add(shown, new, is_moved=is_moved)
            yield self._advanced(len(batch))

    def _changes(self) -> tuple[Change, ...]:
        """With the groups that go on by them, and those whose marks are left behind."""
        self._homes = self._plan.homes()
        told = []
        for change in self._plan.changes():
            after = {part.fingerprint for part in change.after}
            kept = {self._homes[fingerprint] for fingerprint in after if fingerprint in self._homes}
            left = {part.group for part in change.before if part.fingerprint not in after}
            left = (left & set(self._marks)) - kept
            told.append(
                replace(change, kept_groups=tuple(sorted(kept)), left_marks=tuple(sorted(left)))
            )
        return tuple(told)

    def _categories_found(self, letter: DeadLetter) -> set[str]:
        """What the rules had found for its cause, where an operator's word is shown instead."""
        marks = self._marks.get(letter.group)
        if marks is None or marks.category is None:
            return {letter.category}
        if letter.group not in self._found:
            by_fingerprint: dict[str, set[str]] = {}
            for cause in self._ledger.groups.get(letter.group, now=_now()).causes:
                member = cause.member
                by_fingerprint.setdefault(member.fingerprint, set()).add(member.category)
            self._found[letter.group] = by_fingerprint
        return self._found[letter.group].get(letter.fingerprint, {letter.category})

    def _marked_groups(self) -> dict[str, Marks]:
        marked: dict[str, Marks] = {}
        offset = 0
        while True:
            page = self._ledger.groups.all(limit=GROUP_PAGE, offset=offset, now=_now())
            marked |= {g.fingerprint: g.marks for g in page.groups if _is_marked(g.marks)}
            offset += GROUP_PAGE
            if offset >= page.total:
                return marked

    # --- moving ---

    def _move(self) -> Iterator[Progress]:
        groups = self._plan.groups_to_move()
        self._at = Progress(Phase.MOVING, 0, sum(groups.values()))
        yield self._at
        for group in groups:
            for batch in self._batches(where(states=tuple(State), fingerprint=group)):
                self._move_batch(batch)
                yield self._advanced(len(batch))

    def _move_batch(self, batch: list[DeadLetter]) -> None:
        moves = []
        for letter in batch:
            new = _cause_of(letter)
            found = self._categories_found(letter)
            if letter.fingerprint != new.fingerprint or new.category not in found:
                moves.append((letter.message.message_id, new))
        # The group goes on with a cause as soon as that is there: if it ends early after that,
        # there is still something of the old one by which the next run finds it.
        first_of = {new.fingerprint: (name, new) for name, new in reversed(moves)}
        leading = [first_of[f] for f in first_of if f in self._homes]
        if leading:
            self._reassign(leading)
            for _, new in leading:
                self._go_on(new.fingerprint, self._homes.pop(new.fingerprint))
        rest = [move for move in moves if move not in leading]
        if rest:
            self._reassign(rest)

    def _reassign(self, moves: Sequence[tuple[str, NewCause]]) -> None:
        began = time.monotonic()
        self._ledger.groups.reassign(moves)
        self._at = replace(self._at, moved=self._at.moved + len(moves))
        self._stopping.wait(rest_s(time.monotonic() - began))  # others write, too

    def _go_on(self, fingerprint: str, home: str) -> None:
        """Let the group `home`, with its id and its marks, go on with this cause; unless people
        have marked the cause itself already, or merged others into it."""
        try:
            story = self._ledger.groups.get(fingerprint, now=_now())
            is_alone = {cause.member.fingerprint for cause in story.causes} == {fingerprint}
            if story.group.fingerprint == home or not is_alone or _is_marked(story.group.marks):
                return
            self._ledger.groups.merge(fingerprint, into=home)
            self._found.pop(home, None)  # it has a cause more
        except (NotFound, InvalidInput) as error:  # somebody else merged or split meanwhile
            logger.warning("Group %s does not go on with %s: %s", home, fingerprint, error)

    # --- step by step ---

    def _batches(self, chosen: Filter) -> Iterator[list[DeadLetter]]:
        """Between batches nothing is held.

        Raises: RegroupStopped."""
        batch: list[DeadLetter] = []
        for letter in self._ledger.iterate(chosen, batch=BATCH):
            batch.append(letter)
            if len(batch) == BATCH:
                yield batch
                batch = []
                if self._stopping.is_set():
                    raise RegroupStopped(f"The manager stops. {self._how_far()}")
        if batch:
            yield batch

    def _advanced(self, count: int) -> Progress:
        self._at = replace(self._at, done=min(self._at.done + count, self._at.total))
        return self._at

    def _how_far(self) -> str:
        looked = f"{self._at.done:,} of {self._at.total:,} dead letters were looked at"
        if self._at.phase is Phase.READING:
            return f"Nothing was moved: {looked}. Run it again."
        return (
            f"{self._at.moved:,} were moved and stay so: {looked} in the groups that change. "
            "Run it again: it goes on with the rest."
        )


def _cause_of(letter: DeadLetter) -> NewCause:
    diagnosis, cause = cause_of_message(letter.message)
    return NewCause(
        fingerprint=cause.fingerprint,
        title=cause.title,
        category=diagnosis.category.value,
        error_class=diagnosis.error_class,
        http_status=diagnosis.http_status,
        rule=diagnosis.rule,
        reason=diagnosis.reason,
    )


def _with_category(letter: DeadLetter, found: set[str]) -> DeadLetter:
    return replace(letter, category=min(found))


def _is_marked(marks: Marks) -> bool:
    """Whether people have said anything of the group."""
    return any(
        mark is not None
        for mark in (
            marks.category,
            marks.note,
            marks.muted_until,
            marks.acknowledged_at,
            marks.archived_at,
            marks.fixed_at,
        )
    )


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
