"""Providers: their pace, their circuit, and what waits for them."""

from __future__ import annotations

from pydantic import BaseModel, Field

from dlq.circuit import Circuit, CircuitState
from dlq.ledger.base import OutcomeCounts
from dlq.ledger.books import Provider
from dlq.message import UtcDatetime
from dlq.pace import Limits


class OutcomesView(BaseModel):
    """What became of closed replays."""

    succeeded: int
    failed: int
    returned: int
    presumed: int
    success_rate: float | None

    @classmethod
    def of(cls, counts: OutcomeCounts | None) -> OutcomesView:
        return cls.model_validate(counts or OutcomeCounts(), from_attributes=True)


class CircuitView(BaseModel):
    state: CircuitState
    failures: int = Field(description="In a row.")
    opened_at: UtcDatetime | None
    probe_at: UtcDatetime | None = Field(description="When the next probe may go.")

    @classmethod
    def of(cls, circuit: Circuit) -> CircuitView:
        return cls.model_validate(circuit, from_attributes=True)


class ProviderView(BaseModel):
    provider: str
    limit_per_s: float = Field(description="What it allows.")
    burst: int
    rate_per_s: float = Field(description="What it is asked for now, headroom left.")
    share: float = Field(description="Of its limit; below 1 after it said 'too many'.")
    hold_until: UtcDatetime | None = Field(description="It asked for a pause (Retry-After).")
    circuit: CircuitView
    last_error: str | None
    mended_at: UtcDatetime | None
    mended_by: str | None
    scheduled: int
    next_replay_at: UtcDatetime | None
    waiting_for_credentials: int
    in_flight: int
    outcomes: OutcomesView

    @classmethod
    def of(cls, provider: Provider, limits: Limits, outcomes: OutcomeCounts | None) -> ProviderView:
        limit = limits.named.get(provider.name, limits.others)
        return cls(
            provider=provider.name,
            limit_per_s=limit.rate_per_s,
            burst=limit.burst,
            rate_per_s=round(limits.of(provider.name).shared(provider.share).rate_per_s, 6),
            share=round(provider.share, 6),
            hold_until=provider.hold_until,
            circuit=CircuitView.of(provider.circuit),
            last_error=provider.last_error,
            mended_at=provider.mended_at,
            mended_by=provider.mended_by,
            scheduled=provider.scheduled_count,
            next_replay_at=provider.next_replay_at,
            waiting_for_credentials=provider.waiting_count,
            in_flight=provider.on_its_way_count,
            outcomes=OutcomesView.of(outcomes),
        )
