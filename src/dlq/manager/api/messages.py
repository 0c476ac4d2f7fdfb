"""Dead letters: list, read, publish, export, delete."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Body, Depends, Query, Request, Response

from dlq import query
from dlq.classify import Category
from dlq.errors import InvalidInput
from dlq.ledger.base import Arrival
from dlq.manager.access import Admin, Operator, Viewer
from dlq.manager.api.context import TheManager, audited, problems
from dlq.manager.api.schemas.answers import Done
from dlq.manager.api.schemas.bounds import MAX_BATCH
from dlq.manager.api.schemas.letters import (
    DeadLetterStory,
    DeadLetterView,
    IncomingMessage,
    PublishResponse,
    PublishResult,
)
from dlq.manager.arrivals import arrival_of
from dlq.message import encode
from dlq.query import Filter

router = APIRouter(prefix="/dlq", tags=["dead letters"])


def chosen(
    where: Annotated[
        str | None,
        Query(
            pattern=r"\S",  # an empty one must never mean all
            description="A filter, as docs/filters.md has it; the other parameters narrow it.",
            examples=["category:rate_limit age>1h"],
        ),
    ] = None,
    state: Annotated[
        list[Literal["all", "pending", "scheduled", "replaying", "resolved", "parked"]] | None,
        Query(description="Default: what is in the DLQ (pending, scheduled, parked)."),
    ] = None,
    error_type: Annotated[
        str | None, Query(min_length=1, max_length=64, examples=["spotify"])
    ] = None,
    category: Annotated[Category | None, Query(examples=["rate_limit"])] = None,
    fingerprint: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
    source_service: Annotated[str | None, Query(min_length=1, max_length=255)] = None,
) -> Filter:
    """Raises: FilterError."""
    by_value = query.where(
        states=query.states_named(state or ()),
        error_type=error_type,
        category=category,
        fingerprint=fingerprint,
        source_service=source_service,
    )
    return by_value & query.parse(where or "")


Where = Annotated[Filter, Depends(chosen)]


@router.get("/messages", summary="List dead letters", responses=problems())
def list_messages(
    manager: TheManager,
    _: Viewer,
    where: Where,
    request: Request,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=MAX_BATCH)] = 100,
    offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
    order: Literal["oldest", "newest"] = "oldest",
    cursor: Annotated[
        str | None, Query(description="`next_cursor` of the page before, instead of an offset.")
    ] = None,
) -> list[DeadLetterView]:
    """In order of arrival, so that pages stay where they are while more arrive.

    `Link` (rel="next") leads to the next page by key, which costs the same however far one has
    come; `X-Next-Cursor` is the cursor in it. `X-Total-Count` says how many there are in all; it
    is left out where free text or payload fields would have to be counted one by one.
    """
    if not where.text_terms:
        response.headers["X-Total-Count"] = str(manager.ledger.count(where))
    is_newest_first = order == "newest"
    if offset:
        if cursor is not None:
            raise InvalidInput("Expected an offset or a cursor, got both. Leave one out.")
        letters = manager.ledger.page(
            where, limit=limit, offset=offset, newest_first=is_newest_first
        )
    else:
        page = manager.ledger.scroll(
            where, limit=limit, cursor=cursor, newest_first=is_newest_first
        )
        letters = page.letters
        if page.next_cursor is not None:
            following = request.url.include_query_params(cursor=page.next_cursor)
            response.headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
            response.headers["X-Next-Cursor"] = page.next_cursor
    return [DeadLetterView.of(letter) for letter in letters]


@router.post("/messages", status_code=201, summary="Publish failures", responses=problems())
def publish_messages(
    manager: TheManager,
    principal: Operator,
    messages: Annotated[IncomingMessage | list[IncomingMessage], Body()],
) -> PublishResponse:
    """One failure or up to 1,000, for producers without AMQP. All are stored, or none.

    Idempotent by `message_id`: posted again, it is answered with `duplicate`.
    """
    given = messages if isinstance(messages, list) else [messages]
    if not 1 <= len(given) <= MAX_BATCH:
        raise InvalidInput(f"Expected 1 to {MAX_BATCH} messages, got {len(given)}.")
    target = given[0].message_id or "" if len(given) == 1 else f"{len(given)} messages"
    with audited(manager.ledger, principal, "publish", target) as row:
        results = manager.ingest.store([_arrival(message) for message in given])
        row.detail = {"message_ids": [result.message_id for result in results]}
    return PublishResponse(
        accepted=len(results),
        results=[
            PublishResult(message_id=r.message_id, disposition=r.disposition.value) for r in results
        ],
    )


@router.get(
    "/messages/{message_id:path}", summary="One dead letter's story", responses=problems(404)
)
def get_message(manager: TheManager, _: Viewer, message_id: str) -> DeadLetterStory:
    ledger = manager.ledger
    letter = ledger.get(message_id)
    return DeadLetterStory.tell(
        letter,
        ledger.history(message_id),
        ledger.replays(message_id),
        ledger.edits(message_id) if letter.edit_count else [],
    )


@router.delete(
    "/message/{message_id:path}",
    summary="Delete a dead letter for good",
    responses=problems(404, 409),
)
def delete_message(manager: TheManager, principal: Admin, message_id: str) -> Done:
    """Irreversible. Its history, and who deleted it, stay."""
    with audited(manager.ledger, principal, "delete", message_id):
        manager.ledger.delete(message_id, actor=principal.name)
    return Done(success=True, message=f"Message {message_id} permanently deleted")


def _arrival(incoming: IncomingMessage) -> Arrival:
    return arrival_of(encode(incoming.message(), replay_id=incoming.replay_id))
