"""Publishes to the manager's HTTP API; the transport of the embedded shape, without a broker.

One thread collects what waits and posts it in one request. A message counts as confirmed
only by the manager's own answer to it. Faults that mending the other side or the token
cures come as `BrokerUnavailable`, so that the messages wait in the spool; what the manager
will never take, as `PublishRejected`, and never at the cost of those posted with it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2

from dlq.errors import BrokerUnavailable, PublishRejected, TransportError
from dlq.message import REPLAY_ID_HEADER, WireMessage
from dlq.settings import MIB, Settings, without_password

logger = logging.getLogger(__name__)

BATCH_COUNT = 1000
BATCH_BYTES = 8 * MIB
BACKLOG_BYTES = 128 * MIB
"""Held at most while the manager does not answer; beyond it a publish fails at once."""
ANSWER_CHARS = 300
_TOKEN_HINT = "Set DLQ_TOKEN to a token of the role operator; the messages are kept until then."  # noqa: S105


@dataclass(frozen=True, slots=True)
class _Pending:
    document: bytes
    future: Future[None] = field(default_factory=Future)


class HttpPublisher:
    """A `Publisher` over `POST {DLQ_URL}/dlq/messages`.

    Args:
        name: of the thread, for people who look at threads.
    """

    def __init__(self, settings: Settings, *, name: str) -> None:
        self.destination = without_password(settings.url)
        self._endpoint = f"{settings.url}/dlq/messages"
        self._name = name
        self._client = _http_client(settings)
        self._quiet = _without_requests_to(self._endpoint)
        logging.getLogger("httpx2").addFilter(self._quiet)
        self._changed = threading.Condition()
        self._waiting: deque[_Pending] = deque()
        self._waiting_bytes = 0
        self._posting: Sequence[_Pending] = ()
        self._closed = False
        self._up = True
        self._thread: threading.Thread | None = None

    @property
    def is_up(self) -> bool:
        """Whether the newest request was answered as expected; True before the first."""
        return self._up and not self._closed

    def publish(self, wire: WireMessage) -> Future[None]:
        """See `Publisher.publish`."""
        try:
            pending = _Pending(_document(wire))
        except ValueError as error:
            refused = _Pending(b"")
            _resolve([refused], PublishRejected(f"expected a body of JSON: {error}"))
            return refused.future
        pending.future.set_running_or_notify_cancel()
        with self._changed:
            refusal = self._refusal(len(pending.document))
            if refusal is None:
                self._waiting.append(pending)
                self._waiting_bytes += len(pending.document)
                self._changed.notify()
        if refusal is not None:
            _resolve([pending], BrokerUnavailable(refusal))
        return pending.future

    def close(self, timeout_s: float) -> None:
        """Let go of the connection; what is unconfirmed fails with `BrokerUnavailable`."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout_s)
        reason = f"the connection to {self.destination} was closed"
        self._fail_waiting(reason)
        _resolve(self._posting, BrokerUnavailable(reason))
        self._client.close()
        logging.getLogger("httpx2").removeFilter(self._quiet)

    def _refusal(self, size: int) -> str | None:
        if self._closed:
            return f"the connection to {self.destination} was closed"
        if self._waiting and self._waiting_bytes + size > BACKLOG_BYTES:
            return f"{self.destination} does not keep up: {self._waiting_bytes} bytes wait"
        if self._thread is None:
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # no more threads, or the interpreter goes down
                return f"cannot publish now: {error}"
            self._thread = thread
        return None

    # --- on the thread ---

    def _run(self) -> None:
        while batch := self._next_batch():
            self._posting = batch
            try:
                self._post(batch)
            except Exception as error:  # nobody else would resolve the futures
                logger.exception("Posting to %s failed", self.destination)
                _resolve(batch, BrokerUnavailable(repr(error)))
            self._posting = ()

    def _next_batch(self) -> list[_Pending]:
        """What waits, up to the bounds of one request; [] once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return []
            batch: list[_Pending] = []
            size = 0
            while self._waiting and len(batch) < BATCH_COUNT:
                size += len(self._waiting[0].document)
                if batch and size > BATCH_BYTES:
                    break
                batch.append(self._waiting.popleft())
            self._waiting_bytes -= sum(len(pending.document) for pending in batch)
            return batch

    def _post(self, batch: Sequence[_Pending]) -> None:
        try:
            self._request(batch)
        except PublishRejected as error:
            self._up = True
            if len(batch) == 1:
                _resolve(batch, error)
                return
            # One of them is at fault: halve until it is alone.
            middle = len(batch) // 2
            self._post(batch[:middle])
            self._post(batch[middle:])
        except BrokerUnavailable as error:
            self._up = False
            _resolve(batch, error)
            self._fail_waiting(str(error))  # rather than a time-out for each of them
        else:
            self._up = True
            _resolve(batch)

    def _request(self, batch: Sequence[_Pending]) -> None:
        body = b"[" + b",".join(pending.document for pending in batch) + b"]"
        try:
            answer = self._client.post(self._endpoint, content=body)
        except httpx2.HTTPError as error:
            raise BrokerUnavailable(
                f"The manager at {self.destination} cannot be reached: {error!r}. Is it running "
                "(`dlq serve`), and is DLQ_URL right?"
            ) from error
        _check(answer, len(batch), self.destination)

    def _fail_waiting(self, reason: str) -> None:
        with self._changed:
            left, self._waiting = self._waiting, deque()
            self._waiting_bytes = 0
        _resolve(left, BrokerUnavailable(reason))


def _http_client(settings: Settings) -> httpx2.Client:
    headers = {"content-type": "application/json"}
    if settings.token is not None:
        headers["authorization"] = f"Bearer {settings.token.get_secret_value()}"
    return httpx2.Client(
        headers=headers,
        timeout=settings.confirm_timeout_s,
        trust_env=not _is_loopback(urlsplit(settings.url).hostname or ""),
    )


def _without_requests_to(endpoint: str) -> Callable[[logging.LogRecord], bool]:
    """httpx2 logs each request as INFO: of no use in the log of somebody's pipeline."""
    return lambda record: endpoint not in record.getMessage()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _document(wire: WireMessage) -> bytes:
    replay_id = wire.headers.get(REPLAY_ID_HEADER)
    if replay_id is None:
        return wire.body
    return json.dumps(json.loads(wire.body) | {"replay_id": replay_id}).encode()


def _check(answer: httpx2.Response, expected: int, destination: str) -> None:
    """Raises: BrokerUnavailable, PublishRejected: anything but the manager's confirmation."""
    if answer.status_code == httpx2.codes.CREATED and _accepted(answer) == expected:
        return
    said = f"The manager at {destination} answered {answer.status_code}: {_said(answer)}"
    if answer.status_code in (httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN):
        raise BrokerUnavailable(f"{said.rstrip('.')}. {_TOKEN_HINT}")
    if answer.status_code in (400, 413, 422):
        raise PublishRejected(said)
    raise BrokerUnavailable(
        f"{said}. Expected 201 and {expected} accepted; is DLQ_URL the manager's?"
    )


def _accepted(answer: httpx2.Response) -> Any:
    try:
        return answer.json()["accepted"]
    except (ValueError, KeyError, TypeError):
        return None


def _said(answer: httpx2.Response) -> str:
    try:
        text = str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        text = answer.text
    # It goes into logs, and whoever answers at that address may be anybody.
    return "".join(
        c if c.isprintable() else "\ufffd" for c in " ".join(text[:ANSWER_CHARS].split())
    )


def _resolve(batch: Iterable[_Pending], error: TransportError | None = None) -> None:
    for pending in batch:
        with contextlib.suppress(InvalidStateError):  # already failed, by `close`
            if error is None:
                pending.future.set_result(None)
            else:
                # Each its own: an exception raised in many threads gathers their tracebacks.
                pending.future.set_exception(type(error)(str(error)))
