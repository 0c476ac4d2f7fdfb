"""`publish_to_dlq` without a client of one's own: one per process, made at first use."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

from dlq.client.client import DLQClient
from dlq.client.core import refused
from dlq.client.receipt import Receipt

_lock = threading.Lock()
_client: DLQClient | None = None


def publish_to_dlq(
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
    """`DLQClient.publish_to_dlq` of this process's own client, configured by the environment.

    Never raises: settings that cannot be used give a false receipt and a logged error.
    """
    try:
        client = _default_client()
    except Exception as trouble:  # noqa: BLE001 - logged; an `except` block must not be hurt
        return refused(trouble, 1)[0]
    return client.publish_to_dlq(
        item,
        error,
        retry_count,
        source_service,
        metadata,
        correlation_id=correlation_id,
        error_type=error_type,
        message_id=message_id,
        fingerprint=fingerprint,
    )


def _default_client() -> DLQClient:
    global _client
    if _client is None:
        with _lock:
            if _client is None:
                _client = DLQClient()
    return _client


def _renew_lock() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)
