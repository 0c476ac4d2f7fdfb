"""Leases: replays for workers without AMQP, in the embedded shape.

A lease is a replay in one worker's hands for a while. Acked, it is resolved; failed, the
dead letter is back with its new error; neither in time, another worker may have it.
"""

from __future__ import annotations

import asyncio
import time

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from dlq.errors import IllegalTransition, InvalidInput, NotFound
from dlq.ledger.base import Disposition, Lease
from dlq.manager.access import Operator, Principal
from dlq.manager.api.context import TheManager, audited, problems
from dlq.manager.api.schemas.answers import Done
from dlq.manager.api.schemas.leases import (
    AckRequest,
    Extended,
    ExtendRequest,
    FailRequest,
    LeaseRequest,
    LeaseResponse,
    LeaseView,
)
from dlq.manager.arrivals import arrival_of
from dlq.manager.service import Manager
from dlq.message import encode
from dlq.outcome import OutcomeReport
from dlq.states import Outcome

router = APIRouter(prefix="/dlq/leases", tags=["leases"])

POLL_S = 0.25


@router.post("", summary="Take replays to work on", responses=problems(409))
async def lease(manager: TheManager, principal: Operator, request: LeaseRequest) -> LeaseResponse:
    """Waits up to `wait_s` for something to do; an empty list means there was nothing."""
    if manager.broker is not None:
        raise IllegalTransition(
            "This manager hands replays out over RabbitMQ: let the worker consume "
            f"'{manager.settings.retry_queue}' (set RABBITMQ_* or DLQ_BROKER_URL for it)."
        )
    deadline = time.monotonic() + request.wait_s
    while True:
        manager.leasing.asked()
        leases = await run_in_threadpool(_take, manager, principal, request)
        if leases or time.monotonic() >= deadline or manager.stopping.is_set():
            return LeaseResponse(leases=[LeaseView.of(lease) for lease in leases])
        await asyncio.sleep(POLL_S)


@router.post("/{lease_id}/ack", summary="It came right", responses=problems(404))
def ack(
    manager: TheManager, principal: Operator, lease_id: str, request: AckRequest | None = None
) -> Done:
    return _close(manager, principal, lease_id, Outcome.SUCCEEDED, request)


@router.post("/{lease_id}/fail", summary="It failed again", responses=problems(404))
def fail(manager: TheManager, principal: Operator, lease_id: str, request: FailRequest) -> Done:
    with audited(manager.ledger, principal, "lease_fail", lease_id):
        held = manager.ledger.leased(lease_id)
        if request.message.message_id not in (None, held.replay.message_id):
            raise InvalidInput(
                f"The lease holds message {held.replay.message_id}, the failure is of "
                f"{request.message.message_id}."
            )
        message = request.message.message().model_copy(
            update={"message_id": held.replay.message_id}
        )
        wire = encode(message, replay_id=held.replay.replay_id)
        result = manager.ingest.store([arrival_of(wire)])[0]
        if result.disposition is not Disposition.FAILED_AGAIN:
            raise _lost(lease_id)
    return Done(success=True, message=f"Message {held.replay.message_id} is back in the DLQ")


@router.post("/{lease_id}/decline", summary="Not for this worker", responses=problems(404))
def decline(
    manager: TheManager, principal: Operator, lease_id: str, request: AckRequest | None = None
) -> Done:
    """Back in the DLQ as it was: it did not fail, and its budget is not charged."""
    return _close(manager, principal, lease_id, Outcome.RETURNED, request)


@router.post("/{lease_id}/extend", summary="More time, please", responses=problems(404))
def extend(
    manager: TheManager, principal: Operator, lease_id: str, request: ExtendRequest
) -> Extended:
    with audited(manager.ledger, principal, "lease_extend", lease_id):
        held = manager.ledger.extend_lease(lease_id, request.ttl_s)
    return Extended(lease_id=held.lease_id, expires_at=held.expires_at)


@router.post("/{lease_id}/release", summary="Give it back unworked", responses=problems(404))
def release(manager: TheManager, principal: Operator, lease_id: str) -> Done:
    with audited(manager.ledger, principal, "lease_release", lease_id):
        manager.ledger.release_lease(lease_id)
    return Done(success=True, message=f"Lease {lease_id} released")


def _take(manager: Manager, principal: Principal, request: LeaseRequest) -> list[Lease]:
    leases = manager.ledger.lease(
        request.worker,
        limit=request.limit,
        ttl_s=request.ttl_s or manager.settings.lease_ttl_s,
        error_types=request.error_types,
    )
    if leases:
        with audited(manager.ledger, principal, "lease", f"{len(leases)} messages") as row:
            row.detail = {"message_ids": [lease.replay.message_id for lease in leases]}
    return leases


def _close(
    manager: Manager,
    principal: Principal,
    lease_id: str,
    outcome: Outcome,
    request: AckRequest | None,
) -> Done:
    with audited(manager.ledger, principal, f"lease_{outcome}", lease_id):
        held = manager.ledger.leased(lease_id)
        message_id = held.replay.message_id
        report = OutcomeReport(
            message_id=message_id,
            replay_id=held.replay.replay_id,
            outcome=outcome,
            worker=held.worker,
            detail=request.detail if request else "",
        )
        if not manager.ingest.close([report])[0]:
            raise _lost(lease_id)
    resolved = outcome is Outcome.SUCCEEDED
    return Done(
        success=True,
        message=f"Message {message_id} " + ("resolved" if resolved else "is back in the DLQ"),
    )


def _lost(lease_id: str) -> NotFound:
    return NotFound(f"Lease {lease_id} is over: its replay was closed meanwhile.")
