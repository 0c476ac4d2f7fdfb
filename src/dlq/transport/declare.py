"""Brings exchange, queues and bindings into being, and reports what is otherwise.

What exists is used as it is: nothing is ever deleted or changed. A question whose answer may
be an error goes over a channel of its own, since the broker answers an error by closing it.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pika.exceptions import ChannelClosedByBroker

from dlq.errors import TopologyError
from dlq.topology import EXCHANGE_TYPE, Queue, Topology
from dlq.transport.connection import (
    ACCESS_REFUSED,
    NOT_FOUND,
    PRECONDITION_FAILED,
    BrokerConnection,
    Channel,
    scratch_channel,
)

logger = logging.getLogger(__name__)

_INEQUIVALENT = re.compile(
    r"inequivalent arg '(?P<argument>[^']*)' for (?:queue|exchange) .*: "
    r"received (?P<ours>.*) but current is (?P<theirs>.*)",
    re.DOTALL,
)
_TYPED_VALUE = re.compile(r"the value '(?P<value>.*)' of type '[^']*'", re.DOTALL)


_Question = Callable[[Channel], tuple[Callable[..., Any], dict[str, Any]]]
"""Which method of a channel to call, with what."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A queue that exists with other arguments than ours.

    `problem` is the first difference that the broker named; `policy` the command that brings
    the queue in line, as far as a policy can.
    """

    queue: str
    problem: str
    policy: str


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """What a queue holds ready for delivery, and how many consumers it has."""

    ready: int
    consumers: int


class Declarer:
    """Declares one topology; remembers what it has complained of."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._complained = False

    async def ensure(self, connection: BrokerConnection) -> None:
        """Declare and bind what lacks, as far as the user may.

        Raises:
            TopologyError: the exchange exists with another type.
            AMQPError: the connection was lost.
        """
        await self._ensure_exchange(connection)
        await asyncio.gather(
            *(self._ensure_queue(connection, queue) for queue in self._topology.queues)
        )

    async def mismatches(self, connection: BrokerConnection) -> list[Mismatch]:
        """Compare every queue with what it should be."""
        compared = await asyncio.gather(
            *(self._compare(connection, queue) for queue in self._topology.queues)
        )
        return [mismatch for mismatch in compared if mismatch is not None]

    async def _compare(self, connection: BrokerConnection, queue: Queue) -> Mismatch | None:
        refusal = await _refusal(connection, _declaration(queue))
        if refusal is None:
            return None
        if refusal.reply_code == PRECONDITION_FAILED:
            return Mismatch(queue.name, readable(refusal.reply_text), queue.policy_command())
        self._complain(refusal)
        return None

    async def _ensure_queue(self, connection: BrokerConnection, queue: Queue) -> None:
        if not await self._exists(connection, queue):
            await self._ask(connection, _declaration(queue))
        await self._ask(connection, self._binding(queue))

    async def _ensure_exchange(self, connection: BrokerConnection) -> None:
        # Asking actively changes nothing if it exists, and a passive question hides its type.
        name = self._topology.exchange
        refusal = await _refusal(
            connection,
            lambda channel: (
                channel.raw.exchange_declare,
                {"exchange": name, "exchange_type": EXCHANGE_TYPE, "durable": True},
            ),
        )
        if refusal is None:
            return
        if refusal.reply_code == PRECONDITION_FAILED and "'type'" in refusal.reply_text:
            raise TopologyError(
                f"the exchange {name!r} must be of type {EXCHANGE_TYPE!r}, but "
                f"{readable(refusal.reply_text)}. Delete or rename it, or set DLQ_EXCHANGE to "
                "another name"
            )
        self._complain(refusal)

    async def _exists(self, connection: BrokerConnection, queue: Queue) -> bool:
        refusal = await _refusal(
            connection,
            lambda channel: (channel.raw.queue_declare, {"queue": queue.name, "passive": True}),
        )
        return refusal is None or refusal.reply_code != NOT_FOUND

    def _binding(self, queue: Queue) -> _Question:
        return lambda channel: (
            channel.raw.queue_bind,
            {
                "queue": queue.name,
                "exchange": self._topology.exchange,
                "routing_key": queue.pattern,
            },
        )

    async def _ask(self, connection: BrokerConnection, question: _Question) -> None:
        refusal = await _refusal(connection, question)
        if refusal is not None:
            self._complain(refusal)

    def _complain(self, refusal: ChannelClosedByBroker) -> None:
        """A user without the right to configure goes on with what exists; told once."""
        if not self._complained:
            self._complained = True
            hint = (
                ". Grant the user configure permission, or have an administrator create what lacks"
                if refusal.reply_code == ACCESS_REFUSED
                else ""
            )
            logger.warning(
                "the topology could not be declared in full, going on with what exists: %s%s",
                refusal.reply_text,
                hint,
            )


def _declaration(queue: Queue) -> _Question:
    return lambda channel: (
        channel.raw.queue_declare,
        {"queue": queue.name, "durable": True, "arguments": queue.arguments},
    )


async def _refusal(
    connection: BrokerConnection, question: _Question
) -> ChannelClosedByBroker | None:
    """Why the broker said no; None if it said yes."""
    async with scratch_channel(connection) as channel:
        method, options = question(channel)
        try:
            await channel.call(method, **options)
        except ChannelClosedByBroker as refusal:
            return refusal
    return None


async def depth_of(connection: BrokerConnection, queue: str) -> QueueDepth | None:
    """Its depth; None if it does not exist, or the user may not know."""
    async with scratch_channel(connection) as channel:
        try:
            answer = await channel.call(channel.raw.queue_declare, queue=queue, passive=True)
        except ChannelClosedByBroker:
            return None
    return QueueDepth(ready=answer.message_count, consumers=answer.consumer_count)


def readable(reply_text: str) -> str:
    """The broker's words on an argument that differs, as "x: expected A, it has B"."""
    match = _INEQUIVALENT.search(reply_text)
    if match is None:
        return reply_text.removeprefix("PRECONDITION_FAILED - ")
    ours, theirs = (_value(match[group]) for group in ("ours", "theirs"))
    return f"{match['argument']}: expected {ours}, it has {theirs}"


def _value(words: str) -> str:
    words = words.strip()
    typed = _TYPED_VALUE.fullmatch(words)
    return typed["value"] if typed else words.strip("'")
