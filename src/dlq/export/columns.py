"""The columns of a table, from the fields of a model: a new field is in every format at once."""

from __future__ import annotations

import datetime as dt
import types
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel


class Kind(StrEnum):
    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    FLAG = "flag"
    INSTANT = "instant"  # aware, in UTC
    JSON = "json"  # an object or list, written as JSON text


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: Kind


_KINDS: tuple[tuple[tuple[type, ...], Kind], ...] = (
    ((bool,), Kind.FLAG),  # before int, whose subclass it is
    ((int,), Kind.INTEGER),
    ((float,), Kind.NUMBER),
    ((dt.datetime,), Kind.INSTANT),
    ((str, Enum), Kind.TEXT),
)


def columns_of(row_class: type[BaseModel]) -> tuple[Column, ...]:
    """One a field, in their order."""
    return tuple(
        Column(name, _kind(field.annotation)) for name, field in row_class.model_fields.items()
    )


def _kind(annotation: Any) -> Kind:
    """Of the one type beside None; whatever is no plain value is JSON."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        kinds = {_kind(arg) for arg in get_args(annotation) if arg is not types.NoneType}
        return kinds.pop() if len(kinds) == 1 else Kind.JSON
    if origin is Literal:
        return Kind.TEXT
    if hasattr(annotation, "__metadata__"):  # Annotated: its first argument
        return _kind(get_args(annotation)[0])
    if isinstance(annotation, type) and origin is None:
        for classes, kind in _KINDS:
            if issubclass(annotation, classes):
                return kind
    return Kind.JSON
