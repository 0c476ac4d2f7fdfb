"""`dlq edit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlq.cli import options
from dlq.cli.corrections import (
    Correction,
    from_document_file,
    from_editor,
    from_patch_file,
    from_paths,
)
from dlq.cli.difference import print_difference
from dlq.cli.output import confirmed, note, print_json, print_line
from dlq.cli.text import one_line
from dlq.errors import InvalidInput

if TYPE_CHECKING:
    from dlq.cli.manager import Manager


def edit(
    message_id: Annotated[
        str, typer.Argument(metavar="ID", help="The message_id.", callback=options.not_empty)
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            help="As payload.track_id=abc; JSON if it is, else text. Repeatable.",
        ),
    ] = None,
    unset: Annotated[
        list[str] | None,
        typer.Option("--unset", metavar="PATH", help="As payload.isrc. Repeatable."),
    ] = None,
    patch: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A JSON Patch (RFC 6902); - is stdin."),
    ] = None,
    document: Annotated[
        str | None, typer.Option(metavar="FILE", help="The whole payload; - is stdin.")
    ] = None,
    editor: Annotated[
        bool, typer.Option("--editor", help="Edit it in $VISUAL or $EDITOR.")
    ] = False,
    revert: Annotated[
        bool, typer.Option("--revert", help="Back to the payload as it arrived.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why, for the history.")] = "",
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Correct a payload before its replay. The original is kept; `dlq show` tells who changed what.

    \b
    Examples:
      dlq edit 550e8400-e29b-41d4-a716-446655440000 --set payload.track_id=abc123
      dlq edit 550e8400-e29b-41d4-a716-446655440000 --editor --reason "wrong artist"
      dlq edit 550e8400-e29b-41d4-a716-446655440000 --revert
    """
    from dlq.cli.manager import Manager

    chosen = [bool(settings or unset), patch is not None, document is not None, editor, revert]
    if sum(chosen) != 1:
        raise InvalidInput(
            "Expected --set and --unset, or --patch, or --document, or --editor, or --revert: "
            "one of them."
        )
    with Manager.from_environment() as manager:
        story = manager.message(message_id)
        before = story["payload"]
        if settings or unset:
            correction = from_paths(before, settings or (), unset or ())
        elif patch is not None:
            correction = from_patch_file(patch)
        elif document is not None:
            correction = from_document_file(document)
        else:
            correction = from_editor(before) if editor else Correction()
        after = _after(story, correction)
        if not _changes(story, after, revert=revert):
            _report_unchanged(story, as_json=as_json)
            return
        print_difference(before, after, stderr=as_json)
        if not confirmed(f"Edit the payload of {message_id}?", yes=yes):
            raise typer.Abort
        answer = _send(manager, message_id, correction, reason, story.get("edit_count"))
    _report(answer, reverted=revert, as_json=as_json)


def _after(story: dict[str, Any], correction: Correction) -> dict[str, Any]:
    """Raises: InvalidInput: the patch cannot be applied."""
    from dlq.edit import edited_payload

    payload: dict[str, Any] = story["payload"]
    if correction == Correction():
        original: dict[str, Any] | None = story.get("original_payload")
        return payload if original is None else original
    return edited_payload(payload, patch=correction.patch, document=correction.document)


def _changes(story: dict[str, Any], after: dict[str, Any], *, revert: bool) -> bool:
    from dlq.edit import difference

    if revert:
        return story.get("original_payload") is not None
    return bool(difference(story["payload"], after))


def _send(
    manager: Manager, message_id: str, correction: Correction, reason: str, edit_count: int | None
) -> dict[str, Any]:
    if correction.patch is not None:
        return manager.edit_payload(
            message_id, correction.patch, reason=reason, edit_count=edit_count
        )
    if correction.document is not None:
        return manager.replace_payload(
            message_id, correction.document, reason=reason, edit_count=edit_count
        )
    return manager.revert_payload(message_id, reason=reason, edit_count=edit_count)


def _report_unchanged(story: dict[str, Any], *, as_json: bool) -> None:
    if not as_json:
        note("Nothing to change: the payload is so already.")
        return
    original = story.get("original_payload")
    print_json(
        {
            "message_id": story["message_id"],
            "edit_count": story.get("edit_count"),
            "payload": story["payload"],
            "difference": [],
            "original_payload": story["payload"] if original is None else original,
        }
    )


def _report(answer: dict[str, Any], *, reverted: bool, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    message_id = one_line(answer["message_id"])
    what = "as it arrived" if reverted else "edited"
    print_line(f"The payload of {message_id} is {what} (edit {answer['edit_count']}).")
    note(f"Send it with: dlq replay {message_id}")
