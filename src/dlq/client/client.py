"""`DLQClient`: three lines in an `except` block, and none of them can hurt the pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

from dlq.client.base import BaseClient
from dlq.client.core import refused
from dlq.client.failure import Failure
from dlq.client.handling import Handling
from dlq.client.receipt import Receipt
from dlq.client.steps import Steps, run


class DLQClient(BaseClient):
    """Publishes failures to the dead-letter queue.

    A publish never raises for a fault of item, broker, network or disk, never blocks longer
    than `DLQ_CONFIRM_TIMEOUT_S`, and loses nothing it gave a true receipt for: what the
    broker does not confirm is on this host's disk and is sent when the broker is back.

    Safe from any thread, in forked children, inside a running event loop or reactor (which
    it blocks while it waits: there `AsyncDLQClient` is the better choice). Configuration
    comes from the environment unless `settings` are given.

    Args:
        source_service: who publishes, where a call names nobody; default: the program's name.
        on_flood: called with a `FloodReport` once per window when too much fails.
    Raises:
        SettingsError: at construction, for a setting that cannot be used.
    """

    def publish_to_dlq(
        self,
        item: Any,
        error: Any,
        retry_count: int = 0,
        source_service: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        correlation_id: str | None = None,
        error_type: str | None = None,
        message_id: str | None = None,
        fingerprint: str | None = None,
    ) -> Receipt:
        """Publish one failure.

        Args:
            item: what was worked on: a dict, a Scrapy item, any object.
            error: the exception, or its text.
            retry_count: tries made before giving up.
            error_type: which provider failed; default: read from the error.
            fingerprint: the whole identity of the cause, in place of the one that is computed:
                dead letters with one fingerprint are one group.
        Returns: a receipt, true exactly if the dead letter is safe.
        """
        failure = Failure(
            item,
            error,
            retry_count,
            source_service,
            metadata,
            correlation_id,
            error_type,
            message_id,
            fingerprint,
        )
        return self._run(self._core.publishing([failure]), 1)[0]

    def publish_batch(self, failures: Iterable[Failure | Mapping[str, Any]]) -> list[Receipt]:
        """Publish many failures and wait once for all, within the time of one call.

        Args:
            failures: `Failure`s, or mappings with the names of `publish_to_dlq`'s arguments.
        Returns: one receipt each, in order.
        """
        batch = [Failure.of(failure) for failure in failures]
        return self._run(self._core.publishing(batch), len(batch))

    def report_again(self, handling: Handling, error: Any, tries: int) -> Receipt:
        """Send a handled dead letter back with its new error, under its own message_id.

        Args:
            tries: made in this replay; added to its retry_count.
        """
        return self._run(self._core.reporting_again(handling, error, tries), 1)[0]

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Wait until nothing waits in this host's spool for this destination.

        Returns: whether so within `timeout_s`; False also if the spool cannot be read.
        """
        return self._core.flush(timeout_s)

    def close(self) -> None:
        """Let go of connection and threads; what is unconfirmed goes to the spool. A later
        publish opens them anew. Happens by itself when the program ends."""
        self._core.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, steps: Steps[list[Receipt]], count: int) -> list[Receipt]:
        try:
            return run(steps)
        except Exception as error:  # noqa: BLE001 - logged; an `except` block must not be hurt
            return refused(error, count)
