"""Statistics and groups: what broke, and how much of it."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from dlq.ledger.base import OutcomeCounts
from dlq.manager.access import Admin, Viewer
from dlq.manager.api.context import TheManager, problems
from dlq.manager.api.groups import SHOWN
from dlq.manager.api.schemas.groups import GroupView
from dlq.manager.api.schemas.health import AuditView, Whoami
from dlq.manager.api.schemas.statistics import DLQStats, ErrorGroup, RetentionView
from dlq.states import IN_DLQ, Outcome

SHOWN_GROUPS = 100

router = APIRouter(prefix="/dlq", tags=["statistics"])


@router.get("/stats", summary="Counts and ages", responses=problems())
def stats(manager: TheManager, _: Viewer) -> DLQStats:
    """Exact. The main queue, and the total, count ledger and broker together; the counts by
    error type and service are over the ledger."""
    seen = manager.ledger.stats()
    depths = manager.depths(seen)
    main = depths[manager.settings.main_queue]
    now = dt.datetime.now(dt.UTC)
    return DLQStats(
        total_messages=seen.in_dlq if main is None else main,
        by_error_type=seen.by_error_type,
        by_service=seen.by_service,
        oldest_message_age_seconds=_age_s(seen.oldest_at, now),
        newest_message_age_seconds=_age_s(seen.newest_at, now),
        queue_stats=depths,
        by_state={state.value: count for state, count in seen.by_state.items()},
        by_outcome=_by_outcome(manager.ledger.outcomes_by_error_type().values()),
        circuits={p.name: p.circuit.state for p in manager.ledger.providers.all(now)},
        retention=RetentionView.of(manager.keeper.outlook),
        jobs={state.value: count for state, count in manager.ledger.jobs.counts().items()},
    )


@router.get(
    "/errors/grouped", summary="Dead letters by error type, or by cause", responses=problems()
)
def grouped(
    manager: TheManager,
    _: Viewer,
    by: Annotated[
        Literal["error_type", "cause"], Query(description="cause: by fingerprint.")
    ] = "error_type",
) -> list[GroupView] | list[ErrorGroup]:
    """`by=cause`: the first hundred groups, as `GET /dlq/groups` has them."""
    if by == "cause":
        now = dt.datetime.now(dt.UTC)
        page = manager.ledger.groups.all(statuses=SHOWN, states=IN_DLQ, limit=SHOWN_GROUPS, now=now)
        return [GroupView.of(group) for group in page.groups]
    return [ErrorGroup.of(group) for group in manager.ledger.groups.by_error_type()]


@router.get("/audit", summary="Who did what", responses=problems())
def audit(
    manager: TheManager, _: Admin, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> list[AuditView]:
    """Newest first."""
    return [AuditView.of(entry) for entry in manager.ledger.audits(limit=limit)]


@router.get("/whoami", summary="Who the manager takes you for", responses=problems())
def whoami(principal: Viewer) -> Whoami:
    return Whoami(name=principal.name, role=principal.role.value)


def _by_outcome(counts: Iterable[OutcomeCounts]) -> dict[str, int]:
    total: Counter[str] = Counter(dict.fromkeys(Outcome, 0))
    for each in counts:
        total.update(dataclasses.asdict(each))
    return dict(total)


def _age_s(instant: dt.datetime | None, now: dt.datetime) -> int | None:
    # A producer's clock may run ahead of ours; an age is never negative.
    return None if instant is None else max(0, int((now - instant).total_seconds()))
