"""What must hold at the end for the demo's story to be true."""

from __future__ import annotations

from dataclasses import dataclass

HOPELESS = frozenset({"not_found", "invalid_data"})
"""Categories that no replay helps: these may remain at the end."""


@dataclass(frozen=True, slots=True)
class Ending:
    captured: int
    stored: int
    resolved: int
    remaining: int
    answers_on_disk: int
    lost_causes: int
    remaining_categories: frozenset[str]

    def claims(self) -> list[tuple[bool, str]]:
        """What must hold for the story to be true."""
        return [
            (0 < self.captured == self.stored, "every failure of the crawl is in the ledger"),
            (
                self.resolved + self.remaining == self.captured,
                f"{self.resolved} resolved + {self.remaining} remaining = {self.captured} captured",
            ),
            (
                0 < self.resolved == self.answers_on_disk,
                f"each of the {self.resolved} resolved has its answer on disk",
            ),
            (
                self.remaining == self.lost_causes and self.remaining_categories <= HOPELESS,
                f"the {self.remaining} that remain are those which no replay can help",
            ),
        ]
