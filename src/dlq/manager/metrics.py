"""Prometheus metrics: counters that the manager keeps, gauges read from the ledger at scrape.

A registry per manager, not the process-wide one, so that several can live in one process.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from dlq.circuit import CircuitState
from dlq.keeping import Loss
from dlq.ledger.base import Disposition, Ledger, LedgerStats
from dlq.manager.outlook import Outlook
from dlq.states import Outcome

QUANTILES = (0.5, 0.9, 0.99)
MAX_ERROR_TYPES = 50
"""error_type is an open set that producers choose; a label must stay bounded."""

Depths = Callable[[LedgerStats], Mapping[str, int | None]]
"""Depth by queue name; None where it is not known."""


class Metrics:
    """What the manager counts, and the page that Prometheus reads."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._replays = Counter(
            "dlq_replay",
            "Replays asked for, by what came of it.",
            ["status"],
            registry=self._registry,
        )
        self._ingested = Counter(
            "dlq_ingested",
            "Messages taken into the ledger, by what was done with them.",
            ["disposition"],
            registry=self._registry,
        )
        self._outcomes = Counter(
            "dlq_replay_outcomes",
            "What became of replays.",
            ["outcome", "error_type"],
            registry=self._registry,
        )
        self._ignored = Counter(
            "dlq_outcomes_ignored",
            "Reports that named no open replay: late, repeated or forged.",
            registry=self._registry,
        )
        self._expired = Counter(
            "dlq_expired",
            "What was let go because of its age, by what it was.",
            ["reason"],
            registry=self._registry,
        )
        for loss in Loss:
            self._expired.labels(loss.value)
        self._outcome_types: set[str] = set()
        for status in ("success", "error", "not_found"):
            self._replays.labels(status)
        for disposition in Disposition:
            self._ingested.labels(disposition.value)

    def replay(self, status: str) -> None:
        """status: success, error or not_found."""
        self._replays.labels(status).inc()

    def ingested(self, disposition: Disposition) -> None:
        self._ingested.labels(disposition.value).inc()

    def outcome(self, outcome: Outcome, error_type: str) -> None:
        if error_type not in self._outcome_types and len(self._outcome_types) >= MAX_ERROR_TYPES:
            error_type = "other"
        self._outcome_types.add(error_type)
        self._outcomes.labels(outcome.value, error_type).inc()

    def outcome_ignored(self) -> None:
        self._ignored.inc()

    def expired(self, loss: Loss, count: int) -> None:
        self._expired.labels(loss.value).inc(count)

    def watch(self, ledger: Ledger, depths: Depths, outlook: Callable[[], Outlook | None]) -> None:
        self._registry.register(_LedgerCollector(ledger, depths, outlook))

    def page(self) -> bytes:
        """The text format, version 0.0.4."""
        return generate_latest(self._registry)


class _LedgerCollector(Collector):
    """Exact figures, asked for at each scrape."""

    def __init__(
        self, ledger: Ledger, depths: Depths, outlook: Callable[[], Outlook | None]
    ) -> None:
        self._ledger = ledger
        self._depths = depths
        self._outlook = outlook

    def describe(self) -> Iterable[Metric]:
        # Without it the registry would scrape once at registration.
        return []

    def collect(self) -> Iterable[Metric]:
        stats = self._ledger.stats()
        yield self._queue_depths(stats)
        yield self._by_error_type(stats)
        yield self._ages()
        yield self._days_left()
        yield self._jobs()
        yield from self._providers()

    def _queue_depths(self, stats: LedgerStats) -> Metric:
        family = GaugeMetricFamily(
            "dlq_messages_total", "Messages in each queue of the DLQ.", labels=["queue"]
        )
        for name, depth in self._depths(stats).items():
            if depth is not None:  # not known is absent, never 0
                family.add_metric([name], depth)
        return family

    def _by_error_type(self, stats: LedgerStats) -> Metric:
        family = GaugeMetricFamily(
            "dlq_messages_by_error_type", "Dead letters in the DLQ.", labels=["error_type"]
        )
        counts = sorted(stats.by_error_type.items(), key=lambda item: -item[1])
        for error_type, count in counts[:MAX_ERROR_TYPES]:
            family.add_metric([error_type], count)
        if rest := sum(count for _, count in counts[MAX_ERROR_TYPES:]):
            family.add_metric(["other"], rest)
        return family

    def _ages(self) -> Metric:
        family = Metric("dlq_message_age_seconds", "Age of dead letters in the DLQ.", "summary")
        ages = self._ledger.ages(QUANTILES, dt.datetime.now(dt.UTC))
        for quantile, age_s in zip(QUANTILES, ages, strict=False):
            family.add_sample("dlq_message_age_seconds", {"quantile": str(quantile)}, age_s)
        return family

    def _days_left(self) -> Metric:
        family = GaugeMetricFamily(
            "dlq_retention_days_left",
            "Days until dead letters are lost by age, or by the length of the main queue.",
            labels=["limit"],
        )
        if (outlook := self._outlook()) is not None:
            for limit, days in (
                ("age", outlook.days_left_by_age),
                ("length", outlook.days_left_by_length),
            ):
                if days is not None:
                    family.add_metric([limit], days)
        return family

    def _jobs(self) -> Metric:
        family = GaugeMetricFamily("dlq_jobs", "Replay jobs, by state.", labels=["state"])
        for state, count in self._ledger.jobs.counts().items():
            family.add_metric([state.value], count)
        return family

    def _providers(self) -> Iterable[Metric]:
        circuits = GaugeMetricFamily(
            "dlq_circuit_state", "1 for the state a circuit is in.", labels=["error_type", "state"]
        )
        scheduled = GaugeMetricFamily(
            "dlq_scheduled_messages", "To be replayed by themselves.", labels=["error_type"]
        )
        share = GaugeMetricFamily(
            "dlq_provider_share", "Share of its limit asked of a provider.", labels=["error_type"]
        )
        known = self._ledger.providers.all(dt.datetime.now(dt.UTC))
        for provider in known[:MAX_ERROR_TYPES]:
            for state in CircuitState:
                circuits.add_metric([provider.name, state.value], provider.circuit.state is state)
            scheduled.add_metric([provider.name], provider.scheduled_count)
            share.add_metric([provider.name], provider.share)
        return [circuits, scheduled, share]
