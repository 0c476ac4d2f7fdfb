"""The keeper does what has time: it lets go of what is old, tends the ledger, and looks ahead.

Once a minute it asks what will be lost next, warns of it before it happens, carries retention
out in small steps with rests between, and lets the ledger look after itself. For its first
minutes a manager lets nothing go: who starts it on an old ledger, or one from a backup, can read
the warning and still change his mind.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable

from dlq.errors import DLQError
from dlq.keeping import Loss, rest_s
from dlq.ledger.base import Ledger
from dlq.manager.outlook import MainQueue, Outlook, outlook_of
from dlq.settings import Settings

logger = logging.getLogger(__name__)

HOURS_KEPT = dt.timedelta(days=8)
"""Counts by hour: trends look back 7 days."""


class Keeper:
    """One thread; a part of a round that fails is logged, and the next round tries it again.

    Args:
        main_depth: messages that wait in the broker's main queue; None: not known.
        on_expired: told of each batch that was let go.
    """

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        *,
        main_depth: Callable[[], int | None],
        on_expired: Callable[[Loss, int], None],
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._main_depth = main_depth
        self._on_expired = on_expired
        self._lets_go_at = dt.datetime.now(dt.UTC) + dt.timedelta(
            seconds=settings.retention_grace_s
        )
        self._queue = MainQueue(max_length=settings.main_max_length, ttl_ms=settings.main_ttl_ms)
        self._outlook: Outlook | None = None
        self._warned_of = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dlq-keeper", daemon=True)

    @property
    def outlook(self) -> Outlook | None:
        """As of the last round; None before the first, or when it failed."""
        return self._outlook

    def start(self) -> None:
        self._thread.start()

    def ask_to_stop(self) -> None:
        """End with the step in hand."""
        self._stopping.set()

    def stop(self, until: float) -> None:
        """until: of `time.monotonic`."""
        self.ask_to_stop()
        if self._thread.is_alive():
            self._thread.join(max(until - time.monotonic(), 0.0))

    def round(self, now: dt.datetime) -> None:
        """Everything once."""
        for part in (self._look_ahead, self._let_go, self._tend):
            if self._stopping.is_set():
                return
            try:
                part(now)
            except DLQError as error:
                logger.warning("The keeper's round is cut short: %s", error)
            except Exception:
                logger.exception("The keeper's round is cut short")

    def _look_ahead(self, now: dt.datetime) -> None:
        try:
            self._outlook = self._looked(now)
        except Exception:
            self._outlook = None  # an old one would tell of losses that have come about
            raise
        self._warn(self._outlook.warnings)

    def _looked(self, now: dt.datetime) -> Outlook:
        self._queue.note(self._main_depth(), now)
        age = self._ledger.retention.outlook(
            self._settings.retention.dlq,
            now=now,
            within=dt.timedelta(days=self._settings.retention_warn_days),
        )
        return outlook_of(age, self._queue, self._settings, now=now)

    def _warn(self, warnings: tuple[str, ...]) -> None:
        """Once when something comes near, and once when nothing is any more."""
        if len(warnings) > self._warned_of:
            for warning in warnings:
                logger.warning("%s", warning)
        elif self._warned_of and not warnings:
            logger.info("Nothing is about to be lost any more")
        self._warned_of = len(warnings)

    def _let_go(self, now: dt.datetime) -> None:
        if now < self._lets_go_at:
            return
        counts = dict.fromkeys(Loss, 0)
        began = time.monotonic()
        for step in self._ledger.retention.sweep(self._settings.retention, now=now):
            if step.count:
                counts[step.loss] += step.count
                self._on_expired(step.loss, step.count)
            if self._stopping.wait(rest_s(time.monotonic() - began)):
                break
            began = time.monotonic()
        if any(counts.values()):
            logger.info(
                "Let go of %d dead letters in the DLQ, %d resolved and the history of %d",
                *counts.values(),
            )

    def _tend(self, now: dt.datetime) -> None:
        self._ledger.retention.forget_hours(now - HOURS_KEPT)
        self._ledger.tend(now)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.round(dt.datetime.now(dt.UTC))
            self._stopping.wait(self._settings.keeper_interval_s)
