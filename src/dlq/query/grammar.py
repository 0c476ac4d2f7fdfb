"""Reads a filter as people type it: terms separated by spaces, all of which must hold.

    filter := term*            term  := ["-" | "not "] (field | free)
    field  := NAME op value    op    := ":" | "<" | "<=" | ">" | ">="
    value  := item ("," item)* item  := (word | quoted) ["*"]
    free   := word | quoted    quoted := '"' (any | '\\"' | '\\\\')* '"'

One pass, one character or one word at a time, no nesting: the time is linear in the length.
What looks like a slip (an unknown field, a stray operator, OR) is refused rather than searched
for as text, since a filter that quietly means something else chooses the wrong dead letters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

from dlq.payload import clean_text
from dlq.query import values
from dlq.query.errors import FilterError
from dlq.query.fields import FIELDS, Field, Kind, Operator, field_named, similar_field
from dlq.query.filter import Filter
from dlq.query.scanner import Item, Scanner
from dlq.query.terms import (
    WHOLE_GROUP_CHARS,
    AnyOf,
    Compare,
    Contains,
    Term,
    states_term,
)
from dlq.query.values import MAX_CHARS, shown


def parse(text: str) -> Filter:
    """Raises: FilterError: with the position of the character that it failed at."""
    text = clean_text(text)
    if len(text) > MAX_CHARS:
        raise FilterError(
            f"expected at most {MAX_CHARS:,} characters, got {len(text):,}.",
            text=text,
            position=MAX_CHARS,
        )
    return Filter(tuple(_terms(Scanner(text))))


def _terms(scanner: Scanner) -> Iterator[Term]:
    scanner.skip_spaces()
    while scanner.next():
        negated = _negation(scanner)
        start = scanner.at
        if scanner.next() == '"':
            yield Contains(_phrase(scanner), negated)
        elif named := scanner.field():
            yield _named(scanner, *named, start, negated)
        else:
            yield Contains(_word(scanner), negated)
        scanner.skip_spaces()


def _negation(scanner: Scanner) -> bool:
    if not _take_negation(scanner):
        return False
    start = scanner.at
    if scanner.at_space():
        scanner.fail("expected what is to be negated directly after it, as -state:parked.")
    if _take_negation(scanner):
        scanner.fail("expected a term, got a second negation.", start)
    return True


def _take_negation(scanner: Scanner) -> bool:
    if scanner.next() == "-":
        scanner.at += 1
        return True
    word = scanner.word()
    if word.casefold() != "not":
        return False
    scanner.at += len(word)
    scanner.skip_spaces()
    return True


# --- free text ---------------------------------------------------------------------------


def _phrase(scanner: Scanner) -> str:
    start, phrase = scanner.at, scanner.quoted()
    if not phrase:
        scanner.fail("expected a text between the quotes.", start)
    if not scanner.at_space():
        scanner.fail("expected a space after the closing quote.")
    return phrase


def _word(scanner: Scanner) -> str:
    start, word = scanner.at, scanner.word()
    quote_it = f'To search for the text itself, quote it: "{word[:40]}".'
    if word.casefold() in {"and", "or"}:
        scanner.fail(
            f"there is no {word.upper()}: all terms must hold, and a comma means any of, as "
            f"category:timeout,network. {quote_it}"
        )
    if word[0] in ":<>=!":
        scanner.fail(f"expected a field before {word[0]!r}, without spaces. {quote_it}")
    if word[0] in "()":
        scanner.fail(f"expected a term, got a parenthesis: there are none. {quote_it}")
    if '"' in word:
        scanner.fail("expected a space before the quote.", start + word.index('"'))
    if word[-1] == "*":
        scanner.fail("free text is found wherever it stands, without a *.", start + len(word) - 1)
    scanner.at += len(word)
    return word


# --- fields ------------------------------------------------------------------------------


def _named(scanner: Scanner, name: str, written: str, start: int, negated: bool) -> Term:
    field = field_named(name)
    if field is None:
        _fail_unknown(scanner, name, written, start)
    operator = _operator(scanner, field, written)
    items = scanner.items()
    if field.is_compared:
        return _compare(scanner, field, operator, items, negated)
    return _any_of(scanner, field, items, negated)


def _fail_unknown(scanner: Scanner, name: str, written: str, start: int) -> NoReturn:
    meant = similar_field(name)
    fields = ", ".join(field.name for field in FIELDS)
    hint = f"Did you mean {meant}?" if meant else f"Fields are {fields}."
    scanner.fail(
        f"expected a field before {written!r}, got {shown(name)}. {hint} "
        "To search for it as text, quote it.",
        start,
    )


def _operator(scanner: Scanner, field: Field, written: str) -> Operator:
    """The one that was just taken, if the field takes it."""
    if written not in field.operators:
        expected = f"{field.name} with {', '.join(field.operators)}"
        if written == "!=" and not field.is_compared:
            expected = f"-{field.name}: for what it is not"
        scanner.fail(f"expected {expected}, got {written!r}.", scanner.at - len(written))
    return Operator(written)


def _any_of(scanner: Scanner, field: Field, items: list[Item], negated: bool) -> AnyOf:
    exact: list[str] = []
    starts: list[str] = []
    for item in items:
        try:
            text, is_start = _read(field, item)
        except ValueError as error:
            scanner.fail(str(error), item.at)
        (starts if is_start else exact).append(text)
    if field.name == "state":
        return states_term(values.states_named(exact), negated)
    return AnyOf(field.name, _once(exact), _once(starts), negated)


def _read(field: Field, item: Item) -> tuple[str, bool]:
    """The value, and whether it is only the start of one. In quotes a name or a group stands
    for itself."""
    if field.kind is Kind.NAME:
        return values.name(field.name, item.text), item.is_start
    if item.is_start:
        raise ValueError(f"expected a {field.name} without a *.")
    if field.kind is not Kind.GROUP:
        return values.choice(field.name, item.text), False
    if item.is_quoted:
        return item.text, False
    digits = values.group_start(item.text)
    return digits, len(digits) < WHOLE_GROUP_CHARS


def _once(texts: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def _compare(
    scanner: Scanner, field: Field, operator: Operator, items: list[Item], negated: bool
) -> Compare:
    if len(items) > 1:
        scanner.fail(f"expected one value for {field.name}.", items[1].at)
    [item] = items
    text = f"{item.text}*" if item.is_start else item.text
    try:
        if field.kind is Kind.DURATION:
            return Compare(field.name, operator, values.duration(text), negated)
        if field.kind is Kind.COUNT:
            return Compare(field.name, operator, values.count(text), negated)
        return Compare(field.name, *values.instant(operator, text), negated)
    except ValueError as error:
        scanner.fail(str(error), item.at)
