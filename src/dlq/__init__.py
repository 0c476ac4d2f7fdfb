"""A dead-letter queue for pipelines: capture failures, see what broke, replay once and safely.

    from dlq import DLQClient

    dlq = DLQClient()
    try:
        enrich(track)
    except Exception as error:
        dlq.publish_to_dlq(item=track, error=error, retry_count=3)

These names are loaded when they are first used, so that `import dlq` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlq.client import AsyncDLQClient, DLQClient, publish_to_dlq
    from dlq.message import DLQMessage
    from dlq.worker import RetryWorker

__all__ = ["AsyncDLQClient", "DLQClient", "DLQMessage", "RetryWorker", "publish_to_dlq"]

_HOME = {
    "AsyncDLQClient": "dlq.client",
    "DLQClient": "dlq.client",
    "DLQMessage": "dlq.message",
    "RetryWorker": "dlq.worker",
    "publish_to_dlq": "dlq.client",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
