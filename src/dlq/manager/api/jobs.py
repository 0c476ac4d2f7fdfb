"""Jobs: replays of many dead letters, made, watched and steered."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from dlq.job import ItemStatus, Job, JobState, NewJob
from dlq.manager.access import Operator, Viewer
from dlq.manager.api.context import TheManager, audited, problems
from dlq.manager.api.schemas.bounds import MAX_BATCH
from dlq.manager.api.schemas.jobs import (
    IN_FLIGHT,
    JobItemView,
    JobRequest,
    JobView,
    PreviewView,
    RepeatRequest,
)
from dlq.manager.service import Manager

router = APIRouter(prefix="/dlq/jobs", tags=["jobs"])

STATUSES = [status for status in ItemStatus if status is not ItemStatus.SENT] + [IN_FLIGHT]
"""Of items, as they are told."""


@router.post(
    "",
    status_code=201,
    summary="Replay many, at a pace",
    responses=problems() | {200: {"model": PreviewView, "description": "A dry run"}},
)
def create_job(
    manager: TheManager, principal: Operator, request: JobRequest, response: Response
) -> JobView | PreviewView:
    """What is replayed is fixed now: what arrives later is not swept in."""
    choice, options = request.choice(), request.options()
    if request.dry_run:
        response.status_code = 200
        preview, rates_per_s = manager.jobs.preview(choice, options)
        return PreviewView.of(preview, options, rates_per_s)
    with audited(manager.ledger, principal, "job_create", choice.where or "ids") as row:
        new = NewJob(choice, options, principal.name, request.start_at)
        job = manager.jobs.create(new)
        row.detail = {"job_id": job.job_id, "total": job.total}
    return _view(manager, job)


@router.get("", summary="Jobs, newest first", responses=problems())
def list_jobs(
    manager: TheManager,
    _: Viewer,
    state: Annotated[list[JobState] | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_BATCH)] = 100,
    offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
) -> list[JobView]:
    found = manager.ledger.jobs.page(states=state or (), limit=limit, offset=offset)
    return [_view(manager, job) for job in found]


@router.get("/{job_id}", summary="How a job stands", responses=problems(404))
def get_job(manager: TheManager, _: Viewer, job_id: str) -> JobView:
    return _view(manager, manager.ledger.jobs.get(job_id))


@router.get("/{job_id}/items", summary="A job, dead letter by dead letter", responses=problems(404))
def list_items(
    manager: TheManager,
    _: Viewer,
    job_id: str,
    status: Annotated[
        str | None,
        Query(pattern=f"^({'|'.join(STATUSES)})$", examples=["failed"]),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_BATCH)] = 100,
    offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
) -> list[JobItemView]:
    """In order of arrival."""
    wanted = ItemStatus.SENT.value if status == IN_FLIGHT else status
    items = manager.ledger.jobs.items(job_id, status=wanted, limit=limit, offset=offset)
    return [JobItemView.of(item) for item in items]


@router.post("/{job_id}/pause", summary="Send nothing more for now", responses=problems(404, 409))
def pause_job(manager: TheManager, principal: Operator, job_id: str) -> JobView:
    """What is on its way comes back."""
    with audited(manager.ledger, principal, "job_pause", job_id):
        return _view(manager, manager.ledger.jobs.pause(job_id))


@router.post("/{job_id}/resume", summary="Go on", responses=problems(404, 409))
def resume_job(manager: TheManager, principal: Operator, job_id: str) -> JobView:
    with audited(manager.ledger, principal, "job_resume", job_id):
        return _view(manager, manager.jobs.resume(job_id))


@router.post("/{job_id}/cancel", summary="Give up what still waits", responses=problems(404, 409))
def cancel_job(manager: TheManager, principal: Operator, job_id: str) -> JobView:
    with audited(manager.ledger, principal, "job_cancel", job_id):
        return _view(manager, manager.jobs.cancel(job_id, actor=principal.name))


@router.post("/{job_id}/repeat", status_code=201, summary="Do it again", responses=problems(404))
def repeat_job(
    manager: TheManager, principal: Operator, job_id: str, request: RepeatRequest | None = None
) -> JobView:
    """A new job with the same options; the choice is evaluated anew."""
    with audited(manager.ledger, principal, "job_repeat", job_id) as row:
        start_at = request.start_at if request else None
        job = manager.jobs.repeat(job_id, actor=principal.name, start_at=start_at)
        row.detail = {"job_id": job.job_id, "total": job.total}
    return _view(manager, job)


def _view(manager: Manager, job: Job) -> JobView:
    return JobView.of(job, waiting_for=manager.jobs.waiting_for(job))
