"""Serves the manager until SIGTERM or SIGINT."""

from __future__ import annotations

import errno
import gc
import logging
import os
import signal
import socket
import threading
from types import FrameType
from typing import Any

import uvicorn

from dlq.errors import SettingsError
from dlq.manager.app import create_app
from dlq.manager.service import Manager
from dlq.settings import Settings

logger = logging.getLogger(__name__)

GRACEFUL_S = 3
"""For requests in flight; with the manager's own stop it all stays within 10 s."""
LAST_RESORT_S = 9.0
"""A database that is frozen, not down, never answers a query under way, and no thread that
waits for it can be ended. Nothing is lost by an end there: what is not committed was not acked."""


class _Server(uvicorn.Server):
    """A stop by signal is an orderly end: long polls are told at once, and the exit code is 0
    (uvicorn would raise the signal again after the shutdown)."""

    def __init__(self, config: uvicorn.Config, manager: Manager) -> None:
        super().__init__(config)
        self._manager = manager

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self._manager.stopping.is_set():
            last_resort = threading.Timer(LAST_RESORT_S, _end_now)
            last_resort.daemon = True
            last_resort.start()
        self._manager.stopping.set()
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True  # Ctrl-C twice: now
        self.should_exit = True


def _end_now() -> None:
    logger.error("Threads still run %.0f s after the stop; ending without them", LAST_RESORT_S)
    os._exit(0)


def serve(settings: Settings) -> None:
    """Run the manager; returns after a clean stop.

    Raises:
        SettingsError: the address cannot be listened on, or must not be without a token.
        LedgerUnavailable: the ledger cannot be opened.
    """
    listener = _listen(settings)
    with listener:
        manager = Manager(settings)
        config = uvicorn.Config(
            create_app(manager),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACEFUL_S,
        )
        host, port = listener.getsockname()[:2]
        logger.info("Serving on http://%s:%d", f"[{host}]" if ":" in host else host, port)
        # Hundreds of thousands of objects, of libraries mostly, are here for good: a garbage
        # collection in the middle of an answer need not walk through them.
        gc.collect()
        gc.freeze()
        _Server(config, manager).run(sockets=[listener])


def _listen(settings: Settings) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM
        )[0]
        return _bound(family, address)
    except OSError as error:
        hint = "Another process has the port: stop it, or pass --port."
        if error.errno != errno.EADDRINUSE:
            hint = "Check --host and --port."
        raise SettingsError(
            f"Cannot listen on {settings.host}:{settings.port}: {error.strerror or error}. {hint}"
        ) from error


def _bound(family: socket.AddressFamily, address: Any) -> socket.socket:
    # The protocol is named for asyncio, which else leaves Nagle's algorithm on: each small
    # answer would wait 40 ms for the other side's delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener
