"""`RetryWorker`: consumes replays, calls handlers, reports outcomes.

The life of one replay here:

1. It is taken from the retry queue (or leased from the manager) and stays unacked.
2. The handler for its error_type is called, again after a pause if it fails with a
   transient error and the replay grants more tries.
3. Success: it is remembered, then the outcome is reported, and only once that is confirmed
   is the message acked.
4. Failure: the same dead letter goes back under the same message_id with its new error,
   and only once that is confirmed or spooled is it remembered and the message acked.
5. A crash at any point: the message is delivered again. The handler is called again unless
   the replay is remembered, so handlers must bear that.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

from dlq.errors import DLQError, InvalidInput
from dlq.message import shorten_utf8
from dlq.settings import Settings, without_password
from dlq.worker.attempt import TryPolicy
from dlq.worker.dealing import Dealer, Tally
from dlq.worker.handlers import Caller, Handler, Handlers
from dlq.worker.host_memory import HostReplayMemory
from dlq.worker.memory import Memory
from dlq.worker.task import Source

logger = logging.getLogger(__name__)

TAKE_TIMEOUT_S = 1.0
CLOSE_TIMEOUT_S = 5.0


class RetryWorker:
    """Handles replays until it is stopped.

    Args:
        handlers: by error_type; a handler takes the `DLQMessage`, sync or async. The key
            "malformed" is for messages whose body is no JSON object.
        default: for every other error_type.
        settings: default: from the environment. With a broker it consumes the retry queue,
            without one it leases over HTTP from the manager.
        name: shown with outcomes; default host:pid.
        concurrency: handlers that run at once, each on a thread of its own.
        max_attempts: bounds the tries that a replay grants with x-max-retries.
        policy: the pace of tries; wins over max_attempts.
        memory: of replays that were dealt with, so that one delivered again is not handled
            again. Default: one in the spool's folder that all workers of this host share and
            that outlives them; `ReplayMemory()` keeps it in this process only.
        stop_timeout_s: how long a stop waits for handlers at work. What is not done by then
            is left unacked and will be delivered again.
    Raises: InvalidInput: no handler, or a bound that cannot be used.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler] | None = None,
        *,
        default: Handler | None = None,
        settings: Settings | None = None,
        name: str | None = None,
        concurrency: int = 1,
        max_attempts: int = 5,
        policy: TryPolicy | None = None,
        memory: Memory | None = None,
        stop_timeout_s: float = 30.0,
    ) -> None:
        if concurrency < 1 or max_attempts < 1:
            raise InvalidInput("concurrency and max_attempts: expected 1 or more.")
        self._settings = settings or Settings.load()
        self.name = shorten_utf8(name or f"{socket.gethostname()}:{os.getpid()}", 255)
        self._handlers = Handlers(handlers or {}, default)
        self._concurrency = concurrency
        self._stop_timeout_s = stop_timeout_s
        self._stopping = threading.Event()
        self._signalled = False
        self._fatal: DLQError | None = None
        self._busy: set[threading.Thread] = set()
        self._last_task_at = time.monotonic()
        self._threads: list[threading.Thread] = []
        self._source = source_for(self._settings, self.name, self._handlers, concurrency)
        self._memory = HostReplayMemory(self._settings.spool_dir) if memory is None else memory
        self._dealer = Dealer(
            self._source,
            self._handlers,
            policy or TryPolicy(max_attempts=max_attempts),
            self._memory,
            worker=self.name,
            stopping=self._stopping,
            reconnect_max_s=self._settings.reconnect_max_s,
        )

    @property
    def tally(self) -> Tally:
        return self._dealer.tally

    @property
    def is_up(self) -> bool:
        """Whether tasks can come, as far as is known."""
        return bool(self._threads) and not self._stopping.is_set() and self._source.is_up

    def run(self) -> Tally:
        """Block until `stop`, or SIGTERM or SIGINT when on the main thread.

        A second signal does what it did before: it ends the process at once.
        Raises: DLQError: this worker will never be given any task (token, role, shape).
        """
        with self._signals_noted():
            self.start()
            # A signal handler must not touch the Event's lock, which this thread may hold.
            while not (self._signalled or self._stopping.is_set()):
                time.sleep(0.1)
        logger.info("worker %s stops: finishing what is in hand", self.name)
        self.close()
        return self.tally

    def run_until_idle(self, timeout_s: float, *, idle_s: float = 1.5) -> Tally:
        """Block until nothing was in hand and nothing came for `idle_s`, then close.

        Raises: as `run`; TimeoutError: still busy, or its source not up, after `timeout_s`.
        """
        self.start()
        deadline = time.monotonic() + timeout_s
        while not self._is_idle(idle_s):
            if self._stopping.wait(0.02):
                break
            if time.monotonic() > deadline:
                self.close()
                raise TimeoutError(f"Worker {self.name} was not idle within {timeout_s} s.")
        self.close()
        return self.tally

    def start(self) -> None:
        """Begin to work on threads of its own; returns at once. A worker starts once."""
        if self._threads:
            raise InvalidInput("This worker was started before; make a new one.")
        self._source.start()
        self._last_task_at = time.monotonic()
        self._threads = [
            threading.Thread(target=self._work, name=f"dlq-worker-{number}", daemon=True)
            for number in range(1, self._concurrency + 1)
        ]
        for thread in self._threads:
            thread.start()
        logger.info("worker %s takes replays from %s", self.name, self._whence())

    def stop(self) -> None:
        """Take nothing more. Returns at once; callable from any thread."""
        self._stopping.set()

    def close(self) -> None:
        """Stop, wait (bounded) for handlers at work, give the rest back.

        Raises: DLQError: what made the worker stop, if that was it.
        """
        self.stop()
        deadline = time.monotonic() + self._stop_timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        left = sum(thread.is_alive() for thread in self._threads)
        if left:
            logger.warning(
                "%d handlers not done after %s s: their messages will be delivered again",
                left,
                self._stop_timeout_s,
            )
        self._source.close(CLOSE_TIMEOUT_S)
        self._memory.close()
        if self._fatal is not None:
            raise self._fatal

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # --- on the worker's threads ---

    def _work(self) -> None:
        with Caller() as caller:
            while not self._stopping.is_set():
                try:
                    self._take_one(caller)
                except DLQError as error:
                    self._fatal = error
                    self.stop()
                except Exception:
                    # A fault of ours must not cost the thread.
                    logger.exception("worker %s: unexpected, going on", self.name)
                    self._stopping.wait(TAKE_TIMEOUT_S)

    def _take_one(self, caller: Caller) -> None:
        me = threading.current_thread()
        task = self._source.take(TAKE_TIMEOUT_S)
        if task is None:
            return
        self._busy.add(me)
        try:
            if self._stopping.is_set():
                self._source.release(task)
            else:
                self._dealer.deal(task, caller)
        finally:
            self._last_task_at = time.monotonic()
            self._busy.discard(me)

    def _is_idle(self, idle_s: float) -> bool:
        quiet_s = time.monotonic() - self._last_task_at
        return self._source.is_up and not self._busy and quiet_s >= idle_s

    def _whence(self) -> str:
        url = self._settings.amqp_url
        if url is None:
            return without_password(self._settings.url)
        return f"{self._settings.retry_queue} at {without_password(url)}"

    @contextmanager
    def _signals_noted(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        def on_signal(number: int, frame: FrameType | None) -> None:
            self._signalled = True
            restore()

        for number in before:
            signal.signal(number, on_signal)
        try:
            yield
        finally:
            restore()


def source_for(settings: Settings, worker: str, handlers: Handlers, concurrency: int) -> Source:
    """The broker's retry queue if there is a broker, else leases over HTTP."""
    prefetch = concurrency * 2
    if settings.amqp_url is not None:
        from dlq.worker.amqp_source import AmqpSource

        return AmqpSource(settings, worker=worker, prefetch=prefetch)
    from dlq.worker.http_source import HttpSource

    return HttpSource(settings, worker=worker, error_types=handlers.error_types, prefetch=prefetch)
