"""A filter: terms that must all hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dlq.payload import clean_text
from dlq.query.errors import FilterError
from dlq.query.terms import AnyOf, Compare, Term, TextTerm, states_term
from dlq.query.values import MAX_CHARS, choice, name
from dlq.states import IN_DLQ, State


@dataclass(frozen=True, slots=True)
class Filter:
    """Which dead letters: those for which all `terms` hold.

    Without a term that names states it means what is in the DLQ: pending, scheduled, parked.
    Raises: FilterError: longer, as text, than can be read back.
    """

    terms: tuple[Term, ...] = ()

    def __post_init__(self) -> None:
        written = self.text()
        if len(written) > MAX_CHARS:
            raise FilterError(
                f"expected at most {MAX_CHARS:,} characters, written out it has {len(written):,}.",
                text=written,
                position=MAX_CHARS,
            )

    @property
    def states(self) -> tuple[State, ...]:
        """The states it allows; none if its terms exclude each other."""
        allowed = set(IN_DLQ)
        terms = [t for t in self.terms if isinstance(t, AnyOf) and t.field == "state"]
        named = [{State(value) for value in t.values} for t in terms if not t.negated]
        if named:
            allowed = set.intersection(*named)
        for term in terms:
            if term.negated:
                allowed -= {State(value) for value in term.values}
        return tuple(state for state in State if state in allowed)

    @property
    def is_empty(self) -> bool:
        """True: it does not restrict what is in the DLQ."""
        return not self.terms

    @property
    def column_terms(self) -> tuple[AnyOf | Compare, ...]:
        """Those about columns and about the cause; those about states are among them."""
        found = (t for t in self.terms if isinstance(t, AnyOf | Compare))
        return tuple(t for t in found if isinstance(t, Compare) or not t.reads_message)

    @property
    def text_terms(self) -> tuple[TextTerm, ...]:
        """Those that read the message: `search.Searchable.matches` decides about them."""
        found = (t for t in self.terms if not isinstance(t, Compare))
        return tuple(t for t in found if not isinstance(t, AnyOf) or t.reads_message)

    def text(self) -> str:
        """As `grammar.parse` reads it back to an equal filter."""
        return " ".join(term.text() for term in self.terms)

    def __and__(self, other: Filter) -> Filter:
        """Raises: FilterError: the two together are too long."""
        return Filter(self.terms + other.terms)


def where(
    *,
    states: Iterable[State] | None = None,
    error_type: str | None = None,
    category: str | None = None,
    fingerprint: str | None = None,
    source_service: str | None = None,
) -> Filter:
    """A filter from values, each whole; what is None, or no states, restricts
    nothing.

    Raises: FilterError: no such category; longer than a filter may be.
    """
    terms = []
    if wanted := tuple(states or ()):
        terms.append(states_term(wanted))
    if category is not None:
        terms.append(AnyOf("category", (_category(category),)))
    for field, value in (
        ("error_type", error_type),
        ("group", fingerprint),
        ("service", source_service),
    ):
        if value is not None:
            terms.append(AnyOf(field, (name(field, clean_text(value)),)))
    return Filter(tuple(terms))


def _category(value: str) -> str:
    try:
        return choice("category", clean_text(value))
    except ValueError as error:
        text = f"category:{value}"
        raise FilterError(str(error), text=text, position=len("category:")) from None
