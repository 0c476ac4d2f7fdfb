"""Reads a term that names what it is about: a field, or a path into payload or metadata."""

from __future__ import annotations

from typing import NoReturn

from dlq.query import spelling, values
from dlq.query.fields import FIELDS, Field, Kind, Operator, field_named, similar_field
from dlq.query.paths import ROOTS
from dlq.query.scanner import Item, Scanner
from dlq.query.terms import (
    WHOLE_GROUP_CHARS,
    AnyOf,
    AtPath,
    Compare,
    CompareAt,
    Term,
    states_term,
)
from dlq.query.values import shown

PATH_EXAMPLE = 'payload."release date"'


def named_term(scanner: Scanner, negated: bool) -> Term | None:
    """The term here; None, and nothing taken, if it does not name anything.

    Raises: FilterError.
    """
    if at_path := scanner.path():
        return _at_path(scanner, *at_path, negated)
    start = scanner.at
    if not (named := scanner.field()):
        return None
    name, written = named
    field = field_named(name)
    if field is None:
        _fail_unknown(scanner, name, written, start)
    operator = _operator(scanner, field.name, field.operators, written)
    if field.short_for:
        return _values_at(scanner, field.short_for, negated)
    if field.is_compared:
        return _compare(scanner, field, operator, negated)
    return _any_of(scanner, field, negated)


def _fail_unknown(scanner: Scanner, name: str, written: str, start: int) -> NoReturn:
    if name.partition(".")[0].casefold() in ROOTS:
        scanner.fail(
            f"expected a path before {written!r}, as payload.album.id or {PATH_EXAMPLE}, got "
            f"{shown(name)}.",
            start,
        )
    meant = similar_field(name)
    fields = ", ".join(field.name for field in FIELDS)
    hint = f"Did you mean {meant}?" if meant else f"Fields are {fields}; or payload.{name}."
    scanner.fail(
        f"expected a field before {written!r}, got {shown(name)}. {hint} "
        "To search for it as text, quote it.",
        start,
    )


def _operator(scanner: Scanner, name: str, taken: tuple[Operator, ...], written: str) -> Operator:
    """The one that was just read, if it is among those that can be taken."""
    if written not in taken:
        expected = f"{name} with {', '.join(taken)}"
        if written == "!=" and Operator.EQUALS in taken:
            expected = f"-{name}: for what it is not"
        scanner.fail(f"expected {expected}, got {written!r}.", scanner.at - len(written))
    return Operator(written)


# --- fields ------------------------------------------------------------------------------


def _any_of(scanner: Scanner, field: Field, negated: bool) -> AnyOf:
    exact: list[str] = []
    starts: list[str] = []
    for item in scanner.items():
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


def _compare(scanner: Scanner, field: Field, operator: Operator, negated: bool) -> Compare:
    item = _one_item(scanner, field.name)
    try:
        if field.kind is Kind.DURATION:
            return Compare(field.name, operator, values.duration(item.written), negated)
        if field.kind is Kind.COUNT:
            return Compare(field.name, operator, values.count(item.written), negated)
        return Compare(field.name, *values.instant(operator, item.written), negated)
    except ValueError as error:
        scanner.fail(str(error), item.at)


def _one_item(scanner: Scanner, name: str) -> Item:
    item, *more = scanner.items()
    if more:
        scanner.fail(f"expected one value for {name}.", more[0].at)
    return item


# --- paths -------------------------------------------------------------------------------


def _at_path(
    scanner: Scanner, steps: tuple[str, ...], written: str, negated: bool
) -> AtPath | CompareAt:
    path = spelling.path(steps)
    operator = _operator(scanner, path, tuple(Operator), written)
    if operator is Operator.EQUALS:
        return _values_at(scanner, steps, negated)
    item = _one_item(scanner, path)
    try:
        return CompareAt(steps, operator, values.number(item.written), negated)
    except ValueError as error:
        scanner.fail(str(error), item.at)


def _values_at(scanner: Scanner, steps: tuple[str, ...], negated: bool) -> AtPath:
    if scanner.take_star():
        return AtPath(steps, starts=("",), negated=negated)
    items = scanner.items()
    exact = [item.text for item in items if not item.is_start]
    starts = [item.text for item in items if item.is_start]
    return AtPath(steps, _once(exact), _once(starts), negated)
