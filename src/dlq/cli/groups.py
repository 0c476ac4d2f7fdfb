"""`dlq groups`: what broke, since when, how much, and whether it goes on."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from dlq.cli import group_changes, options
from dlq.cli.group_changes import GroupId
from dlq.cli.group_story import print_story
from dlq.cli.group_tables import GROUPS, TYPES, group_row, type_row
from dlq.cli.output import note, print_json, print_table
from dlq.errors import InvalidInput

MOST_OFFSET = 2**53

app = typer.Typer()


class By(StrEnum):
    CAUSE = "cause"
    ERROR_TYPE = "error-type"


class StatusName(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    FIXED = "fixed"
    MUTED = "muted"
    ARCHIVED = "archived"
    ALL = "all"


class SortName(StrEnum):
    COUNT = "count"
    LAST_SEEN = "last-seen"
    FIRST_SEEN = "first-seen"
    TREND = "trend"


@app.callback(invoke_without_command=True)
def list_groups(
    context: typer.Context,
    status: Annotated[
        StatusName | None,
        typer.Option(help="Only these. Default: in the DLQ, and neither muted nor archived."),
    ] = None,
    sort: Annotated[
        SortName,
        typer.Option(help="The largest or newest first; trend: by failures of the last 24 hours."),
    ] = SortName.COUNT,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    offset: Annotated[int, typer.Option(min=0, max=MOST_OFFSET, help="Skip so many.")] = 0,
    by: Annotated[By, typer.Option(help="What makes a group.")] = By.CAUSE,
    as_json: options.Json = False,
) -> None:
    """List what broke, a line a cause; or show, merge, split, mark one.

    COUNT is in the DLQ now, LAST 24 H the failures of each hour, OK how many of its replays
    succeeded. NEW was first seen in the last 24 hours; BACK had been resolved or fixed.

    An ID is what GROUP shows, or at least its first four digits.

    \b
    Examples:
      dlq groups
      dlq groups --sort trend
      dlq groups show 3f1c
      dlq groups ack 3f1c
      dlq replay --fingerprint 3f1c0a9be2d47a55
    """
    if context.invoked_subcommand is not None:
        return
    if by is By.ERROR_TYPE:
        if status or offset or sort is not SortName.COUNT:
            raise InvalidInput("--status, --sort and --offset are for groups by cause.")
        _list_types(limit, as_json=as_json)
    else:
        _list_causes(status, sort, limit, offset, as_json=as_json)


def _list_causes(
    status: StatusName | None, sort: SortName, limit: int, offset: int, *, as_json: bool
) -> None:
    from dlq.cli.group_api import GroupManager

    with GroupManager() as manager:
        groups, total = manager.cause_groups(
            status=status, sort=sort.replace("-", "_"), limit=limit, offset=offset
        )
    if as_json:
        print_json(groups)
        return
    if groups:
        print_table(GROUPS, (group_row(group) for group in groups))
    elif status is None and not offset:
        note("The DLQ is empty, or all that is in it is muted or archived: --status all")
    else:
        note("No such groups.")
    if (left := total - offset - len(groups)) > 0 and groups:
        note(f"{left} more: --offset {offset + len(groups)}, or --limit")


def _list_types(limit: int, *, as_json: bool) -> None:
    from dlq.cli.manager import Manager

    with Manager.from_environment() as manager:
        groups = manager.groups("error_type")[:limit]
    if as_json:
        print_json(groups)
    elif not groups:
        note("The DLQ is empty.")
    else:
        print_table(TYPES, (type_row(group) for group in groups))


@app.command()
def show(group_id: GroupId, as_json: options.Json = False) -> None:
    """Tell the whole story of one: what, since when, how much, does it go on, what to do.

    \b
    Examples:
      dlq groups show 3f1c
      dlq groups show 3f1c --json | jq .steps
    """
    from dlq.cli.group_api import GroupManager

    with GroupManager() as manager:
        story = manager.group(group_id)
    if as_json:
        print_json(story)
    else:
        print_story(story)


app.command("ack")(group_changes.acknowledge)
app.command("fixed")(group_changes.fixed)
app.command("reopen")(group_changes.reopen)
app.command("mute")(group_changes.mute)
app.command("unmute")(group_changes.unmute)
app.command("archive")(group_changes.archive)
app.command("restore")(group_changes.restore)
app.command("note")(group_changes.write_note)
app.command("category")(group_changes.category)
app.command("merge")(group_changes.merge)
app.command("split")(group_changes.split)
