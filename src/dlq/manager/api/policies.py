"""Retry policies: what is replayed by itself, and what others would have done."""

from __future__ import annotations

import datetime as dt
from itertools import islice

from fastapi import APIRouter

from dlq.manager.access import Viewer
from dlq.manager.api.context import TheManager, problems
from dlq.manager.api.schemas.policies import PoliciesView, RehearsalRequest, RehearsalView
from dlq.manager.service import Manager
from dlq.policy import Policies, load_policies, read_policies, rehearse

router = APIRouter(prefix="/dlq/policies", tags=["policies"])

MOST_LETTERS = 200_000


@router.get("", summary="The retry policies in force", responses=problems())
def policies(manager: TheManager, _: Viewer) -> PoliciesView:
    in_force, file = manager.policies, manager.settings.policies_file
    return PoliciesView(
        automatic_retry=in_force is not None,
        digest=in_force.digest if in_force else None,
        file=str(file) if file else "shipped",
        worker_is_there=manager.worker_is_there(),
        rules=in_force.as_dict()["rules"] if in_force else [],
    )


@router.post("/rehearse", summary="Try policies on the past", responses=problems())
def rehearse_policies(manager: TheManager, _: Viewer, request: RehearsalRequest) -> RehearsalView:
    """Nothing is replayed. A policy that cannot be read is answered with its lines."""
    chosen = _chosen(manager, request)
    now = dt.datetime.now(dt.UTC)
    since = now - dt.timedelta(seconds=request.since_s)
    past = manager.ledger.schedule.past(since)
    result = rehearse(chosen, islice(past, MOST_LETTERS), since=since, now=now)
    truncated = next(past, None) is not None
    return RehearsalView.model_validate(
        result.as_dict() | {"digest": chosen.digest, "truncated": truncated}
    )


def _chosen(manager: Manager, request: RehearsalRequest) -> Policies:
    if request.policies is not None:
        return read_policies(request.policies)
    # With automatic retry off: those that would be in force.
    return manager.policies or load_policies(manager.settings.policies_file)
