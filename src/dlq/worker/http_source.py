"""Tasks leased from the manager over HTTP: the embedded shape, without a broker.

A lease that is not settled in time runs out, and the manager hands its replay out again.
"""

from __future__ import annotations

import base64
import binascii
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from dlq.backoff import equal_jitter
from dlq.client.build import failed_again
from dlq.client.handling import Handling
from dlq.errors import BrokerUnavailable, DLQError, LedgerUnavailable, NotFound, PublishRejected
from dlq.message import WireMessage
from dlq.outcome import DETAIL_CHARS
from dlq.settings import Settings
from dlq.worker.http import ManagerHttp
from dlq.worker.leases import LeaseKeeper
from dlq.worker.task import Task, task_of

logger = logging.getLogger(__name__)

MAX_LEASES = 100
SETTLE_ATTEMPTS = 4
ANSWER_MARGIN_S = 10.0


class HttpSource:
    """Long polls for a few leases at once; one poll at a time, however many threads ask."""

    def __init__(
        self, settings: Settings, *, worker: str, error_types: Sequence[str], prefetch: int
    ) -> None:
        self._ttl_s = settings.lease_ttl_s
        self._reconnect_max_s = settings.reconnect_max_s
        self._worker = worker
        self._error_types = list(error_types)
        self._manager = ManagerHttp(settings)
        self._keeper = LeaseKeeper(self._manager, self._ttl_s)
        self._prefetch = min(prefetch, MAX_LEASES)
        self._polling = threading.Lock()
        self._waiting: deque[Task] = deque()  # under _polling
        self._closing = threading.Event()
        self._misses = 0  # polls in a row that found no manager; under _polling

    def start(self) -> None:
        self._keeper.start()

    @property
    def is_up(self) -> bool:
        return self._misses == 0

    def take(self, timeout_s: float) -> Task | None:
        if not self._polling.acquire(timeout=timeout_s):
            return None
        try:
            if not self._waiting:
                self._waiting.extend(self._poll(timeout_s))
            return self._waiting.popleft() if self._waiting else None
        finally:
            self._polling.release()

    def _poll(self, timeout_s: float) -> list[Task]:
        request = {
            "worker": self._worker,
            "limit": self._prefetch,
            "ttl_s": self._ttl_s,
            "error_types": self._error_types,
            "wait_s": timeout_s,
        }
        try:
            answer = self._manager.request(
                "POST", "/dlq/leases", json=request, timeout_s=timeout_s + ANSWER_MARGIN_S
            )
            leases = answer.json()["leases"]
        except (BrokerUnavailable, LedgerUnavailable) as error:
            self._missed(error)
            return []
        self._misses = 0
        return [self._task(lease) for lease in leases]

    def _missed(self, error: DLQError) -> None:
        self._misses += 1
        if self._misses == 1:
            logger.warning("no tasks for now, trying again: %s", error)
        self._closing.wait(equal_jitter(self._misses, base_s=0.2, cap_s=self._reconnect_max_s))

    def _task(self, lease: dict[str, Any]) -> Task:
        self._keeper.hold(lease["lease_id"])
        try:
            body = base64.b64decode(lease["body_base64"], validate=True)
        except binascii.Error as error:
            raise PublishRejected(
                f"Not a lease of a DLQ manager: {error}. Check DLQ_URL."
            ) from error
        wire = WireMessage(
            body=body,
            routing_key=lease["routing_key"],
            headers=lease["headers"],
            properties=lease["properties"],
        )
        return task_of(wire, lease["lease_id"])

    def succeed(self, task: Task) -> None:
        self._settle(task, "ack", {"detail": ""})

    def fail(self, task: Task, handling: Handling, error: BaseException, tries: int) -> None:
        again = failed_again(handling.message, error, tries)
        self._settle(task, "fail", {"message": again.model_dump(mode="json")})

    def decline(self, task: Task, why: str) -> None:
        self._settle(task, "decline", {"detail": why[:DETAIL_CHARS]})

    def let_go(self, task: Task) -> None:
        # The report has closed the lease with its replay, or will when the spool is flushed.
        self._keeper.drop(task.origin)

    def release(self, task: Task) -> None:
        self._keeper.drop(task.origin)
        try:
            self._post(task, "release", {})
        except DLQError as error:
            logger.info("a lease could not be given back, it will run out: %s", error)

    def close(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        self._closing.set()
        self._keeper.close(timeout_s)
        while self._waiting and time.monotonic() < deadline:
            self.release(self._waiting.popleft())
        self._manager.close()

    def _settle(self, task: Task, verb: str, body: dict[str, Any]) -> None:
        """The manager may be restarting: a few attempts, within the time of the lease."""
        for attempt in range(1, SETTLE_ATTEMPTS + 1):
            try:
                self._post(task, verb, body)
            except (BrokerUnavailable, LedgerUnavailable) as error:
                if attempt == SETTLE_ATTEMPTS:
                    raise BrokerUnavailable(str(error)) from error
                self._closing.wait(equal_jitter(attempt, base_s=0.5, cap_s=4.0))
            except NotFound:
                self._keeper.drop(task.origin)
                raise
            else:
                self._keeper.drop(task.origin)
                return

    def _post(self, task: Task, verb: str, body: dict[str, Any]) -> None:
        path = f"/dlq/leases/{quote(task.origin, safe='')}/{verb}"
        self._manager.request("POST", path, json=body)
