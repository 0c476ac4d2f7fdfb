"""Questions and orders to the broker beside the messages: topology and depths.

It has a connection of its own: an alarm blocks connections that publish, and a refused
declaration must not disturb a consumer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import TypeVar

from pika.exceptions import AMQPError

from dlq.errors import BrokerUnavailable, DLQError
from dlq.settings import Settings
from dlq.topology import topology_of
from dlq.transport.connection import BrokerConnection, explain
from dlq.transport.declare import Declarer, Mismatch, QueueDepth, depth_of
from dlq.transport.io_thread import io_loop, survive_forks
from dlq.transport.link import Link, LinkState

T = TypeVar("T")


class AmqpControl:
    """Blocking calls, each bounded; from any thread but the I/O thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topology = topology_of(settings)
        self._declarer = Declarer(self._topology)
        self._begin()
        survive_forks(self)
        self._link.start()

    def _begin(self) -> None:
        self._link = Link(
            self._settings, name="dlq-control", set_up=_nothing_to_do, on_down=lambda _: None
        )

    def after_fork(self) -> None:
        """The child connects when it first asks."""
        if self._link.state is not LinkState.CLOSED:
            self._begin()

    @property
    def is_up(self) -> bool:
        self._link.start()
        return self._link.is_up

    @property
    def last_error(self) -> str | None:
        """Why it is not up, as last known."""
        return self._link.last_error

    def ensure_topology(self, timeout_s: float) -> list[Mismatch]:
        """Declare what lacks, use what exists, and tell what is otherwise than it should be.

        Raises:
            BrokerUnavailable: no connection, or no answer within `timeout_s`.
            TopologyError: the exchange exists with another type.
        """

        async def act(connection: BrokerConnection) -> list[Mismatch]:
            await self._declarer.ensure(connection)
            return await self._declarer.mismatches(connection)

        return self._run(act, timeout_s)

    def inspect(self, timeout_s: float) -> dict[str, QueueDepth | None]:
        """Depth and consumers of each queue by name; None where they are not known (no such
        queue, or no answer within `timeout_s`).

        0 ready may also mean that a quorum queue has no leader just now: AMQP cannot tell.

        Raises:
            BrokerUnavailable: no connection within `timeout_s`.
        """

        async def act(connection: BrokerConnection) -> dict[str, QueueDepth | None]:
            depths = await asyncio.gather(
                *(
                    _within(timeout_s * 0.8, depth_of(connection, queue.name))
                    for queue in self._topology.queues
                )
            )
            names = [queue.name for queue in self._topology.queues]
            return dict(zip(names, depths, strict=True))

        return self._run(act, timeout_s)

    def close(self, timeout_s: float) -> None:
        """Let go of the connection."""
        self._link.close(timeout_s)

    def _run(self, act: Callable[[BrokerConnection], Awaitable[T]], timeout_s: float) -> T:
        self._link.start()
        asked: Future[T] = asyncio.run_coroutine_threadsafe(
            self._with_connection(act, timeout_s), io_loop()
        )
        try:
            return asked.result(timeout_s + 1.0)
        except TimeoutError as error:
            asked.cancel()
            raise BrokerUnavailable("the I/O thread is kept busy by a callback") from error

    async def _with_connection(
        self, act: Callable[[BrokerConnection], Awaitable[T]], timeout_s: float
    ) -> T:
        try:
            async with asyncio.timeout(timeout_s):
                return await act(await self._link.connection())
        except DLQError:
            raise
        except TimeoutError as error:
            raise BrokerUnavailable(
                self._link.last_error or f"RabbitMQ gave no answer within {timeout_s:g} s"
            ) from error
        except AMQPError as error:
            raise explain(error, self._settings) from error


async def _nothing_to_do(_connection: BrokerConnection) -> None:
    """A control connection is ready as soon as it is open."""


async def _within(timeout_s: float, question: Awaitable[QueueDepth | None]) -> QueueDepth | None:
    try:
        async with asyncio.timeout(timeout_s):
            return await question
    except TimeoutError:
        return None
