"""RabbitMQ, by pika: what the broker closes a channel or a connection for."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book
from tests.corpus.plans import closing_at_once

BOOK = Book("broker", error_type="general")

_APP = App(
    "queueing/publish.py",
    """
    import pika


    def connection(url):
        parameters = pika.URLParameters(url)
        parameters.socket_timeout = 2
        parameters.blocked_connection_timeout = 2
        return pika.BlockingConnection(parameters)


    def depth(url, queue):
        with connection(url) as link:
            return link.channel().queue_declare(queue, passive=True).method.message_count


    def ensure(url, queue):
        with connection(url) as link:
            channel = link.channel()
            channel.queue_declare(queue, durable=True)
            try:
                channel.queue_declare(queue, durable=False)
            finally:
                link.channel().queue_delete(queue)


    def publish(url, key, body):
        with connection(url) as link:
            channel = link.channel()
            channel.confirm_delivery()
            channel.basic_publish("amq.topic", key, body, mandatory=True)
    """,
)

BOOK.cause(
    "no-queue",
    Category.NOT_FOUND,
    _APP,
    "depth",
    lambda w, v: (w.vhost(), f"enrich.{v.id}"),
)
BOOK.cause(
    "other-arguments",
    Category.INVALID_DATA,
    _APP,
    "ensure",
    lambda w, v: (w.vhost(), f"enrich.{v.id}"),
)
BOOK.cause(
    "wrong-password",
    Category.AUTH,
    _APP,
    "depth",
    lambda w, v: (w.broker.url("/", password=v.digest[:9]), "enrich"),
)
BOOK.cause(
    "refused",
    Category.NETWORK,
    _APP,
    "publish",
    lambda w, v: ("amqp://{}:{}/%2F".format(*w.refused(v.port)), "a.b", v.title.encode()),
)
BOOK.cause(
    "closed-at-handshake",
    Category.NETWORK,
    _APP,
    "publish",
    lambda w, v: ("amqp://{}:{}/%2F".format(*w.tcp(closing_at_once)), "a.b", v.title.encode()),
)
