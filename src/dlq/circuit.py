"""The circuit breaker of one provider; pure.

When a provider's replays fail in a row for a reason of the provider's, the circuit opens and
nothing is sent to it by itself. After a while one probe goes through (half-open): if it comes
right the circuit closes, if it fails the circuit opens again for longer.

Source: M. Nygard, "Release It!", Circuit Breaker.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from enum import StrEnum


class CircuitState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"  # one probe is on its way


PROVIDER_FAULTS = frozenset({"auth", "timeout", "network", "server_error"})
"""Categories that tell of the provider. A track that it does not know, or a payload that it
refuses, shows that it answers; its rate limit is answered by the pace."""


@dataclass(frozen=True, slots=True)
class CircuitRules:
    """Opens after `failures` in a row, for `cooldown_s`, which doubles at each failed probe."""

    failures: int = 5
    cooldown_s: float = 60.0
    max_cooldown_s: float = 3600.0

    def cooldown(self, opened_count: int) -> dt.timedelta:
        doubled = self.cooldown_s * 2.0 ** min(max(opened_count, 1) - 1, 30)
        return dt.timedelta(seconds=min(doubled, max(self.max_cooldown_s, self.cooldown_s)))


@dataclass(frozen=True, slots=True)
class Circuit:
    state: CircuitState = CircuitState.CLOSED
    failures: int = 0  # in a row
    opened_count: int = 0  # times in a row without a success between
    opened_at: dt.datetime | None = None
    probe_at: dt.datetime | None = None  # when the next probe may go

    def allows(self, now: dt.datetime) -> int | None:
        """How many may be sent: None is any number, 1 a probe, 0 nothing."""
        if self.state is CircuitState.CLOSED:
            return None
        return int(self.probe_at is None or now >= self.probe_at)

    def probing(self, rules: CircuitRules, now: dt.datetime) -> Circuit:
        """A probe was sent. Should its outcome be lost, another may go after the cooldown."""
        return replace(
            self,
            state=CircuitState.HALF_OPEN,
            probe_at=now + rules.cooldown(self.opened_count),
        )

    def succeeded(self) -> Circuit:
        return Circuit()

    def failed(self, rules: CircuitRules, now: dt.datetime) -> Circuit:
        """A replay failed for a reason of the provider's."""
        failures = self.failures + 1
        if self.state is CircuitState.OPEN or (
            self.state is CircuitState.CLOSED and failures < rules.failures
        ):
            # Open already: this one was on its way when the circuit opened.
            return replace(self, failures=failures)
        opened_count = self.opened_count + 1
        return Circuit(
            CircuitState.OPEN, failures, opened_count, now, now + rules.cooldown(opened_count)
        )
