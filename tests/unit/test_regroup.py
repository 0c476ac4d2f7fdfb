"""What a regroup finds to change, and how it ends when it cannot go on."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dlq.errors import LedgerUnavailable
from dlq.ledger.base import DeadLetter, Ledger
from dlq.ledger.cause_book import GroupPage, Marks, NewCause
from dlq.manager import regroup
from dlq.manager.regroup import Phase, Progress, Regrouper, RegroupRunning, RegroupStopped, Report
from dlq.manager.regroup_plan import SAMPLES, Change, Kind, Plan
from dlq.message import Form, encode
from dlq.query import Filter
from dlq.states import State
from tests.support.ledger import a_message, now


def a_letter(fingerprint: str, group: str = "", **fields: Any) -> DeadLetter:
    message = a_message(**fields)
    return DeadLetter(
        message=message,
        wire=encode(message),
        form=Form.CURRENT,
        state=State.PENDING,
        category="rate_limit",
        fingerprint=fingerprint,
        title=f"cause {fingerprint}",
        replay_count=0,
        ingested_at=now(),
        updated_at=now(),
        next_replay_at=None,
        group=group or fingerprint,
    )


def new_cause(fingerprint: str, category: str = "rate_limit") -> NewCause:
    return NewCause(fingerprint, f"cause {fingerprint}", category, None, None, "none", "")


def planned(*flows: tuple[str, str, int], groups: dict[str, str] | None = None) -> Plan:
    """From which cause to which go how many."""
    plan = Plan()
    for old, new, count in flows:
        letter = a_letter(old, (groups or {}).get(old, ""))
        for _ in range(count):
            plan.add(letter, new_cause(new), is_moved=old != new)
    return plan


def only(plan: Plan) -> Change:
    [change] = plan.changes()
    return change


# --- what changes ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flows", "kind", "moved"),
    [
        ([("a", "x", 5), ("a", "y", 3)], Kind.SPLIT, 8),
        ([("a", "a", 5), ("a", "y", 3)], Kind.SPLIT, 3),
        ([("a", "x", 5), ("b", "x", 3), ("c", "x", 1)], Kind.MERGE, 9),
        ([("a", "b", 5), ("b", "b", 3)], Kind.MERGE, 5),
        ([("a", "x", 5), ("a", "y", 3), ("b", "y", 1)], Kind.MIXED, 9),
        ([("a", "x", 5)], Kind.RENAME, 5),
    ],
)
def test_causes_that_exchange_dead_letters_are_one_change(
    flows: list[tuple[str, str, int]], kind: Kind, moved: int
) -> None:
    change = only(planned(*flows, ("other", "other", 7)))
    assert (change.kind, change.moved) == (kind, moved)
    assert sum(part.count for part in change.before) == sum(flow[2] for flow in flows)
    assert sum(part.count for part in change.after) == sum(flow[2] for flow in flows)
    assert [p.count for p in change.after] == sorted((p.count for p in change.after), reverse=True)


def test_changes_that_have_nothing_in_common_stand_apart_the_largest_first() -> None:
    plan = planned(("a", "x", 1), ("b", "y", 2), ("b", "z", 2), ("c", "c", 9), ("d", "d", 1))
    assert [change.kind for change in plan.changes()] == [Kind.SPLIT, Kind.RENAME]
    assert (plan.total, plan.moved, plan.unchanged_causes()) == (15, 5, 2)


def test_another_category_is_told_as_such() -> None:
    plan = Plan()
    plan.add(a_letter("a"), new_cause("x", "auth"), is_moved=True)
    change = only(plan)
    assert change.kind is Kind.CATEGORY
    assert [part.category for part in (*change.before, *change.after)] == ["rate_limit", "auth"]


def test_memory_holds_a_few_samples_and_no_dead_letters() -> None:
    plan = planned(("a", "x", 1000))
    assert len(only(plan).samples) == SAMPLES
    assert plan.groups_to_move() == {"a": 1000}


# --- which group goes on -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("flows", "groups", "homes"),
    [
        ([("a", "x", 5)], {"a": "a"}, {"x": "a"}),
        # Two that people had merged stay so.
        ([("a", "x", 5), ("b", "y", 3)], {"a": "a", "b": "a"}, {"x": "a", "y": "a"}),
        ([("a", "x", 5), ("b", "x", 3)], {"a": "a", "b": "a"}, {"x": "a"}),
        # What has arrived since the upgrade comes to what was there before it.
        ([("a", "x", 5), ("x", "x", 3)], {"a": "a", "x": "x"}, {"x": "a"}),
        # A few do not pull many under their marks.
        ([("a", "x", 5), ("x", "x", 5)], {"a": "a", "x": "x"}, {}),
        # Two groups with two stories, and a split, are for people to decide.
        ([("a", "x", 5), ("b", "x", 3)], {"a": "a", "b": "b"}, {}),
        ([("a", "x", 5), ("a", "y", 3)], {"a": "a"}, {}),
        ([("a", "a", 5), ("a", "y", 3)], {"a": "a"}, {}),
    ],
)
def test_a_group_goes_on_with_a_cause_that_gets_all_it_had(
    flows: list[tuple[str, str, int]], groups: dict[str, str], homes: dict[str, str]
) -> None:
    assert planned(*flows, groups=groups).homes() == homes


# --- how it ends -------------------------------------------------------------------------


class FakeLedger:
    """Holds letters under a cause that nothing finds any more; breaks where a test wants it to."""

    def __init__(self, count: int) -> None:
        self.letters = [a_letter("f" * 16) for _ in range(count)]
        self.moved: dict[str, NewCause] = {}
        self.batches: list[int] = []
        self.merged: list[tuple[str, str]] = []
        self.break_after = count + 1

    @property
    def groups(self) -> FakeLedger:
        return self

    def count(self, where: Filter) -> int:
        assert where.states == tuple(State)
        return len(self.letters)

    def iterate(self, where: Filter, *, batch: int) -> Iterator[DeadLetter]:
        for letter in self.letters:
            new = self.moved.get(letter.message.message_id)
            yield (
                letter
                if new is None
                else dataclasses.replace(letter, fingerprint=new.fingerprint, category=new.category)
            )

    def all(self, **_: Any) -> GroupPage:
        return GroupPage([], 0)

    def get(self, group_id: str, **_: Any) -> Any:
        member = SimpleNamespace(member=SimpleNamespace(fingerprint=group_id))
        unmarked = dict.fromkeys(f.name for f in dataclasses.fields(Marks))
        group = SimpleNamespace(fingerprint=group_id, marks=Marks(**unmarked))
        return SimpleNamespace(group=group, causes=(member,))

    def merge(self, group_id: str, *, into: str) -> None:
        self.merged.append((group_id, into))

    def reassign(self, moves: list[tuple[str, NewCause]]) -> None:
        if len(self.moved) + len(moves) > self.break_after:
            raise LedgerUnavailable("The disk is full.")
        self.moved |= dict(moves)
        self.batches.append(len(moves))


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regroup, "BATCH", 10)


def regrouper(fake: FakeLedger, stopping: threading.Event | None = None) -> Regrouper:
    return Regrouper(cast(Ledger, fake), stopping=stopping or threading.Event())


@pytest.mark.usefixtures("small_batches")
def test_a_dry_run_reads_all_and_writes_nothing() -> None:
    fake = FakeLedger(25)
    *steps, report = regrouper(fake).run(dry_run=True)
    assert [cast(Progress, step).done for step in steps] == [0, 10, 20, 25]
    assert isinstance(report, Report)
    assert (report.total, report.to_move, report.moved) == (25, 25, 0)
    assert fake.moved == {}


@pytest.mark.usefixtures("small_batches")
def test_the_group_is_joined_with_the_first_that_moves() -> None:
    fake = FakeLedger(25)
    *steps, report = regrouper(fake).run(dry_run=False)
    assert isinstance(report, Report)
    assert report.moved == len(fake.moved) == 25
    assert fake.batches == [1, 9, 10, 5]
    assert fake.merged == [(next(iter(fake.moved.values())).fingerprint, "f" * 16)]
    moving = [step for step in steps if isinstance(step, Progress) and step.phase is Phase.MOVING]
    assert [(step.done, step.moved) for step in moving] == [(0, 0), (10, 10), (20, 20), (25, 25)]


@pytest.mark.usefixtures("small_batches")
def test_it_tells_how_far_it_came_and_goes_on_with_the_rest() -> None:
    fake = FakeLedger(25)
    fake.break_after = 15
    with pytest.raises(LedgerUnavailable, match=r"The disk is full\. 10 were moved and stay so"):
        list(regrouper(fake).run(dry_run=False))
    assert len(fake.moved) == 10
    fake.break_after = 25
    *_, report = regrouper(fake).run(dry_run=False)
    assert isinstance(report, Report)
    assert (report.to_move, report.moved, len(fake.moved)) == (15, 15, 25)
    *_, report = regrouper(fake).run(dry_run=False)
    assert isinstance(report, Report)
    assert (report.to_move, report.moved, report.changes) == (0, 0, ())


@pytest.mark.usefixtures("small_batches")
def test_a_manager_that_stops_ends_it_with_the_step_in_hand() -> None:
    fake, stopping = FakeLedger(25), threading.Event()
    steps = regrouper(fake, stopping).run(dry_run=False)
    assert next(s for s in steps if isinstance(s, Progress) and s.moved == 10)
    stopping.set()
    with pytest.raises(RegroupStopped, match="10 of 25 dead letters were looked at"):
        next(steps)
    assert len(fake.moved) == 10


def test_one_runs_at_a_time_and_its_end_lets_the_next_begin() -> None:
    one = regrouper(FakeLedger(3))
    running = one.run(dry_run=True)
    next(running)
    with pytest.raises(RegroupRunning, match="regroups already"):
        next(one.run(dry_run=True))
    running.close()  # who asked went away
    assert isinstance([*one.run(dry_run=True)][-1], Report)
