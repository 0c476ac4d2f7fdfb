"""RabbitMQ by pika, and what RabbitMQ dead-letters by itself: nobody raised anything."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel

from dlq.classify import Category
from dlq.message import WireMessage
from dlq.transport.properties import properties_of
from tests.corpus.book import App, Book, Writing
from tests.corpus.plans import saying
from tests.corpus.variation import Variation
from tests.corpus.world import World

BOOK = Book("queues", error_type="general")

_PIKA = App(
    "queues/jobs.py",
    """
    import contextlib

    import pika


    @contextlib.contextmanager
    def channel(url):
        parameters = pika.URLParameters(url)
        parameters.socket_timeout = 1
        parameters.connection_attempts = 1
        connection = pika.BlockingConnection(parameters)
        try:
            yield connection.channel()
        finally:
            if connection.is_open:
                connection.close()


    def announce(url, key):
        with channel(url) as jobs:
            jobs.basic_publish("amq.topic", key, b"{}")


    def own(url, queue):
        with channel(url) as ours, channel(url) as theirs:
            ours.queue_declare(queue, exclusive=True)
            theirs.queue_declare(queue, passive=True)


    def settle(url, queue):
        with channel(url) as jobs:
            jobs.queue_declare(queue, exclusive=True)
            jobs.basic_publish("", queue, b"{}")
            method, _, _ = jobs.basic_get(queue)
            jobs.basic_ack(method.delivery_tag)
            jobs.basic_ack(method.delivery_tag)
            jobs.basic_get(queue)


    def oversized(url, queue):
        with channel(url) as jobs:
            arguments = {"x-max-priority": 1000}
            jobs.queue_declare(queue, exclusive=True, arguments=arguments)
    """,
)

for _name, _category, _function, _setting in (
    (
        "unknown-host",
        Category.NETWORK,
        "announce",
        lambda w, v: (f"amqp://broker-{v.number}.songs.invalid/%2F", f"track.{v.id}"),
    ),
    (
        "no-tls",
        Category.NETWORK,
        "announce",
        lambda w, v: (
            "amqps://{}:{}/%2F".format(*w.tcp(saying(b"AMQP\x00\x00\x09\x01"))),
            f"track.{v.id}",
        ),
    ),
    (
        "others-queue",
        Category.RESOURCE,
        "own",
        lambda w, v: (w.vhost(), f"jobs.{v.id}"),
    ),
    (
        "acked-twice",
        Category.BUG,
        "settle",
        lambda w, v: (w.vhost(), f"jobs.{v.id}"),
    ),
    (
        "too-many-priorities",
        Category.INVALID_DATA,
        "oversized",
        lambda w, v: (w.vhost(), f"jobs.{v.id}"),
    ),
):
    BOOK.cause(_name, _category, _PIKA, _function, _setting)


_PATIENCE_S = 5.0


def _dead(
    provider: str, kill: Callable[[BlockingChannel, str, bytes], None], **arguments: Any
) -> Writing:
    """A job that RabbitMQ dead-letters from a queue, as a consumer of the dead letters gets it."""

    def writing(w: World, v: Variation) -> WireMessage:
        queue, graves = f"{provider}.jobs.{v.number}", f"graves.{v.id}"
        with closing(pika.BlockingConnection(pika.URLParameters(w.vhost()))) as connection:
            channel = connection.channel()
            channel.queue_declare(graves, exclusive=True)
            arguments_ = {
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": graves,
                **{name.replace("_", "-"): value for name, value in arguments.items()},
            }
            channel.queue_declare(queue, durable=True, arguments=arguments_)
            try:
                kill(channel, queue, json.dumps({"id": v.id, "title": v.title}).encode())
                return _got(channel, graves, f"{provider}.enrichment.jobs")
            finally:
                channel.queue_delete(queue)

    return writing


def _got(channel: BlockingChannel, graves: str, routing_key: str) -> WireMessage:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        method, properties, body = channel.basic_get(graves, auto_ack=True)
        if method is not None:
            return WireMessage(body, routing_key, *properties_of(properties))
        channel.connection.sleep(0.01)
    raise RuntimeError("expected RabbitMQ to dead-letter the job, it did not")


def _reject(channel: BlockingChannel, queue: str, body: bytes) -> None:
    channel.basic_publish("", queue, body)
    channel.basic_reject(_next(channel, queue), requeue=False)


def _expire(channel: BlockingChannel, queue: str, body: bytes) -> None:
    channel.basic_publish("", queue, body, pika.BasicProperties(expiration="1"))


def _overflow(channel: BlockingChannel, queue: str, body: bytes) -> None:
    channel.basic_publish("", queue, body)
    channel.basic_publish("", queue, body)


def _exhaust(channel: BlockingChannel, queue: str, body: bytes) -> None:
    channel.basic_publish("", queue, body)
    for _ in range(2):
        channel.basic_nack(_next(channel, queue), requeue=True)


def _next(channel: BlockingChannel, queue: str) -> int:
    """The delivery tag of the next job, as soon as there is one."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        method, _, _ = channel.basic_get(queue)
        if method is not None:
            return int(method.delivery_tag)
        channel.connection.sleep(0.01)
    raise RuntimeError(f"expected a job in {queue}, found none")


for _name, _category, _writing in (
    ("rejected", Category.UNKNOWN, _dead("spotify", _reject)),
    ("expired", Category.TIMEOUT, _dead("musicbrainz", _expire)),
    ("maxlen", Category.RESOURCE, _dead("lastfm", _overflow, x_max_length=1)),
    (
        "delivery-limit",
        Category.UNKNOWN,
        _dead("analysis", _exhaust, x_queue_type="quorum", x_delivery_limit=1),
    ),
):
    BOOK.letter(_name, _category, _writing)
