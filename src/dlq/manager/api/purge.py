"""Purging by filter over the API: a dry run, a confirmation by count, and progress line by line."""

from __future__ import annotations

import logging
from collections.abc import Generator
from typing import Any

from fastapi import APIRouter

from dlq.errors import DLQError
from dlq.manager.access import Admin, Principal
from dlq.manager.api.context import TheManager, audited, problems
from dlq.manager.api.schemas.purge import PurgeRequest, PurgeView
from dlq.manager.api.streaming import JSON_LINES, Streamed, lines_of
from dlq.manager.service import Manager

router = APIRouter(prefix="/dlq", tags=["dead letters"])
logger = logging.getLogger(__name__)


@router.post(
    "/purge",
    summary="Delete all that match a filter, for good",
    response_model=PurgeView,
    responses=problems(409)
    | {
        200: {
            "model": PurgeView,
            "description": "The dry run; or, of a purge, lines of JSON.",
            "content": {JSON_LINES: {}},
        }
    },
)
def purge(manager: TheManager, principal: Admin, request: PurgeRequest) -> Any:
    """Irreversible; their history, and who purged them, stay. With `dry_run` it tells what would
    go. Without, `expected_count` must be what matches now, or nothing is changed.

    A purge answers `{"done": …, "total": …}` as it goes, and ends with `{"purged": …, "left": …}`
    (`left`: changed meanwhile, or not come to), or with `{"detail": …, "code": …, "purged": …}`
    if it failed. When the caller goes away it ends; what is done is done, and audited.
    """
    if request.dry_run:
        return PurgeView.of(manager.purger.survey(request.where))
    return Streamed(lines_of(_purge(manager, principal, request)), media_type=JSON_LINES)


def _purge(
    manager: Manager, principal: Principal, request: PurgeRequest
) -> Generator[dict[str, Any]]:
    with audited(manager.ledger, principal, "purge", request.where) as row:
        confirmed = manager.purger.confirmed(request.where, request.expected_count or 0)
        total, done, purged = confirmed.survey.total, 0, 0
        row.result = "interrupted"  # unless it comes to its end
        row.detail = {"total": total, "purged": 0}
        yield {"done": 0, "total": total}
        try:
            for progress in manager.purger.run(confirmed, actor=principal.name):
                done, purged = progress.done, progress.purged
                row.detail["purged"] = purged
                yield {"done": done, "total": total}
        except DLQError as error:
            row.result = error.code
            logger.warning("A purge of %d ended after %d: %s", total, purged, error)
            yield {"detail": str(error), "code": error.code, "purged": purged}
            return
        if done == total:
            row.result = "ok"
        yield {"purged": purged, "left": total - purged}
