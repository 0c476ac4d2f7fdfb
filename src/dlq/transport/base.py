"""What client, manager and worker ask of a transport.

Two implementations: `amqp.py` (RabbitMQ, by pika) and `http.py` (the manager's API). Both
keep their I/O on a thread of their own, so that every method here may be called from any
thread, inside a running asyncio loop, or inside a Twisted reactor.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from dlq.message import WireMessage


class Publisher(Protocol):
    """Hands messages over and tells when each is safe on the other side."""

    @property
    def destination(self) -> str:
        """Where it publishes, without secrets: the spool keys its entries by it."""
        ...

    @property
    def is_up(self) -> bool:
        """Whether a publish now would go out at once, as far as is known."""
        ...

    def publish(self, wire: WireMessage) -> Future[None]:
        """Send one message; returns at once, never raises, never blocks.

        The future resolves to None once the other side has confirmed custody, or fails with
        a `TransportError`: `BrokerUnavailable`, `PublishNacked`, `PublishReturned`,
        `PublishRejected`. It may also never resolve (a broker without quorum or under an
        alarm hangs): the caller bounds its wait, and a message whose wait ran out may still
        arrive: send it again under the same message_id.
        """
        ...

    def close(self, timeout_s: float) -> None:
        """Let go of the connection; what is unconfirmed fails with `BrokerUnavailable`."""
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message from a queue, not yet settled.

    `tag` means something only to the consumer that delivered it, and only while the
    connection it came by (`epoch`) lives: settling an older one does nothing, since the
    broker has already taken it back.
    """

    wire: WireMessage
    exchange: str
    queue: str
    redelivered: bool
    tag: int
    epoch: int
