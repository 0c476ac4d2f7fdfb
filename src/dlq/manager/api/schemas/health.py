"""How the manager stands, and who did what."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from dlq.ledger.base import AuditEntry
from dlq.manager.api.schemas.bounds import example
from dlq.message import UtcDatetime


class MismatchView(BaseModel):
    queue: str
    problem: str
    policy: str


class BrokerHealth(BaseModel):
    shape: str
    problem: str | None = None
    mismatches: list[MismatchView] = Field(default_factory=list)


class LedgerHealth(BaseModel):
    ok: bool
    problem: str | None = None


class Health(BaseModel):
    model_config = example(
        status="healthy",
        service="dlq-manager",
        timestamp="2025-10-10T14:30:00Z",
        rabbitmq_connected=True,
        broker={"shape": "rabbitmq", "problem": None, "mismatches": []},
        ledger={"ok": True, "problem": None},
        version="0.1.0",
    )

    status: str = Field(description="healthy, degraded (no broker) or unhealthy (no ledger).")
    service: str
    timestamp: UtcDatetime
    rabbitmq_connected: bool
    broker: BrokerHealth
    ledger: LedgerHealth
    version: str


class Whoami(BaseModel):
    name: str
    role: str


class AuditView(BaseModel):
    at: UtcDatetime
    actor: str
    action: str
    target: str
    result: str
    detail: dict[str, Any]

    @classmethod
    def of(cls, entry: AuditEntry) -> AuditView:
        return cls.model_validate(entry, from_attributes=True)
