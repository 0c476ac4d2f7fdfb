"""Sends what is in the spool once the broker is back; its first message is the probe.

One drainer per destination works at a time on a host, whichever process it is in. Entries
go in order, pipelined in windows, and each is let go of only after its own confirm. An
entry that will never be accepted is set aside and does not hold up those behind it.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum, auto

from dlq.backoff import equal_jitter
from dlq.client.hostlock import HostLock
from dlq.client.reachability import Reachability
from dlq.client.spool import Spool, SpoolEntry
from dlq.errors import BrokerUnavailable, ConfirmTimeout, DLQError, PublishRejected, SpoolError
from dlq.settings import Settings
from dlq.transport.base import Publisher

logger = logging.getLogger(__name__)

POLL_S = 5.0
"""How often an idle drainer looks for what other processes have left."""
RETRY_BASE_S = 0.25
WINDOW_BYTES = 16 * 1024 * 1024


class Pass(Enum):
    """How one look at the spool ended."""

    EMPTY = auto()  # nothing is left to send
    STUCK = auto()  # something is, and the other side does not take it
    ELSEWHERE = auto()  # another process is draining


@dataclass(slots=True)
class _Sent:
    confirmed: list[int]
    failed: list[tuple[int, str]]
    rejected: list[tuple[SpoolEntry, str]]
    lost: str | None = None  # why the other side counts as unreachable


class Drainer:
    """A background thread that empties the spool towards one publisher."""

    def __init__(
        self, spool: Spool, publisher: Publisher, reachability: Reachability, settings: Settings
    ) -> None:
        self._spool = spool
        self._publisher = publisher
        self._reachability = reachability
        self._timeout_s = settings.confirm_timeout_s
        self._window = settings.publish_window
        self._pause_max_s = settings.reconnect_max_s
        name = hashlib.sha256(publisher.destination.encode()).hexdigest()[:16]
        self._lock = HostLock(settings.spool_dir / f"drain-{name}.lock")
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._failures = 0
        self._confirmed: set[int] = set()  # not removed yet: a full disk refuses deletes too
        self._oldest_seen: int | None = None

    def start(self) -> None:
        """Begin to drain; does nothing if it has begun."""
        with self._start_lock:
            if self._thread is not None or self._stopping.is_set():
                return
            thread = threading.Thread(target=self._run, name="dlq-drain", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # no more threads: another process, or a later start
                logger.warning("The spool cannot be drained by this process: %s", error)
                return
            self._thread = thread

    def wake(self, *, hurry: bool = False) -> None:
        """Something was spooled. While the other side is failing, only `hurry` cuts a pause."""
        self.start()
        if hurry or self._failures == 0:
            self._wake.set()

    def stop(self) -> None:
        """Take no more entries; what is under way ends when the publisher is closed."""
        self._stopping.set()
        self._wake.set()

    def join(self, timeout_s: float) -> None:
        if self._thread is not None:
            self._thread.join(max(timeout_s, 0.0))

    def _run(self) -> None:
        while not self._stopping.is_set():
            outcome = self._look()
            self._failures = self._failures + 1 if outcome is Pass.STUCK else 0
            self._wake.wait(self._pause_s(outcome))
            if not self._stopping.is_set():
                self._wake.clear()

    def _pause_s(self, outcome: Pass) -> float:
        if outcome is Pass.STUCK:
            return equal_jitter(self._failures, base_s=RETRY_BASE_S, cap_s=self._pause_max_s)
        return RETRY_BASE_S * 4 if outcome is Pass.ELSEWHERE else POLL_S

    def _look(self) -> Pass:
        try:
            return self._drain_if_free()
        except DLQError as error:
            logger.warning("The spool cannot be drained: %s", error)
        except Exception:
            logger.exception("The spool cannot be drained")
        # With no spool there is no probe: the next failure itself has to try the broker.
        self._reachability.found()
        return Pass.STUCK

    def _drain_if_free(self) -> Pass:
        oldest = self._spool.oldest_waiting(self._publisher.destination)
        if oldest is None:
            self._reachability.found()
            return Pass.EMPTY
        if not self._lock.acquire():
            if self._oldest_seen is not None and oldest > self._oldest_seen:
                self._reachability.found()  # the other's messages get through
            self._oldest_seen = oldest
            return Pass.ELSEWHERE
        try:
            return self._drain()
        finally:
            self._lock.release()

    def _drain(self) -> Pass:
        after, window, count = 0, 1, 0
        failed = False
        while not self._stopping.is_set():
            entries = self._spool.waiting(
                self._publisher.destination, after=after, limit=window, max_bytes=WINDOW_BYTES
            )
            if not entries:
                break
            after_entries = entries[-1].id
            entries = [entry for entry in entries if entry.id not in self._confirmed]
            sent = self._send(entries)
            self._settle(sent)
            count += len(sent.confirmed)
            failed = failed or bool(sent.failed)
            if sent.lost is not None or (entries and not (sent.confirmed or sent.rejected)):
                break
            after, window = after_entries, self._window
        if count:
            logger.info("Sent %d dead letters from the spool %s", count, self._spool.path)
        return Pass.STUCK if failed else Pass.EMPTY

    def _send(self, entries: Sequence[SpoolEntry]) -> _Sent:
        futures = [self._publisher.publish(entry.wire) for entry in entries]
        until = time.monotonic() + self._timeout_s
        while not self._stopping.is_set():
            rest_s = until - time.monotonic()
            _, unfinished = concurrent.futures.wait(futures, min(max(rest_s, 0.0), 0.2))
            if not unfinished or rest_s <= 0:
                break
        sent = _Sent([], [], [])
        for entry, future in zip(entries, futures, strict=True):
            self._judge(entry, future, sent)
        return sent

    def _judge(self, entry: SpoolEntry, future: Future[None], sent: _Sent) -> None:
        if not future.done():
            error: BaseException | None = ConfirmTimeout(
                f"No confirm within {self._timeout_s:g} s from {self._publisher.destination}."
            )
        else:
            error = future.exception()
        if error is None:
            sent.confirmed.append(entry.id)
        elif isinstance(error, PublishRejected):
            sent.rejected.append((entry, str(error)))
        else:
            sent.failed.append((entry.id, str(error)))
            if isinstance(error, BrokerUnavailable | ConfirmTimeout):
                sent.lost = str(error)

    def _remove_confirmed(self) -> None:
        """What cannot be removed is remembered, so that it is not sent again by this process."""
        try:
            self._spool.remove(sorted(self._confirmed))
        except SpoolError as error:
            logger.warning("Sent, but not removed from the spool yet: %s", error)
        else:
            self._confirmed.clear()

    def _settle(self, sent: _Sent) -> None:
        self._confirmed.update(sent.confirmed)
        if self._confirmed:
            self._remove_confirmed()
        for entry, reason in sent.rejected:
            self._spool.reject(entry.id, reason)
            logger.error(
                "Dead letter %s will not be accepted by %s: %s. It is kept in the spool; "
                "`dlq spool` shows it",
                entry.message_id,
                entry.destination,
                reason,
            )
        if sent.failed and not self._stopping.is_set():
            self._spool.note_failures(sent.failed)
        if sent.confirmed and sent.lost is None:
            self._reachability.found()
        elif sent.lost is not None and not self._stopping.is_set():
            self._reachability.lost(sent.lost)
