"""`AsyncDLQClient`: the same client for asyncio; it never blocks the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Self

from dlq.client.base import BaseClient
from dlq.client.core import refused
from dlq.client.failure import Failure
from dlq.client.handling import Handling
from dlq.client.receipt import Receipt
from dlq.client.steps import Steps, run_async


class AsyncDLQClient(BaseClient):
    """`DLQClient` with `await`: the same arguments, promises and receipts.

    A cancelled publish leaves its message in the spool. May be made outside a loop, and
    used from several loops.
    """

    async def publish_to_dlq(
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
        """See `DLQClient.publish_to_dlq`."""
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
        return (await self._run(self._core.publishing([failure]), 1))[0]

    async def publish_batch(self, failures: Iterable[Failure | Mapping[str, Any]]) -> list[Receipt]:
        """See `DLQClient.publish_batch`."""
        batch = [Failure.of(failure) for failure in failures]
        return await self._run(self._core.publishing(batch), len(batch))

    async def report_again(self, handling: Handling, error: Any, tries: int) -> Receipt:
        """See `DLQClient.report_again`."""
        return (await self._run(self._core.reporting_again(handling, error, tries), 1))[0]

    async def flush(self, timeout_s: float = 30.0) -> bool:
        """See `DLQClient.flush`."""
        return await asyncio.to_thread(self._core.flush, timeout_s)

    async def close(self) -> None:
        """See `DLQClient.close`."""
        await asyncio.to_thread(self._core.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, steps: Steps[list[Receipt]], count: int) -> list[Receipt]:
        try:
            return await run_async(steps)
        except Exception as error:  # noqa: BLE001 - logged; an `except` block must not be hurt
            return refused(error, count)
