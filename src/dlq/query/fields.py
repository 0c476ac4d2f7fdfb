"""The fields that a filter can name: one table, and what each takes."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

from dlq.classify import CATEGORIES
from dlq.states import Outcome, State


class Kind(StrEnum):
    """What a field's values are."""

    NAME = "name"  # an open set: exact, or its start with a `*`
    CHOICE = "choice"  # a closed set
    GROUP = "group"  # a fingerprint, or its start
    DURATION = "duration"
    INSTANT = "instant"
    COUNT = "count"


class Operator(StrEnum):
    EQUALS = ":"
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    kind: Kind
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    reads_message: bool = False
    """Compared with the dead letter itself: no column has it."""
    short_for: tuple[str, ...] = ()
    """The path that it stands for."""

    @property
    def is_compared(self) -> bool:
        return self.kind in {Kind.DURATION, Kind.INSTANT, Kind.COUNT}

    @property
    def operators(self) -> tuple[Operator, ...]:
        """Those that it takes."""
        if not self.is_compared:
            return (Operator.EQUALS,)
        return tuple(Operator)[0 if self.kind is Kind.COUNT else 1 :]


ALL_STATES, DLQ_STATES, NO_OUTCOME = "all", "dlq", "none"
MARKS = ("new", "regressed", "muted", "archived", "acknowledged", "fixed")
"""What `is:` says of the group that a dead letter belongs to."""

FIELDS = (
    Field("error_type", Kind.NAME, aliases=("provider",)),
    Field("category", Kind.CHOICE, choices=CATEGORIES),
    Field("error_class", Kind.NAME),
    Field("http_status", Kind.COUNT),
    Field("group", Kind.GROUP, aliases=("fingerprint",)),
    Field("is", Kind.CHOICE, choices=MARKS),
    Field("service", Kind.NAME, aliases=("source_service",)),
    Field("state", Kind.CHOICE, choices=(*State, ALL_STATES, DLQ_STATES)),
    Field("outcome", Kind.CHOICE, choices=(*Outcome, NO_OUTCOME)),
    Field("id", Kind.NAME, aliases=("message_id",)),
    Field("correlation_id", Kind.NAME, reads_message=True),
    Field("routing_key", Kind.NAME, reads_message=True),
    Field("release", Kind.NAME, short_for=("metadata", "release")),
    Field("age", Kind.DURATION),
    Field("failed_at", Kind.INSTANT),
    Field("ingested_at", Kind.INSTANT),
    Field("next_replay_at", Kind.INSTANT),
    Field("retry_count", Kind.COUNT),
    Field("replay_count", Kind.COUNT),
)

_BY_NAME = {name: field for field in FIELDS for name in (field.name, *field.aliases)}


def field_named(name: str) -> Field | None:
    """By name or alias, in any case."""
    return _BY_NAME.get(name.casefold())


def similar_field(name: str) -> str | None:
    """The field whose name was probably meant."""
    return similar(name, _BY_NAME)


def similar(word: str, known: dict[str, Field] | tuple[str, ...]) -> str | None:
    """The known word that was probably meant. Source: difflib, Ratcliff and Obershelp."""
    return next(iter(get_close_matches(word.casefold()[:64], known, n=1)), None)
