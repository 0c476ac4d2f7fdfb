"""Ingest: what a batch from the main queue, the outcomes queue or the API becomes.

A batch that the ledger refuses for its content is stored message by message, so that one
poison message neither loops nor holds up the others; the poison itself is kept, as
malformed, with its bytes.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from dlq.classify import Category
from dlq.errors import InvalidInput, LedgerError, LedgerUnavailable
from dlq.ledger.base import Arrival, Disposition, Ingested, Ledger
from dlq.manager.arrivals import arrival_of
from dlq.manager.metrics import Metrics
from dlq.message import DLQMessage, Form, WireMessage, new_message_id
from dlq.outcome import OutcomeReport, decode_outcome
from dlq.states import Outcome
from dlq.transport.base import Delivery

logger = logging.getLogger(__name__)

CLOSING = {
    Disposition.FAILED_AGAIN: Outcome.FAILED,
    Disposition.RETURNED: Outcome.RETURNED,
}


class Ingest:
    """Reads, diagnoses and stores; knows nothing of acks."""

    def __init__(
        self,
        ledger: Ledger,
        metrics: Metrics,
        *,
        retry_queue: str,
        on_closed: Callable[[], None] = lambda: None,
    ) -> None:
        """on_closed: called when replays were closed, so that others may go."""
        self._ledger = ledger
        self._metrics = metrics
        self._retry_queue = retry_queue
        self._on_closed = on_closed

    def failures(self, deliveries: Sequence[Delivery]) -> list[int]:
        """Store a batch of the main queue. Returns the rows without id, to be settled."""
        arrivals = [
            arrival_of(d.wire, redelivered=d.redelivered, retry_queue=self._retry_queue)
            for d in deliveries
        ]
        return [i.unsettled_row for i in self.store(arrivals) if i.unsettled_row is not None]

    def store(self, arrivals: Sequence[Arrival]) -> list[Ingested]:
        """Raises: LedgerUnavailable: nothing was stored, try again later."""
        try:
            results = self._ledger.ingest(arrivals)
        except LedgerUnavailable:
            raise
        except Exception:
            logger.exception("A batch of %d was refused; storing one by one", len(arrivals))
            results = [self._store_alone(arrival) for arrival in arrivals]
        for arrival, result in zip(arrivals, results, strict=True):
            self._metrics.ingested(result.disposition)
            if result.disposition in CLOSING:
                self._metrics.outcome(CLOSING[result.disposition], arrival.message.error_type)
        if any(result.disposition in CLOSING for result in results):
            self._on_closed()
        self._slow_down(arrivals)
        return results

    def outcomes(self, deliveries: Sequence[Delivery]) -> list[int]:
        """Close the replays that workers report on. What is no report, or names no open
        replay, changes nothing and is logged."""
        reports = [report for d in deliveries if (report := _report_in(d)) is not None]
        self.close(reports)
        return []

    def close(self, reports: Sequence[OutcomeReport]) -> list[bool]:
        """Close the replays that are reported on.

        Returns: False for what names no open replay (late, repeated or forged): logged,
        counted, and nothing is changed.
        """
        closed = self._ledger.record_outcomes(reports)
        for report, error_type in zip(reports, closed, strict=True):
            if error_type is not None:
                self._metrics.outcome(report.outcome, error_type)
                continue
            self._metrics.outcome_ignored()
            logger.warning(
                "Ignored an outcome for %r from %r: it names no open replay "
                "(late, repeated or forged)",
                report.message_id,
                report.worker,
            )
        if any(closed):
            self._on_closed()
        return [error_type is not None for error_type in closed]

    def _slow_down(self, arrivals: Sequence[Arrival]) -> None:
        """Let the pace of a provider know of its "too many"; of a batch, the newest."""
        now = dt.datetime.now(dt.UTC)
        newest: dict[str, DLQMessage] = {}
        for arrival in arrivals:
            if arrival.category == Category.RATE_LIMIT and arrival.replay_id is None:
                newest[arrival.message.error_type] = arrival.message
        for name, message in newest.items():
            at = message.failed_at or message.timestamp
            try:
                self._ledger.providers.slow_down(
                    name, at=at, retry_after_s=message.retry_after_s, now=now
                )
            except LedgerError as error:  # the failures themselves are committed
                logger.warning("The pace of %r does not know of its refusal: %s", name, error)

    def _store_alone(self, arrival: Arrival) -> Ingested:
        try:
            return self._ledger.ingest([arrival])[0]
        except LedgerUnavailable:
            raise
        except Exception as error:
            logger.exception("Poison message %r is kept as malformed", arrival.message.message_id)
            return self._ledger.ingest([_quarantined(arrival, error)])[0]


def _report_in(delivery: Delivery) -> OutcomeReport | None:
    try:
        return decode_outcome(delivery.wire)
    except InvalidInput as error:
        logger.warning("Ignored a message on %s: %s", delivery.queue, error)
        return None


def _quarantined(arrival: Arrival, error: Exception) -> Arrival:
    """The bytes, and nothing of what came with them that could be the poison."""
    wire = WireMessage(body=arrival.wire.body, routing_key="general.enrichment.failed")
    message = arrival.message.model_copy(
        update={
            "message_id": new_message_id(),
            "correlation_id": None,
            "routing_key": wire.routing_key,
            "error_type": "general",
            "error_message": "Malformed dead letter: the ledger refused it "
            f"({type(error).__name__})",
            "error_class": None,
            "stack_trace": None,
            "source_service": "unknown",
            "payload": {},
            "metadata": {},
            "category": Category.MALFORMED.value,
        }
    )
    return replace(
        arrival,
        wire=wire,
        message=message,
        form=Form.MALFORMED,
        category=Category.MALFORMED.value,
        title="Malformed dead letter that the ledger refused",
        replay_id=None,
        returned=False,
    )
