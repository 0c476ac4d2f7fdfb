"""Which dead letters a command is about."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Where:
    """Which dead letters; what is None does not restrict. Without states: what is in the
    DLQ (pending, scheduled, parked)."""

    states: tuple[str, ...] = ()
    error_type: str | None = None
    category: str | None = None
    fingerprint: str | None = None
    source_service: str | None = None

    @property
    def is_empty(self) -> bool:
        return self == Where()

    def params(self) -> list[tuple[str, str]]:
        named = {
            "error_type": self.error_type,
            "category": self.category,
            "fingerprint": self.fingerprint,
            "source_service": self.source_service,
        }
        given = [(name, value) for name, value in named.items() if value is not None]
        return [("state", state) for state in self.states] + given
