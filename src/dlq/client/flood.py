"""The flood limit: tells when so much fails that a pipeline may want to stop.

A dead provider fails every item. The limit drops nothing; it calls a hook, once per
window, and logs. It looks at two things over the last `flood_window_s` seconds: at least
`flood_count` failures, and, where successes are known (`record_success`, `capture`), a
share of failures of at least `flood_ratio`. While no success has ever been recorded only
the count matters.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from dlq.client.describe import told
from dlq.settings import Settings

logger = logging.getLogger(__name__)

SLICES = 60
"""The window moves by a sixtieth of its length, so that counting costs no memory."""


@dataclass(frozen=True, slots=True)
class FloodReport:
    """What the hook gets. `ratio` is None while no success has ever been recorded."""

    failures: int
    successes: int
    window_s: float
    ratio: float | None


FloodHook = Callable[[FloodReport], object]


@dataclass(slots=True)
class _Slice:
    number: int
    failures: int = 0
    successes: int = 0


class FloodWatch:
    """Counts failures and successes over a sliding window. Safe from any thread."""

    def __init__(
        self,
        settings: Settings,
        hook: FloodHook | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._window_s = settings.flood_window_s
        self._count = settings.flood_count
        self._ratio = settings.flood_ratio
        self._hook = hook
        self._clock = clock
        self._lock = threading.Lock()
        self._slices: deque[_Slice] = deque()
        self._successes_known = False
        self._quiet_until = float("-inf")

    def record_success(self, count: int = 1) -> None:
        with self._lock:
            self._successes_known = True
            self._slice().successes += count

    def record_failure(self, count: int = 1) -> None:
        """Count, and call the hook if this makes a flood; the hook's own errors are logged."""
        with self._lock:
            self._slice().failures += count
            report = self._judge()
        if report is not None:
            self._announce(report)

    def _slice(self) -> _Slice:
        number = int(self._clock() / self._window_s * SLICES)
        while self._slices and self._slices[0].number <= number - SLICES:
            self._slices.popleft()
        if not self._slices or self._slices[-1].number != number:
            self._slices.append(_Slice(number))
        return self._slices[-1]

    def _judge(self) -> FloodReport | None:
        now = self._clock()
        failures = sum(s.failures for s in self._slices)
        successes = sum(s.successes for s in self._slices)
        ratio = failures / (failures + successes) if self._successes_known else None
        if now < self._quiet_until or failures < self._count:
            return None
        if ratio is not None and ratio < self._ratio:
            return None
        self._quiet_until = now + self._window_s
        return FloodReport(failures, successes, self._window_s, ratio)

    def _announce(self, report: FloodReport) -> None:
        logger.error(
            "Flood of failures: %d failed and %s succeeded in the last %g s. Nothing is dropped; "
            "on_flood lets a pipeline stop, DLQ_FLOOD_* set the limit",
            report.failures,
            report.successes if report.ratio is not None else "an unknown number",
            report.window_s,
        )
        if self._hook is None:
            return
        try:
            self._hook(report)
        except Exception as trouble:  # noqa: BLE001 - logged; the hook is somebody else's code
            logger.error("The on_flood hook raised; ignored: %s", told(trouble))  # noqa: TRY400
