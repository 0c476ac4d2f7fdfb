"""The producer's side: from a failure in an `except` block to a dead letter in safe custody.

`client.py` and `async_client.py` are the faces, `core.py` what they share, `courier.py` the
custody (broker's confirm, else spool), `spool.py` and `drain.py` the disk and the way back.
"""

from dlq.client.async_client import AsyncDLQClient
from dlq.client.client import DLQClient
from dlq.client.courier import Flushed, flush_spool
from dlq.client.default import publish_to_dlq
from dlq.client.failure import Failure
from dlq.client.flood import FloodReport
from dlq.client.handling import Handling
from dlq.client.receipt import Custody, Receipt
from dlq.client.spool import Spool, SpoolEntry, SpoolSummary

__all__ = [
    "AsyncDLQClient",
    "Custody",
    "DLQClient",
    "Failure",
    "FloodReport",
    "Flushed",
    "Handling",
    "Receipt",
    "Spool",
    "SpoolEntry",
    "SpoolSummary",
    "flush_spool",
    "publish_to_dlq",
]
