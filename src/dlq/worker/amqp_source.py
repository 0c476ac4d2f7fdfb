"""Tasks from the retry queue of a broker; outcomes and failures go back through it.

A delivery is acked only after the broker confirmed the outcome, or the failure is confirmed
or spooled. A handler must be done within the broker's consumer_timeout (30 minutes by
default); beyond it the broker takes the delivery back and hands it out again.
"""

from __future__ import annotations

import queue
import time
from concurrent.futures import Future

from dlq.client import DLQClient
from dlq.client.handling import Handling
from dlq.errors import ConfirmTimeout, TransportError
from dlq.outcome import DETAIL_CHARS, OutcomeReport, encode_outcome
from dlq.settings import Settings
from dlq.states import Outcome
from dlq.transport.amqp import AmqpConsumer, AmqpPublisher
from dlq.transport.base import Delivery
from dlq.worker.task import Task, task_of


class AmqpSource:
    """One consumer with a small prefetch, one publisher for outcomes, one client for
    failures: under a memory alarm the broker blocks connections that publish, and acks
    must go on."""

    def __init__(self, settings: Settings, *, worker: str, prefetch: int) -> None:
        self._settings = settings
        self._worker = worker
        self._arrived: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        self._consumer = AmqpConsumer(
            settings,
            queue=settings.retry_queue,
            prefetch=prefetch,
            on_delivery=self._arrived.put,
            name=f"dlq-worker {worker}",
        )
        self._publisher = AmqpPublisher(settings, name=f"dlq-worker {worker} outcomes")
        self._client = DLQClient(settings)

    def start(self) -> None:
        """Begin to consume; the consumer declares what lacks and reconnects by itself."""
        self._consumer.start()

    @property
    def is_up(self) -> bool:
        return self._consumer.is_up

    def take(self, timeout_s: float) -> Task | None:
        try:
            delivery = self._arrived.get(timeout=timeout_s)
        except queue.Empty:
            return None
        return task_of(delivery.wire, delivery)

    def succeed(self, task: Task) -> None:
        self._report(task, Outcome.SUCCEEDED, "")

    def decline(self, task: Task, why: str) -> None:
        self._report(task, Outcome.RETURNED, why)

    def _report(self, task: Task, outcome: Outcome, detail: str) -> None:
        if task.replay_id is not None:
            report = OutcomeReport(
                message_id=task.message.message_id,
                replay_id=task.replay_id,
                outcome=outcome,
                worker=self._worker,
                detail=detail[:DETAIL_CHARS],
            )
            wire = encode_outcome(report, task.message.error_type)
            self._confirmed(self._publisher.publish(wire))
        self._consumer.ack([task.origin])

    def fail(self, task: Task, handling: Handling, error: BaseException, tries: int) -> None:
        receipt = self._client.report_again(handling, error, tries)
        if not receipt:
            raise TransportError(
                f"The failure of {task.message.message_id} could neither be confirmed nor "
                "spooled. Check the broker and the spool (`dlq doctor`)."
            )

    def let_go(self, task: Task) -> None:
        self._consumer.ack([task.origin])

    def release(self, task: Task) -> None:
        self._consumer.nack([task.origin], requeue=True)

    def close(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        waiting = self._drain()
        if waiting:
            self._consumer.nack(waiting, requeue=True)
        self._consumer.close(_left(deadline))
        self._publisher.close(_left(deadline))
        self._client.close()

    def _drain(self) -> list[Delivery]:
        drained = []
        while True:
            try:
                drained.append(self._arrived.get_nowait())
            except queue.Empty:
                return drained

    def _confirmed(self, future: Future[None]) -> None:
        try:
            future.result(timeout=self._settings.confirm_timeout_s)
        except TimeoutError:
            raise ConfirmTimeout(
                f"No confirm of an outcome within {self._settings.confirm_timeout_s} s."
            ) from None


def _left(deadline: float) -> float:
    return max(0.1, deadline - time.monotonic())
