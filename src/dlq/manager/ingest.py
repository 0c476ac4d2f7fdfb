"""Ingest: what a batch from the main queue, the outcomes queue or the API becomes.

A batch that the ledger refuses for its content is stored message by message, so that one
poison message neither loops nor holds up the others; the poison itself is kept, as
malformed, with its bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from dlq.classify import Category
from dlq.errors import InvalidInput, LedgerUnavailable
from dlq.ledger.base import Arrival, Ingested, Ledger
from dlq.manager.arrivals import arrival_of
from dlq.manager.metrics import Metrics
from dlq.message import Form, WireMessage, new_message_id
from dlq.outcome import decode_outcome
from dlq.transport.base import Delivery

logger = logging.getLogger(__name__)


class Ingest:
    """Reads, diagnoses and stores; knows nothing of acks."""

    def __init__(self, ledger: Ledger, metrics: Metrics, *, retry_queue: str) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._retry_queue = retry_queue

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
        for result in results:
            self._metrics.ingested(result.disposition)
        return results

    def outcomes(self, deliveries: Sequence[Delivery]) -> list[int]:
        """Close the replays that workers report on. What is no report, or names no open
        replay, changes nothing and is logged."""
        for delivery in deliveries:
            try:
                report = decode_outcome(delivery.wire)
            except InvalidInput as error:
                logger.warning("Ignored a message on %s: %s", delivery.queue, error)
                continue
            if not self._ledger.record_outcome(report):
                logger.warning(
                    "Ignored an outcome for %r from %r: it names no open replay "
                    "(late, repeated or forged)",
                    report.message_id,
                    report.worker,
                )
        return []

    def _store_alone(self, arrival: Arrival) -> Ingested:
        try:
            return self._ledger.ingest([arrival])[0]
        except LedgerUnavailable:
            raise
        except Exception as error:
            logger.exception("Poison message %r is kept as malformed", arrival.message.message_id)
            return self._ledger.ingest([_quarantined(arrival, error)])[0]


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
