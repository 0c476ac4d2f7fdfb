"""Other sides for a client under test: one in memory, one that speaks HTTP as the manager does."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from dlq.errors import (
    BrokerUnavailable,
    PublishNacked,
    PublishRejected,
    PublishReturned,
    TransportError,
)
from dlq.message import WireMessage
from dlq.settings import Settings

FAULTS: dict[str, type[TransportError]] = {
    "down": BrokerUnavailable,
    "nack": PublishNacked,
    "return": PublishReturned,
    "reject": PublishRejected,
}


class MemoryPublisher:
    """A `Publisher` that confirms, fails or hangs as `mode` says.

    Modes: confirm, hang (never resolves), and the names in `FAULTS`. `rejects` picks messages
    that are rejected in any mode.
    """

    def __init__(self, destination: str = "memory://test", mode: str = "confirm") -> None:
        self.destination = destination
        self.mode = mode
        self.rejects: Callable[[WireMessage], bool] = lambda _wire: False
        self.confirmed: list[WireMessage] = []
        self.calls = 0
        self.closed = False
        self._lock = threading.Lock()
        self._hanging: list[Future[None]] = []

    def __call__(self, _settings: Settings) -> Self:
        """Stands where a client is given the way to open its publisher."""
        return self

    @property
    def is_up(self) -> bool:
        return self.mode == "confirm"

    @property
    def confirmed_ids(self) -> list[str]:
        return [wire.properties["message_id"] for wire in self.confirmed]

    def publish(self, wire: WireMessage) -> Future[None]:
        future: Future[None] = Future()
        with self._lock:
            self.calls += 1
            if self.rejects(wire):
                future.set_exception(PublishRejected("it is not wanted"))
            elif self.mode == "confirm":
                self.confirmed.append(wire)
                future.set_result(None)
            elif self.mode == "hang":
                self._hanging.append(future)
            else:
                future.set_exception(FAULTS[self.mode](f"injected: {self.mode}"))
        return future

    def close(self, timeout_s: float) -> None:
        self.closed = True
        with self._lock:
            for future in self._hanging:
                future.set_exception(BrokerUnavailable("closed"))
            self._hanging.clear()


Answer = tuple[int, Any]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that was killed resets its connection: no news here."""


class Intake:
    """An HTTP server with the manager's `POST /dlq/messages`. `answer` may be replaced to
    script what comes back: it gets the posted documents, returns status and JSON (or text)."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.posts: list[list[dict[str, Any]]] = []
        self.tokens: list[str | None] = []
        self.answer: Callable[[list[dict[str, Any]]], Answer] = accept
        self._server = _Server(("127.0.0.1", port), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def ids(self) -> list[str]:
        """Of all documents that were posted, in order."""
        return [document["message_id"] for post in list(self.posts) for document in post]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        intake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet an answer, not two that wait for each other
            timeout = 5

            def do_POST(self) -> None:
                documents = json.loads(self.rfile.read(int(self.headers["content-length"])))
                intake.tokens.append(self.headers["authorization"])
                status, content = intake.answer(documents)
                if status == 201:
                    intake.posts.append(documents)
                body = (content if isinstance(content, str) else json.dumps(content)).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def accept(documents: list[dict[str, Any]]) -> Answer:
    results = [{"message_id": d["message_id"], "disposition": "stored"} for d in documents]
    return 201, {"accepted": len(documents), "results": results}
