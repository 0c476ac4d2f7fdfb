"""Whether the ledger answers, asked so that the answer comes in time even if the ledger's does not.

A database that is frozen rather than down holds whoever asks it; health must not hang with it.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future

from dlq.errors import LedgerUnavailable
from dlq.ledger.base import Ledger

PROBE_TIMEOUT_S = 2.0


class LedgerProbe:
    """One question at a time, on a thread of its own."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._asking: Future[None] | None = None

    def ping(self) -> None:
        """Raises: LedgerUnavailable: it says so, or says nothing within 2 seconds."""
        with self._lock:
            if self._asking is None or self._asking.done():
                self._asking = self._ask()
            asking = self._asking
        try:
            asking.result(PROBE_TIMEOUT_S)
        except TimeoutError as error:
            raise LedgerUnavailable(
                f"The ledger does not answer within {PROBE_TIMEOUT_S:g} s: its database is frozen "
                "or overloaded. Nothing is acked meanwhile."
            ) from error

    def _ask(self) -> Future[None]:
        answer: Future[None] = Future()

        def ask() -> None:
            try:
                self._ledger.ping()
            except Exception as error:  # noqa: BLE001 - it goes to whoever asked
                answer.set_exception(error)
            else:
                answer.set_result(None)

        threading.Thread(target=ask, name="dlq-ledger-probe", daemon=True).start()
        return answer
