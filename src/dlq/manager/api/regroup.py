"""Regrouping over the API: a dry run or the real one, as a stream of progress with a report."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import closing, nullcontext
from itertools import chain
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from dlq.errors import DLQError
from dlq.manager.access import AccessDenied, Principal, Viewer
from dlq.manager.api.context import Audited, TheManager, audited, problems
from dlq.manager.api.schemas.regroup import ProgressView, RegroupRequest, ReportLine, ReportView
from dlq.manager.api.streaming import JSON_LINES, Streamed, lines_of
from dlq.manager.regroup import Report
from dlq.manager.service import Manager
from dlq.manager.tokens import Role

router = APIRouter(prefix="/dlq", tags=["groups"])
logger = logging.getLogger(__name__)


@router.post(
    "/regroup",
    summary="Diagnose all dead letters anew",
    response_class=StreamingResponse,
    responses=problems(409)
    | {
        200: {
            "model": ReportLine,
            "description": "Lines of JSON; this is the last one.",
            "content": {JSON_LINES: {}},
        }
    },
)
def regroup(manager: TheManager, principal: Viewer, request: RegroupRequest) -> Streamed:
    """After an upgrade with other rules or another algorithm: which causes split and merge by
    it, and, without `dry_run`, the same done. A dry run changes nothing and needs the role
    viewer; the other needs admin. One runs at a time (409).

    Answers `{"phase": …, "done": …, "total": …, "moved": …}` as it goes, and ends with
    `{"report": …}`, or with `{"detail": …, "code": …, "moved": …}` if it failed. When the caller
    goes away it ends; what is moved stays moved, and running it again goes on with the rest.
    """
    if not request.dry_run and not principal.role.may_act_as(Role.ADMIN):
        raise AccessDenied(
            f"Regrouping needs the role {Role.ADMIN}; token '{principal.name}' has "
            f"{principal.role}, which may see what it would change: dry_run."
        )
    events = _regroup(manager, principal, dry_run=request.dry_run)
    return Streamed(lines_of(events), media_type=JSON_LINES)


def _regroup(manager: Manager, principal: Principal, *, dry_run: bool) -> Generator[dict[str, Any]]:
    trail = audited(manager.ledger, principal, "regroup", "all")
    run = closing(manager.regrouper.run(dry_run=dry_run))
    with nullcontext(Audited()) if dry_run else trail as row, run as steps:
        first = next(steps)
        row.result = "interrupted"  # unless it comes to its end
        row.detail = {"moved": 0}
        try:
            for step in chain([first], steps):
                row.detail["moved"] = step.moved
                if isinstance(step, Report):
                    row.detail |= {"total": step.total, "changes": len(step.changes)}
                    yield {"report": ReportView.of(step).model_dump(mode="json")}
                else:
                    yield ProgressView.of(step).model_dump(mode="json")
        except DLQError as error:
            row.result = error.code
            logger.warning("A regroup ended after %d moves: %s", row.detail["moved"], error)
            yield {"detail": str(error), "code": error.code, "moved": row.detail["moved"]}
            return
        row.result = "ok"
