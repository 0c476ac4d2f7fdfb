"""Bare sockets and what the system says of them."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book
from tests.corpus.plans import reset, silent

BOOK = Book("socket")

_APP = App(
    "clients/feeds.py",
    """
    import socket


    def read_feed(host, port, timeout):
        with socket.create_connection((host, port), timeout=timeout) as feed:
            feed.sendall(b"GET\\\\n")
            return feed.recv(100)


    def push(host, port):
        with socket.create_connection((host, port), timeout=1) as feed:
            feed.recv(10)
            for _ in range(50):
                feed.sendall(b"x" * 100000)


    def resolve(name):
        return socket.getaddrinfo(name, 443)

    """,
)

BOOK.cause(
    "read-timeout",
    Category.TIMEOUT,
    _APP,
    "read_feed",
    lambda w, v: (*w.tcp(silent), v.seconds),
)
BOOK.cause(
    "refused",
    Category.NETWORK,
    _APP,
    "read_feed",
    lambda w, v: (*w.refused(v.port), 1.0),
)
BOOK.cause("reset", Category.NETWORK, _APP, "push", lambda w, v: w.tcp(reset))
BOOK.cause(
    "unknown-host",
    Category.NETWORK,
    _APP,
    "resolve",
    lambda w, v: (f"feed-{v.number}.songs.invalid",),
)
