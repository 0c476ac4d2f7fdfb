"""The worker: takes replays, calls your handlers, reports what became of them.

These names are loaded when they are first used: the CLI needs only `http.py` most times.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlq.worker.attempt import TryPolicy
    from dlq.worker.dealing import Tally
    from dlq.worker.handlers import Handler, NoHandler
    from dlq.worker.memory import ReplayMemory
    from dlq.worker.worker import RetryWorker

__all__ = ["Handler", "NoHandler", "ReplayMemory", "RetryWorker", "Tally", "TryPolicy"]

_HOME = {
    "Handler": "dlq.worker.handlers",
    "NoHandler": "dlq.worker.handlers",
    "ReplayMemory": "dlq.worker.memory",
    "RetryWorker": "dlq.worker.worker",
    "Tally": "dlq.worker.dealing",
    "TryPolicy": "dlq.worker.attempt",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
