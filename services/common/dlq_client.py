"""The import path that the services know, with `services/` on `sys.path`; the code is in `dlq`.

from common.dlq_client import DLQClient
"""

from dlq.client import AsyncDLQClient, DLQClient, Receipt, publish_to_dlq
from dlq.message import DLQMessage

__all__ = ["AsyncDLQClient", "DLQClient", "DLQMessage", "Receipt", "publish_to_dlq"]
