"""Replays: one message, or a batch."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from dlq.manager.access import Operator
from dlq.manager.api.context import TheManager, audited, problems
from dlq.manager.api.schemas.answers import Done
from dlq.manager.api.schemas.replays import ReplayProblem, ReplayRequest, ReplayResponse

router = APIRouter(prefix="/dlq/replay", tags=["replay"])


# Before the route with a parameter, which would take "batch" for a message id.
@router.post("/batch", summary="Replay several", responses=problems())
def replay_batch(
    manager: TheManager, principal: Operator, request: ReplayRequest
) -> ReplayResponse:
    """Up to five at once. One that fails is reported with its reason and does not stop the
    others; `success` says that all went out."""
    count = len(request.message_ids)
    with audited(manager.ledger, principal, "replay_batch", f"{count} messages") as row:
        replays, refusals = manager.replayer.batch(
            request.message_ids, actor=principal.name, max_retries=request.max_retries
        )
        if refusals:
            row.result = "partial" if replays else "refused"
        row.detail = {
            "replayed": [replay.message_id for replay in replays],
            "refused": {refusal.message_id: refusal.code for refusal in refusals},
        }
    return ReplayResponse(
        success=not refusals,
        replayed_count=len(replays),
        failed_count=len(refusals),
        errors=[
            ReplayProblem(message_id=r.message_id, code=r.code, error=r.error) for r in refusals
        ],
    )


@router.post("/{message_id:path}", summary="Replay one", responses=problems(404, 409))
def replay_message(
    manager: TheManager,
    principal: Operator,
    message_id: str,
    max_retries: Annotated[int | None, Query(ge=1, le=100)] = None,
) -> Done:
    """Hand it to the retry queue. What becomes of it shows in its story."""
    with audited(manager.ledger, principal, "replay", message_id):
        manager.replayer.one(message_id, actor=principal.name, max_retries=max_retries)
    return Done(success=True, message=f"Message {message_id} replayed successfully")
