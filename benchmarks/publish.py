"""How fast dead letters reach RabbitMQ, against pika's blocking client in the same run.

    .venv/bin/python -m benchmarks.publish [--messages 5000]

Starts a private node, declares the real topology (each failure goes to two durable quorum
queues), and publishes the same persistent, mandatory, confirmed messages in each way.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pika
from rich.console import Console
from rich.table import Table

from dlq.message import DLQMessage, WireMessage, encode, new_message_id, routing_key_for
from dlq.settings import Settings
from dlq.transport.amqp import AmqpControl, AmqpPublisher
from tests.support.rabbitmq import BrokerNode

THREADS = 32
TRACE = "Traceback (most recent call last):\n" + '  File "/app/enrich.py", line 7, in go\n' * 30


def letter(number: int) -> WireMessage:
    """A dead letter of the typical kind, about 2 KB with its trace."""
    message = DLQMessage.model_validate(
        {
            "message_id": new_message_id(),
            "routing_key": routing_key_for("spotify"),
            "timestamp": "2025-10-10T12:30:45Z",
            "retry_count": 3,
            "error_type": "spotify",
            "error_message": "Rate limit exceeded: 429 Too Many Requests",
            "stack_trace": TRACE,
            "source_service": "benchmark",
            "payload": {"track_id": f"track-{number}", "artist_name": "Deadmau5"},
        }
    )
    return encode(message)


def blocking(settings: Settings, letters: list[WireMessage]) -> None:
    """pika's BlockingConnection: one message, one confirm, one round trip."""
    connection = pika.BlockingConnection(pika.URLParameters(settings.amqp_url))
    channel = connection.channel()
    channel.confirm_delivery()
    for wire in letters:
        properties = pika.BasicProperties(headers=wire.headers, **wire.properties)
        channel.basic_publish(
            settings.exchange, wire.routing_key, wire.body, properties, mandatory=True
        )
    connection.close()


def pipelined(publisher: AmqpPublisher, letters: list[WireMessage]) -> None:
    """One thread, all in the window."""
    for confirm in [publisher.publish(wire) for wire in letters]:
        confirm.result(60)


def threaded(publisher: AmqpPublisher, letters: list[WireMessage]) -> None:
    """Many threads, each waiting for its own confirm, as in `except` blocks."""

    def work(mine: list[WireMessage]) -> None:
        for wire in mine:
            publisher.publish(wire).result(60)

    threads = [threading.Thread(target=work, args=(letters[n::THREADS],)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def rate(count: int, publish: Callable[[list[WireMessage]], None]) -> float:
    """Confirmed messages a second."""
    letters = [letter(number) for number in range(count)]
    started = time.perf_counter()
    publish(letters)
    return count / (time.perf_counter() - started)


def measure(settings: Settings, count: int) -> dict[str, float]:
    control = AmqpControl(settings)
    control.ensure_topology(30)
    publisher = AmqpPublisher(settings, name="benchmark")
    try:
        publisher.publish(letter(0)).result(30)
        return {
            "pika BlockingConnection, one at a time": rate(
                count // 5, lambda letters: blocking(settings, letters)
            ),
            f"AmqpPublisher, {THREADS} threads that wait": rate(
                count, lambda letters: threaded(publisher, letters)
            ),
            "AmqpPublisher, one thread, pipelined": rate(
                count, lambda letters: pipelined(publisher, letters)
            ),
        }
    finally:
        publisher.close(5)
        control.close(5)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--messages", type=int, default=5000)
    count = parser.parse_args().messages
    with tempfile.TemporaryDirectory() as folder:
        node = BrokerNode(Path(folder))
        try:
            node.start()
            rates = measure(Settings(broker_url=node.url(node.fresh_vhost())), count)
        finally:
            node.close()
    base = next(iter(rates.values()))
    table = Table("way", "messages/s", "ratio")
    for way, per_s in rates.items():
        table.add_row(way, f"{per_s:,.0f}", f"{per_s / base:.1f}")
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
