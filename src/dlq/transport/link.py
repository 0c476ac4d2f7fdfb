"""Keeps one connection up: connect, set up, notice the end, wait, again.

There is one cure for every fault: drop the connection and build all of it anew. Nothing is
mended in place, so there is one path, and each test of it tests all.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Awaitable, Callable
from enum import StrEnum

from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import AMQPError

from dlq.backoff import equal_jitter
from dlq.errors import BrokerUnavailable, DLQError, TopologyError
from dlq.settings import Settings, without_password
from dlq.transport.connection import (
    BrokerConnection,
    connection_parameters,
    explain,
    open_connection,
)
from dlq.transport.io_thread import io_loop, on_io_thread

logger = logging.getLogger(__name__)

ATTEMPT_TIMEOUT_S = 15.0
"""For one attempt: resolve, connect, TLS, log in, declare."""

RECONNECT_BASE_S = 0.1
STABLE_S = 5.0
"""A connection that lived this long was sound: the next pause starts small again."""

EXPECTED = (AMQPError, AMQPConnectorException, OSError, ValueError, DLQError)
"""How a connection may end, or not come about. OSError: time-outs too."""


class LinkState(StrEnum):
    NEW = "new"  # the first attempt is not decided yet
    UP = "up"
    DOWN = "down"  # and trying
    CLOSED = "closed"  # for good


class Link:
    """One supervised connection.

    Args:
        name: for the broker's list of connections, and for logs.
        set_up: awaited on the I/O thread with each new connection; up once it returns.
        on_down: called on the I/O thread with the reason, when the link goes down, and when
            the first attempt fails or is not decided within `confirm_timeout_s`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        name: str,
        set_up: Callable[[BrokerConnection], Awaitable[None]],
        on_down: Callable[[DLQError], None],
    ) -> None:
        if settings.amqp_url is None:
            raise TopologyError(
                "no broker is configured: set DLQ_BROKER_URL or RABBITMQ_HOST to use RabbitMQ"
            )
        self.state = LinkState.NEW
        self.last_error: str | None = None
        self._settings = settings
        self._where = without_password(settings.amqp_url)
        self._name = name
        self._set_up = set_up
        self._on_down = on_down
        self._task: asyncio.Task[None] | None = None
        self._connection: BrokerConnection | None = None
        self._ended_by: DLQError | None = None
        self._came_up = asyncio.Event()
        self._launched = False
        self._closing: asyncio.Task[None] | None = None

    @property
    def is_up(self) -> bool:
        return self.state is LinkState.UP

    def start(self) -> None:
        """Begin, if it has not begun; from any thread."""
        if not self._launched and self.state is not LinkState.CLOSED:
            self._launched = True
            io_loop().call_soon_threadsafe(self._launch)

    async def connection(self) -> BrokerConnection:
        """The connection, once it is up; on the I/O thread. The caller bounds the wait."""
        while self._connection is None or not self.is_up:
            await self._came_up.wait()
        return self._connection

    def restart(self, why: DLQError) -> None:
        """Drop the connection and build it anew; on the I/O thread."""
        if self._connection is not None:
            self._ended_by = self._ended_by or why
            self._connection.abort()

    def close(self, timeout_s: float) -> None:
        """End for good; from any thread. Waits for the broker's goodbye at most `timeout_s`."""
        self.state = LinkState.CLOSED
        if not self._launched:
            return
        done = threading.Event()
        io_loop().call_soon_threadsafe(self._start_closing, timeout_s, done)
        if not on_io_thread():
            done.wait(timeout_s + 1.0)

    # --- on the I/O thread ---

    def _launch(self) -> None:
        if self._task is None and self.state is not LinkState.CLOSED:
            self._task = asyncio.get_running_loop().create_task(self._supervise())
            asyncio.get_running_loop().call_later(
                self._settings.confirm_timeout_s, self._end_patience
            )

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while self.state is not LinkState.CLOSED:
            born = loop.time()
            error = await self._live()
            failures = 1 if loop.time() - born > STABLE_S else failures + 1
            self._goes_down(error)
            await asyncio.sleep(
                equal_jitter(
                    failures, base_s=RECONNECT_BASE_S, cap_s=self._settings.reconnect_max_s
                )
            )

    async def _live(self) -> DLQError:
        """One connection from first to last; returns why it ended."""
        try:
            async with asyncio.timeout(ATTEMPT_TIMEOUT_S):
                self._connection = await open_connection(
                    connection_parameters(self._settings, self._full_name())
                )
                await self._set_up(self._connection)
            self._comes_up()
            error: BaseException = await asyncio.shield(self._connection.lost)
        except EXPECTED as failure:
            error = failure
        except Exception as failure:  # whatever it was, the supervisor must outlive it
            logger.exception("%s: unexpected failure of the connection", self._name)
            error = failure
        finally:
            if self._connection is not None:
                self._connection.abort()
                self._connection = None
        ended_by, self._ended_by = self._ended_by, None
        if ended_by is not None:
            return ended_by
        return error if isinstance(error, DLQError) else explain(error, self._settings)

    def _comes_up(self) -> None:
        if self.state is LinkState.CLOSED:
            return
        self.state = LinkState.UP
        self.last_error = None
        self._came_up.set()
        logger.info("%s: connected to RabbitMQ at %s", self._name, self._where)

    def _goes_down(self, error: DLQError) -> None:
        if self.state is LinkState.CLOSED:
            return
        self._came_up.clear()
        news = str(error) != self.last_error
        logger.log(
            logging.WARNING if news else logging.DEBUG,
            "%s: not connected, trying again: %s",
            self._name,
            error,
        )
        self.last_error = str(error)
        self.state = LinkState.DOWN
        self._on_down(error)

    def _end_patience(self) -> None:
        """The first attempt goes on, but nobody waits for it any longer."""
        if self.state is LinkState.NEW:
            self._goes_down(
                BrokerUnavailable(
                    f"RabbitMQ at {self._where}: no connection within "
                    f"{self._settings.confirm_timeout_s:g} s"
                )
            )

    def _start_closing(self, timeout_s: float, done: threading.Event) -> None:
        self._closing = asyncio.get_running_loop().create_task(self._close(timeout_s, done))

    async def _close(self, timeout_s: float, done: threading.Event) -> None:
        connection = self._connection
        if connection is not None and connection.is_open:
            connection.close()
            await asyncio.wait({connection.lost}, timeout=timeout_s)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        self._on_down(BrokerUnavailable(f"{self._name} was closed"))
        done.set()

    def _full_name(self) -> str:
        return f"{self._name} {socket.gethostname()} {os.getpid()}"
