"""How a job goes about it and when, as options of `dlq replay`."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

import typer

from dlq.cli import options
from dlq.errors import InvalidInput

PANEL = "How a job goes about it"

Rate = Annotated[
    str | None,
    typer.Option(
        metavar="N/s",
        help="As 1/s, 30/m, 5/10s; never above what each provider allows.",
        rich_help_panel=PANEL,
    ),
]
Canary = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=1000,
        metavar="N",
        help="Send N first, go on only if enough of them succeed; 0: none. "
        "Default: 10 in a job over 100.",
        rich_help_panel=PANEL,
    ),
]
CanaryShare = Annotated[
    str | None,
    typer.Option(
        metavar="SHARE",
        help="How much of the canary must succeed, as 0.8 or 80%.",
        show_default="80%",
        rich_help_panel=PANEL,
    ),
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1000,
        metavar="N",
        help="Replays on their way at once. Default: the manager's.",
        rich_help_panel=PANEL,
    ),
]
To = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="ROUTING_KEY",
        help="Instead of the retry queue; one of the manager's DLQ_REPLAY_TARGETS.",
        callback=options.not_empty,
        rich_help_panel=PANEL,
    ),
]
SkipSuperseded = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="As payload.track_id: skip what failed before a success for the same key.",
        callback=options.not_empty,
        rich_help_panel=PANEL,
    ),
]
OrderedBy = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="As payload.playlist_id: of one key, each waits for the outcome of the one before.",
        callback=options.not_empty,
        rich_help_panel=PANEL,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="At most so many, the oldest first.", rich_help_panel=PANEL
    ),
]
At = Annotated[
    str | None,
    typer.Option(
        metavar="WHEN",
        help="Start then: 2026-11-25T02:00:00Z, the next 02:00 (both in UTC), or +30m.",
        callback=options.not_empty,
        rich_help_panel=PANEL,
    ),
]


def checked(given: dict[str, Any]) -> dict[str, Any]:
    """The options that are given, by their names in the API.

    Raises: InvalidInput: names the option.
    """
    from dlq.pace import parse_rate
    from dlq.query import check_path

    for name, check in (
        ("rate", parse_rate),
        ("skip_superseded", check_path),
        ("ordered_by", check_path),
    ):
        if given.get(name) is not None:
            try:
                check(given[name])
            except InvalidInput as error:
                raise InvalidInput(f"--{name.replace('_', '-')}: {error}") from error
    if given.get("canary_share") is not None:
        given = given | {"canary_share": share(given["canary_share"])}
    return {name: value for name, value in given.items() if value is not None}


def share(text: str) -> float:
    """`0.8` or `80%`.

    Raises: InvalidInput.
    """
    number, is_percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        value = float(number) / (100 if is_percent else 1)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise InvalidInput(
            f"--canary-share: expected a share above 0 and up to 1, as 0.8 or 80%, got {text!r}."
        )
    return value


def start_at(text: str, now: dt.datetime) -> dt.datetime:
    """`2026-11-25T02:00:00Z`, `02:00` (the next one) or `+30m`, in UTC unless it says otherwise.

    Raises: InvalidInput: it is none of them, or past.
    """
    text = text.strip()
    try:
        if text.startswith("+"):
            return now + _span(text[1:])
        if len(text) <= len("02:00:00"):
            return _next_time(dt.time.fromisoformat(text), now)
        found = dt.datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            "--at: expected an instant as 2026-11-25T02:00:00Z, a time of day in UTC as 02:00, "
            f"or a time from now as +30m, got {text!r}."
        ) from error
    at = found.replace(tzinfo=found.tzinfo or dt.UTC).astimezone(dt.UTC)
    if at <= now:
        raise InvalidInput(
            f"--at: {text} has passed; it is {now:%Y-%m-%dT%H:%M:%SZ}. Without --at: at once."
        )
    return at


def _span(text: str) -> dt.timedelta:
    from dlq.policy.spans import parse_span

    return dt.timedelta(seconds=parse_span(text))


def _next_time(time: dt.time, now: dt.datetime) -> dt.datetime:
    today = dt.datetime.combine(now.date(), time, tzinfo=dt.UTC)
    return today if today > now else today + dt.timedelta(days=1)
