"""Options that several commands share."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, TypeVar

import typer

from dlq.cli.where import Where, pointed
from dlq.errors import InvalidInput

Given = TypeVar("Given", str, list[str], None)


def not_empty(value: Given) -> Given:
    """Refuse `""`: an unset variable of a shell must never widen a choice.

    Raises: typer.BadParameter.
    """
    texts: list[str] = value if isinstance(value, list) else [] if value is None else [value]
    if not all(text.strip() for text in texts):
        raise typer.BadParameter("expected a text that is not empty. Is a shell variable unset?")
    return value


def a_number(value: float | None) -> float | None:
    """Refuse `nan`, which every comparison with a bound lets through.

    Raises: typer.BadParameter.
    """
    if value is not None and math.isnan(value):
        raise typer.BadParameter("expected a number of seconds.")
    return value


class StateName(StrEnum):
    PENDING = "pending"
    SCHEDULED = "scheduled"
    REPLAYING = "replaying"
    RESOLVED = "resolved"
    PARKED = "parked"
    ALL = "all"


Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
States = Annotated[
    list[StateName] | None,
    typer.Option("--state", help="Repeatable. Default: pending, scheduled and parked."),
]
ErrorType = Annotated[
    str | None,
    typer.Option("--error-type", help="The provider that failed, as spotify.", callback=not_empty),
]
Category = Annotated[
    str | None,
    typer.Option("--category", help="The kind of failure, as rate_limit.", callback=not_empty),
]
Fingerprint = Annotated[
    str | None,
    typer.Option("--fingerprint", help="One cause, as `dlq groups` shows it.", callback=not_empty),
]
SourceService = Annotated[
    str | None,
    typer.Option("--source-service", help="The service that published it.", callback=not_empty),
]


WhereText = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="FILTER",
        help="A filter, as 'category:rate_limit age>1h'; docs/filters.md has the fields.",
        callback=not_empty,
    ),
]


def where(
    states: list[StateName] | None = None,
    error_type: str | None = None,
    category: str | None = None,
    fingerprint: str | None = None,
    source_service: str | None = None,
    text: str | None = None,
) -> Where:
    """What all the options say together, checked before any manager is asked.

    Raises: InvalidInput: shows the place in the filter.
    """
    from dlq import query

    try:
        chosen = query.where(
            states=query.states_named(states or ()),
            error_type=error_type,
            category=category,
            fingerprint=fingerprint,
            source_service=source_service,
        )
        return Where(chosen & query.parse(text or ""))
    except query.FilterError as error:
        raise InvalidInput(pointed(error)) from error
