"""Edits of a payload before its replay: by JSON Patch, by a whole document, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query

from dlq.decode import decode
from dlq.edit import difference, edited_payload, is_object, with_payload
from dlq.errors import InvalidInput
from dlq.ledger.base import DeadLetter, Edited
from dlq.manager.access import Operator, Principal
from dlq.manager.api.context import TheManager, audited, problems
from dlq.manager.api.schemas.edits import EditAnswer
from dlq.manager.service import Manager

router = APIRouter(prefix="/dlq/messages", tags=["edits"])
PATH = "/{message_id:path}/payload"

Reason = Annotated[str, Query(max_length=500, description="Why, for the history.")]
EditCount = Annotated[
    int | None,
    Query(
        ge=0,
        le=2**31 - 1,
        description="How many edits you saw: if there are more now, nothing is changed.",
    ),
]
Patch = Annotated[
    list[Any],
    Body(
        media_type="application/json-patch+json",
        description="JSON Patch (RFC 6902), up to 1,000 operations and 1 MiB.",
        examples=[[{"op": "replace", "path": "/track_id", "value": "abc123"}]],
    ),
]
Document = Annotated[
    dict[str, Any],
    Body(description="The whole payload.", examples=[{"track_id": "abc123"}]),
]


@router.patch(PATH, summary="Edit a payload by JSON Patch", responses=problems(404, 409))
def patch_payload(
    manager: TheManager,
    principal: Operator,
    message_id: str,
    patch: Patch,
    reason: Reason = "",
    edit_count: EditCount = None,
) -> EditAnswer:
    """What the next replay sends. The original is kept, and who changed what is told in
    `GET /dlq/messages/{message_id}`. All operations are applied, or none."""

    def make(letter: DeadLetter) -> Edited:
        if not is_object(letter.edited_wire or letter.wire):
            raise InvalidInput(
                f"The body of {message_id} is no JSON object, so there is nothing to patch. "
                "PUT the whole payload instead."
            )
        edited = edited_payload(_in_force(letter), patch=patch)
        return _edited(manager, letter, edited)

    return _edit(manager, principal, message_id, make, reason, edit_count)


@router.put(PATH, summary="Replace a payload", responses=problems(404, 409))
def put_payload(
    manager: TheManager,
    principal: Operator,
    message_id: str,
    document: Document,
    reason: Reason = "",
    edit_count: EditCount = None,
) -> EditAnswer:
    """The same with the whole payload. A body that could not be read as JSON becomes this
    document."""

    def make(letter: DeadLetter) -> Edited:
        edited = edited_payload(_in_force(letter), document=document)
        return _edited(manager, letter, edited)

    return _edit(manager, principal, message_id, make, reason, edit_count)


@router.delete(PATH, summary="Take all edits of a payload back", responses=problems(404, 409))
def revert_payload(
    manager: TheManager,
    principal: Operator,
    message_id: str,
    reason: Reason = "",
    edit_count: EditCount = None,
) -> EditAnswer:
    """The next replay sends the payload as it arrived. Recorded as an edit as well."""

    def make(letter: DeadLetter) -> Edited:
        changes = difference(_in_force(letter), _original(letter))
        return Edited(None, letter.wire.properties, changes)

    return _edit(manager, principal, message_id, make, reason, edit_count)


def _in_force(letter: DeadLetter) -> dict[str, Any]:
    """What the next replay would send; a failure report may tell what a handler made of it."""
    return decode(letter.edited_wire or letter.wire).message.payload


def _original(letter: DeadLetter) -> dict[str, Any]:
    return decode(letter.wire).message.payload


def _edited(manager: Manager, letter: DeadLetter, payload: dict[str, Any]) -> Edited:
    wire = with_payload(letter.wire, letter.form, payload)
    max_bytes = manager.settings.max_body_bytes
    if len(wire.body) > max_bytes:
        raise InvalidInput(
            f"With this payload the message has {len(wire.body)} bytes; expected at most "
            f"{max_bytes} (DLQ_MAX_BODY_BYTES)."
        )
    return Edited(wire.body, wire.properties, difference(_in_force(letter), payload))


def _edit(
    manager: Manager,
    principal: Principal,
    message_id: str,
    make: Callable[[DeadLetter], Edited],
    reason: str,
    edit_count: int | None,
) -> EditAnswer:
    made: list[Edited] = []

    def noted(letter: DeadLetter) -> Edited:
        made.append(make(letter))
        return made[-1]

    with audited(manager.ledger, principal, "edit", message_id) as row:
        letter = manager.ledger.edit_payload(
            message_id, noted, actor=principal.name, reason=reason, edit_count=edit_count
        )
        row.detail = {"edit_count": letter.edit_count, "reason": reason}
    return EditAnswer(
        message_id=letter.message.message_id,
        edit_count=letter.edit_count,
        payload=_in_force(letter),
        difference=made[-1].difference,
        original_payload=_original(letter),
    )
