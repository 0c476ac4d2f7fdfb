"""Health and metrics: for people, orchestrators and Prometheus."""

from __future__ import annotations

import datetime as dt
from importlib.metadata import version

from fastapi import APIRouter, Response

from dlq.errors import LedgerError
from dlq.manager.access import Viewer
from dlq.manager.api.context import TheManager, problems
from dlq.manager.api.schemas.health import BrokerHealth, Health, LedgerHealth, MismatchView
from dlq.manager.broker import BrokerReport
from dlq.manager.service import Manager

router = APIRouter(tags=["health"])

VERSION = version("songnodes-dlq")
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/health", summary="How the manager stands")
def health(manager: TheManager, response: Response) -> Health:
    """Always answers. 503 only when the ledger is gone: without the broker the manager goes
    on serving it ("degraded")."""
    ledger = _ledger_health(manager)
    broker = manager.broker.report() if manager.broker else None
    status = "healthy"
    if broker is not None and not broker.connected:
        status = "degraded"
    if not ledger.ok:
        status, response.status_code = "unhealthy", 503
    return Health(
        status=status,
        service="dlq-manager",
        timestamp=dt.datetime.now(dt.UTC).replace(microsecond=0),
        rabbitmq_connected=broker is not None and broker.connected,
        broker=_broker_health(broker),
        ledger=ledger,
        version=VERSION,
    )


@router.get("/health/live", summary="Is the process alive?")
async def live() -> dict[str, str]:
    return {"status": "alive"}


@router.get("/health/ready", summary="Can it serve?", responses=problems())
def ready(manager: TheManager) -> dict[str, str]:
    """200 once the ledger answers. The broker may be away: the ledger is served meanwhile."""
    manager.probe.ping()
    return {"status": "ready"}


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
def metrics(manager: TheManager, _: Viewer) -> Response:
    return Response(manager.metrics.page(), media_type=METRICS_TYPE)


def _ledger_health(manager: Manager) -> LedgerHealth:
    try:
        manager.probe.ping()
    except LedgerError as error:
        return LedgerHealth(ok=False, problem=str(error))
    return LedgerHealth(ok=True)


def _broker_health(report: BrokerReport | None) -> BrokerHealth:
    if report is None:
        return BrokerHealth(shape="embedded")
    return BrokerHealth(
        shape="rabbitmq",
        problem=report.problem,
        mismatches=[
            MismatchView(queue=m.queue, problem=m.problem, policy=m.policy)
            for m in report.mismatches
        ],
    )
