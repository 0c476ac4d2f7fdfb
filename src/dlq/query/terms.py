"""The terms of a filter: what each asks for, and which words answer to it.

Most are answered by columns. A term that `reads_message` is compared with the dead letter
itself (`search.Searchable.matches`); so that not every one must be read, it says which words
those have that it can match, and an index of words finds the candidates.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass

from dlq.query import spelling
from dlq.query.fields import Operator, field_named
from dlq.query.words import begun, words_of
from dlq.states import State

WHOLE_GROUP_CHARS = 16
"""Of a fingerprint; fewer hex digits are the start of one."""

_WHOLE_GROUP = re.compile(rf"[0-9a-f]{{{WHOLE_GROUP_CHARS}}}")

Needs = tuple[frozenset[str], ...]
"""Sets of whole words: what matches has all the words of at least one of them, or the phrase as
its id. None at all: nothing is known, and whatever there is may match."""


@dataclass(frozen=True, slots=True)
class AnyOf:
    """A field whose text is one of `values`, or begins with one of `starts`."""

    field: str
    values: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()
    negated: bool = False

    def text(self) -> str:
        if self.field == "state":
            shown = spelling.states(self.values)
        elif self.field == "group":  # quoted, since without quotes a short one is a start
            whole = [v if _WHOLE_GROUP.fullmatch(v) else spelling.quoted(v) for v in self.values]
            shown = [*whole, *self.starts]
        else:
            shown = _items(self.values, self.starts)
        return f"{spelling.sign(self.negated)}{self.field}:{','.join(shown)}"

    @property
    def reads_message(self) -> bool:
        field = field_named(self.field)
        return field is not None and field.reads_message

    def needs(self) -> Needs:
        return _needs(self.values, self.starts, self.negated)

    @property
    def start(self) -> str | None:
        """As `Contains.start`."""
        return _start(self.values, self.starts, self.negated)


@dataclass(frozen=True, slots=True)
class Compare:
    """A field compared with a number, an instant, or (`age`) a duration."""

    field: str
    operator: Operator
    value: int | dt.timedelta | dt.datetime
    negated: bool = False

    def text(self) -> str:
        measure = spelling.measure(self.value)
        return f"{spelling.sign(self.negated)}{self.field}{self.operator}{measure}"


@dataclass(frozen=True, slots=True)
class Contains:
    """Free text: its words stand together, in order and in any case, in one of the texts of
    `search.Searchable`, or it is the id; with `is_start` a word that the phrase ends with may
    go on. A phrase without words, as `!!!`, is found wherever it stands."""

    phrase: str
    negated: bool = False
    is_start: bool = False

    def text(self) -> str:
        star = "*" if self.is_start else ""
        return f"{spelling.sign(self.negated)}{spelling.written(self.phrase)}{star}"

    def needs(self) -> Needs:
        return _needs(*self._whole_and_begun, self.negated)

    @property
    def start(self) -> str | None:
        """How one word of all that matches begins, beside those that `needs` has; None if
        nothing is known. For an index that finds words by their start."""
        return _start(*self._whole_and_begun, self.negated)

    @property
    def _whole_and_begun(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return ((), (self.phrase,)) if self.is_start else ((self.phrase,), ())


@dataclass(frozen=True, slots=True)
class AtPath:
    """A value in payload or metadata that is one of `values`, or begins with one of `starts`;
    the start `""` takes whatever is there but null. `steps`: as `("payload", "album", "id")`.
    """

    steps: tuple[str, ...]
    values: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()
    negated: bool = False

    @property
    def path(self) -> str:
        return spelling.path(self.steps)

    def text(self) -> str:
        shown = ",".join(_items(self.values, self.starts))
        return f"{spelling.sign(self.negated)}{self.path}:{shown}"

    def needs(self) -> Needs:
        return _needs(self.values, self.starts, self.negated)

    @property
    def start(self) -> str | None:
        """As `Contains.start`."""
        return _start(self.values, self.starts, self.negated)


@dataclass(frozen=True, slots=True)
class CompareAt:
    """A number in payload or metadata, compared."""

    steps: tuple[str, ...]
    operator: Operator
    value: int | float
    negated: bool = False

    @property
    def path(self) -> str:
        return spelling.path(self.steps)

    def text(self) -> str:
        measure = spelling.measure(self.value)
        return f"{spelling.sign(self.negated)}{self.path}{self.operator}{measure}"

    def needs(self) -> Needs:
        return ()

    @property
    def start(self) -> str | None:
        return None


TextTerm = AnyOf | Contains | AtPath | CompareAt
"""Those that can read the message; of `AnyOf` only some do."""
Term = TextTerm | Compare


def states_term(states: Iterable[State], negated: bool = False) -> AnyOf:
    """The states in their own order, so that equal choices are equal terms."""
    wanted = set(states)
    return AnyOf("state", tuple(s.value for s in State if s in wanted), negated=negated)


def _items(values: tuple[str, ...], starts: tuple[str, ...]) -> list[str]:
    return [spelling.written(v) for v in values] + [spelling.start(s) for s in starts]


def _needs(values: tuple[str, ...], starts: tuple[str, ...], negated: bool) -> Needs:
    if negated:
        return ()
    needs = [frozenset(words_of(value)) for value in values]
    needs += [begun(start)[0] for start in starts]
    return tuple(dict.fromkeys(needs)) if all(needs) else ()


def _start(values: tuple[str, ...], starts: tuple[str, ...], negated: bool) -> str | None:
    if negated or values or len(starts) != 1:
        return None
    return begun(starts[0])[1]
