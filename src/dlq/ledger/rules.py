"""The rules by which the ledger begins and closes replays; they come from the settings."""

from __future__ import annotations

from dataclasses import dataclass, field

from dlq.circuit import CircuitRules
from dlq.pace import Limits

DEFAULT_REPLAY_BUDGET = 6


@dataclass(frozen=True, slots=True)
class ReplayRules:
    """`replay_budget`: failed replays after which a dead letter is parked. `concurrency`:
    replays of one job, or of one provider's schedule, on their way at once; one holds its place
    for `slot_s` at most, since a consumer that never reports must not hold up the rest for
    ever. `canary_wait_s`: how long the outcomes of a canary are waited for."""

    replay_budget: int = DEFAULT_REPLAY_BUDGET
    concurrency: int = 5
    slot_s: float = 60.0
    canary_wait_s: float = 900.0
    limits: Limits = field(default_factory=Limits)
    circuit: CircuitRules = field(default_factory=CircuitRules)
