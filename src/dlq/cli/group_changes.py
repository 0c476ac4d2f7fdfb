"""The commands of `dlq groups` that change one: its marks, its category, its causes.

Each can be taken back, so none asks; each says what holds now and how to take it back.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from dlq.cli import options
from dlq.cli.figures import letters
from dlq.cli.group_tables import GROUPS, group_row
from dlq.cli.output import note, print_json, print_line, print_table
from dlq.cli.text import one_line
from dlq.errors import InvalidInput

GroupId = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="As `dlq groups` shows it, or at least its first four digits.",
        callback=options.not_empty,
    ),
]


# --- marks -------------------------------------------------------------------------------


def acknowledge(group_id: GroupId, as_json: options.Json = False) -> None:
    """Say that somebody is at it. Holds until it comes back after it was resolved.

    \b
    Example:
      dlq groups ack 3f1c
    """
    group = _change(group_id, "acknowledge")
    _tell(group, "is acknowledged", as_json=as_json, undo="restore")


def fixed(
    group_id: GroupId,
    release: Annotated[
        str | None,
        typer.Option(
            metavar="RELEASE",
            help="That has the fix, as metadata.release names it.",
            callback=options.not_empty,
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Say that its cause is fixed. When it fails again it is BACK.

    A release that had failed so before does not count: it may still run somewhere. What is left
    of it in the DLQ has still to be replayed.

    \b
    Examples:
      dlq groups fixed 3f1c --release 1.4.2
      dlq groups fixed 3f1c
    """
    group = _change(group_id, "fixed", {"release": release})
    told = f"is fixed in {one_line(release)}" if release else "is fixed"
    _tell(group, told, as_json=as_json, undo="reopen")
    if group["count"] and not as_json:
        note(f"Still in the DLQ: {letters(group['count'])}. {_replay(group)}")


def reopen(group_id: GroupId, as_json: options.Json = False) -> None:
    """Say that it is not fixed after all.

    \b
    Example:
      dlq groups reopen 3f1c
    """
    _tell(_change(group_id, "reopen"), "is not fixed", as_json=as_json)


def mute(
    group_id: GroupId,
    time: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="TIME",
            help="As 30m, 2h or 7d. Default: until it is unmuted.",
            callback=options.not_empty,
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Hide it from the list for a while. What fails so is kept and counted all the same.

    \b
    Examples:
      dlq groups mute 3f1c --for 2h
      dlq groups --status muted
    """
    group = _change(group_id, "mute", {"for_s": _seconds(time)})
    told = f"is muted until {one_line(group['muted_until'])}" if time else "is muted"
    _tell(group, told, as_json=as_json, undo="unmute")


def unmute(group_id: GroupId, as_json: options.Json = False) -> None:
    """Show it in the list again.

    \b
    Example:
      dlq groups unmute 3f1c
    """
    _tell(_change(group_id, "unmute"), "is not muted", as_json=as_json)


def archive(group_id: GroupId, as_json: options.Json = False) -> None:
    """Hide it from the list for good. What fails so is kept and counted all the same.

    \b
    Examples:
      dlq groups archive 3f1c
      dlq groups --status archived
    """
    _tell(_change(group_id, "archive"), "is archived", as_json=as_json, undo="restore")


def restore(group_id: GroupId, as_json: options.Json = False) -> None:
    """Make it open: neither archived, acknowledged nor fixed any more.

    \b
    Example:
      dlq groups restore 3f1c
    """
    group = _change(group_id, "restore")
    _tell(group, f"is {one_line(group['status'])}", as_json=as_json)


def write_note(
    group_id: GroupId,
    text: Annotated[
        str | None, typer.Argument(help="In place of the one before.", callback=options.not_empty)
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the note.")] = False,
    as_json: options.Json = False,
) -> None:
    """Write a note on it, for whoever looks next.

    \b
    Examples:
      dlq groups note 3f1c 'Spotify has a ticket: 4711'
      dlq groups note 3f1c --remove
    """
    from dlq.cli.group_api import GroupManager

    if (text is None) is not remove:
        raise InvalidInput("Expected a text, or --remove: one of the two.")
    with GroupManager() as manager:
        group = manager.set_of_group(group_id, "note", text or "")
    _tell(group, "has no note any more" if remove else "has a note", as_json=as_json)


def category(
    group_id: GroupId,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[CATEGORY]",
            help="As rate_limit, auth, timeout, network, not_found, server_error, resource, "
            "invalid_data or bug.",
            callback=options.not_empty,
        ),
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Back to what the rules find.")] = False,
    as_json: options.Json = False,
) -> None:
    """Correct what kind of failure it is: of all that is in it, and of all that will come.

    Retry policies go by it. `dlq regroup` keeps it.

    \b
    Examples:
      dlq groups category 3f1c auth
      dlq groups category 3f1c --reset
    """
    from dlq.cli.group_api import GroupManager

    if (name is None) is not reset:
        raise InvalidInput("Expected a category, or --reset: one of the two.")
    with GroupManager() as manager:
        group = manager.set_of_group(group_id, "category", name)
    undo = None if reset else "category --reset"
    _tell(group, f"has the category {one_line(group['category'])}", as_json=as_json, undo=undo)


# --- which cause stands where ------------------------------------------------------------


def merge(
    group_id: GroupId,
    into: Annotated[
        str,
        typer.Option(
            "--into",
            metavar="ID",
            help="The group that they will be, with its marks.",
            callback=options.not_empty,
        ),
    ],
    as_json: options.Json = False,
) -> None:
    """Put it into another group: two that have one cause, whatever their texts say.

    What fails so in the future goes there too.

    \b
    Examples:
      dlq groups merge 3f1c --into 5c45
      dlq groups split 5c45 --cause 3f1c
    """
    group = _change(group_id, "merge", {"into": into})
    _tell(group, f"has {len(group['causes'])} causes now", as_json=as_json, undo="split")


def split(
    group_id: GroupId,
    cause: Annotated[
        str | None,
        typer.Option(
            "--cause",
            metavar="CAUSE",
            help="Only this one; `dlq groups show` has them. Default: all that were merged.",
            callback=options.not_empty,
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Take a merge back: its causes are groups again, with the marks that they had.

    \b
    Examples:
      dlq groups split 5c45
      dlq groups split 5c45 --cause 3f1c
    """
    from dlq.cli.group_api import GroupManager

    with GroupManager() as manager:
        groups = manager.split_group(group_id, cause)
    if as_json:
        print_json(groups)
    elif len(groups) == 1:
        note("Nothing is merged into it.")
    else:
        print_table(GROUPS, (group_row(group) for group in groups))


# --- telling -----------------------------------------------------------------------------


def _change(group_id: str, verb: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    from dlq.cli.group_api import GroupManager

    with GroupManager() as manager:
        return manager.change_group(group_id, verb, body)


def _tell(group: dict[str, Any], what: str, *, as_json: bool, undo: str | None = None) -> None:
    """`what` may hold no text that did not go through `one_line`."""
    if as_json:
        print_json(group)
        return
    name = one_line(group["id"])
    print_line(f"Group {name} {what}: {one_line(group['title'])}")
    if undo is not None:
        verb, _, option = undo.partition(" ")
        note(f"To take it back: dlq groups {verb} {name}{f' {option}' if option else ''}")


def _replay(group: dict[str, Any]) -> str:
    return f"Replay it: dlq replay --fingerprint {one_line(group['id'])}"


def _seconds(time: str | None) -> int | None:
    """Raises: InvalidInput."""
    from dlq.policy.spans import parse_span

    if time is None:
        return None
    try:
        return parse_span(time)
    except ValueError as error:
        raise InvalidInput(f"--for: {error}") from error
