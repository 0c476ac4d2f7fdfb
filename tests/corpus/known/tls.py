"""TLS that fails: certificates that are wrong, and servers that do not speak it."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book
from tests.corpus.plans import answering, closing_at_once, reply, saying

BOOK = Book("tls")

_APP = App(
    "clients/secure.py",
    """
    import socket
    import ssl

    import httpx
    import requests


    def by_requests(url, authority):
        return requests.get(f"{url}/health", verify=authority, timeout=1).text


    def by_httpx(url, context):
        with httpx.Client(verify=context, timeout=1.0) as client:
            return client.get(f"{url}/health").text


    def handshake(host, port, context):
        with socket.create_connection((host, port), timeout=1) as plain:
            with context.wrap_socket(plain, server_hostname=host) as secure:
                return secure.version()


    def connect(host, port, context):
        with socket.create_connection((host, port), timeout=1) as plain:
            return context.wrap_socket(plain, server_hostname=host)
    """,
)

_OK = answering(reply(200, "ok"))

BOOK.cause(
    "requests-self-signed",
    Category.NETWORK,
    _APP,
    "by_requests",
    lambda w, v: (
        w.https(_OK, w.authority.server(hosts=("127.0.0.1",), trusted=False)),
        str(w.authority.bundle),
    ),
)
BOOK.cause(
    "httpx-expired",
    Category.NETWORK,
    _APP,
    "by_httpx",
    lambda w, v: (
        w.https(_OK, w.authority.server(hosts=("127.0.0.1",), days_old=20, days_left=-v.index - 1)),
        w.authority.client(),
    ),
)
BOOK.cause(
    "ssl-wrong-host",
    Category.NETWORK,
    _APP,
    "handshake",
    lambda w, v: (
        *w.tls(_OK, w.authority.server(hosts=(f"api{v.number}.songs.example",))),
        w.authority.client(),
    ),
)
BOOK.cause(
    "ssl-plain-server",
    Category.NETWORK,
    _APP,
    "connect",
    lambda w, v: (*w.tcp(saying(reply(400, "plain HTTP"))), w.authority.client()),
)
BOOK.cause(
    "ssl-eof",
    Category.NETWORK,
    _APP,
    "connect",
    lambda w, v: (*w.tcp(closing_at_once), w.authority.client()),
)
