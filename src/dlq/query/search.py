"""What is searched of a dead letter: its words for an index, and whether a term matches it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dlq.message import DLQMessage
from dlq.query.fields import Operator
from dlq.query.paths import at, scalar_text
from dlq.query.phrases import phrase_of
from dlq.query.terms import AnyOf, AtPath, Contains, TextTerm
from dlq.query.values import number_in
from dlq.query.words import words_of

MAX_VALUES = 5000
"""Of payload and metadata together whose words are indexed, containers counted too."""
MAX_VALUE_CHARS = 32_768
MAX_TOTAL_CHARS = 65_536
"""Twice as many as of one value, so that an error message of HTML leaves room for the payload."""

_COMPARE: dict[Operator, Callable[[Any, Any], bool]] = {
    Operator.LESS: operator.lt,
    Operator.AT_MOST: operator.le,
    Operator.MORE: operator.gt,
    Operator.AT_LEAST: operator.ge,
}


@dataclass(frozen=True)
class Searchable:
    """One dead letter. `named`: the texts that others have in common with it."""

    message: DLQMessage
    named: tuple[str, ...]

    @classmethod
    def of(cls, message: DLQMessage, title: str = "") -> Searchable:
        """Args: title: of its group, which is searched too."""
        texts = (
            title,
            message.error_class,
            message.error_type,
            message.routing_key,
            message.source_service,
        )
        return cls(message, tuple(filter(None, texts)))

    @property
    def own_words(self) -> frozenset[str]:
        """Those that are its own: of error message, correlation id, payload and metadata
        values, as far as the bounds above go."""
        return self._indexed[0]

    @property
    def is_cut(self) -> bool:
        """The bounds left something out of `own_words`: that they lack a word says nothing."""
        return self._indexed[1]

    def matches(self, term: TextTerm) -> bool:
        """Whether the term without its negation holds. All of the dead letter is looked at,
        whatever was indexed of it."""
        if isinstance(term, Contains):
            return self._contains(term)
        if isinstance(term, AnyOf):
            return _is_any_of(getattr(self.message, term.field), term)
        value = at(self.message, term.steps)
        if isinstance(term, AtPath):
            return _is_any_of(value, term)
        number = number_in(value)
        return number is not None and _COMPARE[term.operator](number, term.value)

    # --- free text -----------------------------------------------------------------------

    def _contains(self, term: Contains) -> bool:
        if term.phrase == self.message.message_id:  # only whole: an index of ids finds it so
            return True
        phrase = phrase_of(term.phrase, is_start=term.is_start)
        return phrase.stands_in(*self._texts())

    def _texts(self) -> Iterator[str]:
        yield from self.named
        yield self.message.stack_trace or ""
        yield from filter(None, self._own_texts())

    def _own_texts(self) -> Iterator[str | None]:
        yield self.message.error_message
        yield self.message.correlation_id
        yield from _scalars([self.message.metadata, self.message.payload])

    # --- for the index -------------------------------------------------------------------

    @cached_property
    def _indexed(self) -> tuple[frozenset[str], bool]:
        kept, left_chars, is_cut = [], MAX_TOTAL_CHARS, False
        for seen_count, text in enumerate(self._own_texts()):
            if seen_count >= MAX_VALUES or left_chars <= 0:
                is_cut = True
                break
            if text:
                kept.append(text[: min(MAX_VALUE_CHARS, left_chars)])
                is_cut = is_cut or len(kept[-1]) < len(text)
                left_chars -= len(kept[-1])
        return frozenset(words_of("\n".join(kept))), is_cut


def trace_words(stack_trace: str) -> frozenset[str]:
    return frozenset(words_of(stack_trace))


def _is_any_of(value: Any, term: AnyOf | AtPath) -> bool:
    if "" in term.starts:
        return value is not None
    text = scalar_text(value)
    return text is not None and (text in term.values or text.startswith(term.starts))


def _scalars(roots: list[Any]) -> list[str | None]:
    """Every value in order of its appearance: a scalar as text, a container or null as None.
    A stack, not recursion: payloads may nest deeper than Python can."""
    found: list[str | None] = []
    waiting: list[Iterator[Any]] = [iter(roots)]
    while waiting:
        for value in waiting[-1]:
            if isinstance(value, str):
                found.append(value)
            elif isinstance(value, dict):
                found.append(None)
                waiting.append(iter(value.values()))
                break
            elif isinstance(value, list):
                found.append(None)
                waiting.append(iter(value))
                break
            else:
                found.append(scalar_text(value))
        else:
            waiting.pop()
    return found
