"""RabbitMQ by pika: messages and channels that are refused."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book
from tests.corpus.plans import silent

BOOK = Book("bus", error_type="general")

_AMQP = App(
    "shared/bus.py",
    """
    import pika


    def link(url, seconds=2.0):
        parameters = pika.URLParameters(url)
        parameters.socket_timeout = seconds
        parameters.stack_timeout = seconds
        return pika.BlockingConnection(parameters)


    def announce(url, key, body):
        with link(url) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.basic_publish("amq.direct", key, body, mandatory=True)


    def to_exchange(url, exchange):
        with link(url) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.basic_publish(exchange, "a.b", b"x")


    def full(url, queue):
        with link(url) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.queue_declare(
                queue, exclusive=True,
                arguments={"x-max-length": 1, "x-overflow": "reject-publish"},
            )
            for _ in range(3):
                channel.basic_publish("", queue, b"x")


    def closed_channel(url, key):
        with link(url) as connection:
            channel = connection.channel()
            channel.close()
            channel.basic_publish("", key, b"x")


    def join(url):
        with link(url):
            pass


    def wait_for_broker(url, seconds):
        with link(url, seconds):
            pass
    """,
)


for _name, _category, _app, _function, _setting in (
    (
        "amqp-unroutable",
        Category.NOT_FOUND,
        _AMQP,
        "announce",
        lambda w, v: (w.vhost(), f"no.{v.id}", v.title.encode()),
    ),
    (
        "amqp-no-exchange",
        Category.NOT_FOUND,
        _AMQP,
        "to_exchange",
        lambda w, v: (w.vhost(), f"songs.{v.id}"),
    ),
    ("amqp-nack", Category.RESOURCE, _AMQP, "full", lambda w, v: (w.vhost(), f"tiny.{v.id}")),
    ("amqp-closed-channel", Category.BUG, _AMQP, "closed_channel", lambda w, v: (w.vhost(), v.id)),
    (
        "amqp-silent",
        Category.TIMEOUT,
        _AMQP,
        "wait_for_broker",
        lambda w, v: ("amqp://{}:{}/%2F".format(*w.tcp(silent)), v.seconds),
    ),
    (
        "amqp-refused",
        Category.NETWORK,
        _AMQP,
        "join",
        lambda w, v: ("amqp://{}:{}/%2F".format(*w.refused(v.port)),),
    ),
):
    BOOK.cause(_name, _category, _app, _function, _setting)
