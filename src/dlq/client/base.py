"""What `DLQClient` and `AsyncDLQClient` have in common: all but how they wait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlq.client.capture import Capture, CaptureOptions
from dlq.client.core import Core
from dlq.client.courier import OpenPublisher, open_publisher
from dlq.client.flood import FloodHook
from dlq.settings import Settings


class BaseClient:
    """Construction, `capture` and the flood limit."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        source_service: str | None = None,
        on_flood: FloodHook | None = None,
        open_publisher: OpenPublisher = open_publisher,
    ) -> None:
        self._core = Core(settings or Settings.load(), source_service, on_flood, open_publisher)

    def capture(
        self,
        *,
        source_service: str | None = None,
        item: Any = None,
        metadata: Mapping[str, Any] | None = None,
        correlation_id: str | None = None,
        error_type: str | None = None,
        fingerprint: str | None = None,
        max_attempts: int = 3,
        reraise: bool = True,
        ignore: tuple[type[BaseException], ...] = (),
        pause_base_s: float = 0.5,
        pause_max_s: float = 30.0,
    ) -> Capture:
        """A context manager and decorator that publishes what fails inside.

        As a decorator, of functions and coroutine functions, it tries up to `max_attempts`
        times while the failure may pass by itself (rate limits, time-outs, network, server
        errors), with random pauses that grow from `pause_base_s`, and at least as long as
        a Retry-After asks, up to `pause_max_s`. Then it publishes and, unless `reraise` is
        false, raises on (else it returns None).

        Args:
            item: what was worked on: a value, or (decorator) a function of the call's
                arguments; default: the call's arguments by name, less self and cls.
            fingerprint: the whole identity of the cause, see `DLQClient.publish_to_dlq`.
            ignore: exceptions that are no failures and just pass.
        """
        return Capture(
            self._core,
            CaptureOptions(
                source_service=source_service,
                item=item,
                metadata=metadata,
                correlation_id=correlation_id,
                error_type=error_type,
                fingerprint=fingerprint,
                max_attempts=max_attempts,
                reraise=reraise,
                ignore=ignore,
                pause_base_s=pause_base_s,
                pause_max_s=pause_max_s,
            ),
        )

    def record_success(self, count: int = 1) -> None:
        """Tell the flood limit of operations that went well."""
        self._core.flood.record_success(count)
