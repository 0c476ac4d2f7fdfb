"""How long something takes, again and again, and tables of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

SAMPLES, LEAST_SAMPLES = 200, 20
LONGEST_S = 20.0
"""Something slow is asked less often, though no less than `LEAST_SAMPLES` times."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Of one operation, in milliseconds, smallest first."""

    samples_ms: tuple[float, ...]

    def quantile_ms(self, share: float) -> float:
        """Nearest rank."""
        return self.samples_ms[max(math.ceil(share * len(self.samples_ms)) - 1, 0)]

    @property
    def p50_ms(self) -> float:
        return self.quantile_ms(0.5)

    @property
    def p99_ms(self) -> float:
        return self.quantile_ms(0.99)


def timing(calls: Iterable[Callable[[], object]], samples: int | None = None) -> Timing:
    """Of calls that do the same with other parameters each."""
    wanted = SAMPLES if samples is None else samples
    taken: list[float] = []
    began = time.monotonic()
    for call in calls:
        started = time.perf_counter()
        call()
        taken.append((time.perf_counter() - started) * 1000)
        is_slow = time.monotonic() - began > LONGEST_S and len(taken) >= LEAST_SAMPLES
        if len(taken) == wanted or is_slow:
            break
    return Timing(tuple(sorted(taken)))


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def milliseconds(value: float) -> str:
    return f"{value:,.1f}" if value >= 10 else f"{value:.2f}"


def ratio(value: float, base: float) -> str:
    return f"{value / base:,.1f}" if base else "–"
