"""The gate to one provider: its pace and its circuit, under the lock of its row.

Jobs and the schedule of all managers pass through it; what a person replays by hand does not
wait here, but others wait for it.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import Connection

from dlq.ledger import providers
from dlq.ledger.books import Claim
from dlq.ledger.rules import ReplayRules
from dlq.pace import share_at


class Gate:
    """Locks the provider until the transaction ends."""

    def __init__(
        self, connection: Connection, provider: str, rules: ReplayRules, now: dt.datetime
    ) -> None:
        row = providers.lock(connection, provider)
        self._connection = connection
        self._provider = provider
        self._rules = rules
        self._now = now
        self._next_at = row["next_at"]
        self._hold_until = row["hold_until"]
        self._circuit = providers.circuit_of(row)
        share = share_at(row["share"], row["slowed_at"], now)
        self._limit = rules.limits.of(provider).shared(share)

    def open_for(self, claim: Claim) -> int:
        """How many may pass now; if none, `claim` is told why and for how long."""
        now, name = self._now, self._provider
        if self._hold_until is not None and self._hold_until > now:
            wait_s = (self._hold_until - now).total_seconds()
            claim.blocked(f"{name}, which asked for a pause of {wait_s:.0f} s more", wait_s)
            return 0
        allowed = self._circuit.allows(now)
        if allowed == 0:
            probe_at = self._circuit.probe_at or now
            claim.blocked(
                f"{name}: its circuit is open, the next probe goes at {probe_at:%H:%M:%S} UTC",
                (probe_at - now).total_seconds(),
            )
            return 0
        available = self._limit.available(self._next_at, now)
        if available == 0:
            claim.blocked(
                f"the pace of {name}: {self._limit}",
                self._limit.wait_s(self._next_at, now),
            )
        return available if allowed is None else min(available, allowed)

    def passed(self, count: int) -> None:
        values: dict[str, Any] = {"next_at": self._limit.spend(self._next_at, self._now, count)}
        if self._circuit.allows(self._now) is not None:
            probing = self._circuit.probing(self._rules.circuit, self._now)
            values |= providers.columns_of(probing)
        providers.change(self._connection, self._provider, **values)
