"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from dlq.cli.where import Where


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
    str | None, typer.Option("--error-type", help="The provider that failed, as spotify.")
]
Category = Annotated[
    str | None, typer.Option("--category", help="The kind of failure, as rate_limit.")
]
Fingerprint = Annotated[
    str | None, typer.Option("--fingerprint", help="One cause, as `dlq groups` shows it.")
]
SourceService = Annotated[
    str | None, typer.Option("--source-service", help="The service that published it.")
]


def where(
    states: list[StateName] | None,
    error_type: str | None,
    category: str | None,
    fingerprint: str | None,
    source_service: str | None,
) -> Where:
    return Where(
        tuple(state.value for state in states or ()),
        error_type,
        category,
        fingerprint,
        source_service,
    )
