"""What a regroup changes: which causes split, merge or become others, gathered letter by letter.

Only causes are kept, with a few dead letters of each as samples, so that the memory it needs
does not grow with the ledger.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from dlq.ledger.base import DeadLetter
from dlq.ledger.cause_book import NewCause

SAMPLES = 3
"""Dead letters that are named for each change."""


class Kind(StrEnum):
    SPLIT = "split"  # one cause becomes several
    MERGE = "merge"  # several become one
    MIXED = "mixed"  # several become several others
    CATEGORY = "category"  # one to one, and into another category
    RENAME = "rename"  # one to one, by another fingerprint only


@dataclass(slots=True)
class Part:
    """A cause as it is before or after, with how many of the dead letters in question have it.

    `group` is the one that it stands in before; empty for what is after."""

    fingerprint: str
    title: str
    category: str
    group: str = ""
    count: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """Causes that hang together, since dead letters go from each to others of them.

    Attributes:
        moved: dead letters that get another cause.
        kept_groups: those that go on with all they had, under their ids and with their marks.
        left_marks: marked groups whose marks do not hold for where their dead letters go.
    """

    kind: Kind
    before: tuple[Part, ...]
    after: tuple[Part, ...]
    moved: int
    samples: tuple[str, ...]
    kept_groups: tuple[str, ...] = ()
    left_marks: tuple[str, ...] = ()


@dataclass(slots=True)
class Flow:
    """Dead letters of one cause that have one cause afterwards."""

    count: int = 0
    moved: int = 0
    samples: list[str] = field(default_factory=list)


class Plan:
    """Fed with every dead letter of the ledger."""

    def __init__(self) -> None:
        self._before: dict[str, Part] = {}
        self._after: dict[str, Part] = {}
        self._flows: defaultdict[tuple[str, str], Flow] = defaultdict(Flow)
        self._group_counts: defaultdict[str, int] = defaultdict(int)
        self.total = 0
        self.moved = 0

    def add(self, letter: DeadLetter, new: NewCause, *, is_moved: bool) -> None:
        old = Part(letter.fingerprint, letter.title, letter.category, letter.group)
        self._before.setdefault(old.fingerprint, old).count += 1
        named = Part(new.fingerprint, new.title, new.category)
        self._after.setdefault(named.fingerprint, named).count += 1
        flow = self._flows[old.fingerprint, new.fingerprint]
        flow.count += 1
        self._group_counts[letter.group] += 1
        self.total += 1
        if is_moved:
            self.moved += 1
            flow.moved += 1
            if len(flow.samples) < SAMPLES:
                flow.samples.append(letter.message.message_id)

    def changes(self) -> list[Change]:
        """Most dead letters first."""
        found = [self._change(flows) for flows in self._connected()]
        return sorted((c for c in found if c.moved), key=lambda c: -c.moved)

    def unchanged_causes(self) -> int:
        return sum(not any(self._flows[k].moved for k in flows) for flows in self._connected())

    def groups_to_move(self) -> dict[str, int]:
        """Groups that have dead letters to move, with how many they have in all."""
        groups = dict.fromkeys(
            self._before[old].group for (old, _), flow in self._flows.items() if flow.moved
        )
        return {group: self._group_counts[group] for group in groups}

    def homes(self) -> dict[str, str]:
        """By the fingerprint of a cause: the group that goes on with it, since all that it gets
        comes whole from there, and outweighs what it has already."""
        whole = self._whole()
        sources: defaultdict[str, list[str]] = defaultdict(list)
        for old, new in self._flows:
            sources[new].append(old)
        homes = {}
        for new, olds in sources.items():
            others = [old for old in olds if old != new]
            groups = {self._before[old].group for old in others}
            stays = self._flows[new, new].count if new in olds else 0
            gets = sum(self._before[old].count for old in others)
            if len(groups) == 1 and whole.issuperset(others) and gets > stays:
                homes[new] = groups.pop()
        return homes

    def _whole(self) -> set[str]:
        """Causes of which every dead letter goes to one and the same."""
        targets: defaultdict[str, int] = defaultdict(int)
        for old, _ in self._flows:
            targets[old] += 1
        return {old for old, count in targets.items() if count == 1}

    def _change(self, flows: list[tuple[str, str]]) -> Change:
        before = _ordered(self._before[old] for old, _ in flows)
        after = _ordered(self._after[new] for _, new in flows)
        moved = [self._flows[key] for key in flows if self._flows[key].moved]
        return Change(
            kind=_kind(before, after),
            before=before,
            after=after,
            moved=sum(flow.moved for flow in moved),
            samples=tuple(name for flow in moved for name in flow.samples)[:SAMPLES],
        )

    def _connected(self) -> Iterator[list[tuple[str, str]]]:
        """The flows, those together that share a cause on either side."""
        by_old: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        by_new: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        for key in self._flows:
            by_old[key[0]].append(key)
            by_new[key[1]].append(key)
        seen: set[tuple[str, str]] = set()
        for start in self._flows:
            if start in seen:
                continue
            seen.add(start)
            found, next_ones = [], [start]
            while next_ones:
                key = next_ones.pop()
                found.append(key)
                for other in (*by_old.pop(key[0], ()), *by_new.pop(key[1], ())):
                    if other not in seen:
                        seen.add(other)
                        next_ones.append(other)
            yield found


def _ordered(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Each once, the largest first."""
    once = {part.fingerprint: part for part in parts}
    return tuple(sorted(once.values(), key=lambda part: (-part.count, part.fingerprint)))


def _kind(before: tuple[Part, ...], after: tuple[Part, ...]) -> Kind:
    if len(before) == 1 and len(after) == 1:
        return Kind.RENAME if before[0].category == after[0].category else Kind.CATEGORY
    if len(before) == 1:
        return Kind.SPLIT
    return Kind.MERGE if len(after) == 1 else Kind.MIXED
