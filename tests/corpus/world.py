"""The surroundings in which applications fail: servers, refused ports, databases, a broker.

One listening port serves every plan: each has an address of its own in 127.0.0.0/8, so that
hosts vary as they do in production. What is dear to start (PostgreSQL, RabbitMQ) starts when
it is first asked for. `close()` ends everything.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import socket
import socketserver
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import psycopg

from tests.corpus.certificates import Authority
from tests.corpus.plans import Plan, answering, over_tls
from tests.support.postgres import PostgresCluster, postgres_programs
from tests.support.rabbitmq import BIN, BrokerNode

if TYPE_CHECKING:
    import ssl

Address = tuple[str, int]


class World:
    """Everything that can be talked to. Use as a context manager.

    `postgres` and `broker`: ones that run already, to be left running.
    """

    def __init__(
        self, postgres: PostgresCluster | None = None, broker: BrokerNode | None = None
    ) -> None:
        self._postgres = postgres
        self._broker = broker
        self.folder = Path(tempfile.mkdtemp(prefix="dlq-corpus-"))
        self.authority = Authority(self.folder)
        self._numbers = itertools.count(2)
        self._plans: dict[str, Plan] = {}
        self._closers = contextlib.ExitStack()
        self._closers.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._starting = ThreadPoolExecutor(max_workers=2)
        self._server = self._listening()
        # httpx reads authorities anew for every client; those of certifi take 70 ms each time.
        self._closers.enter_context(
            patch.dict(os.environ, {"SSL_CERT_FILE": str(self.authority.bundle)})
        )

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all servers and remove what was written."""
        self._starting.shutdown()
        self._closers.close()

    def warm(self) -> None:
        """Begin to start the services, to have them when they are asked for."""
        self._starting.submit(lambda: self.broker)
        self._starting.submit(lambda: self.postgres)

    def _listening(self) -> _Server:
        server = _Server(self._plans)
        serving = threading.Thread(target=server.serve_forever, args=(0.02,))
        serving.start()
        self._closers.callback(server.server_close)
        self._closers.callback(serving.join)
        self._closers.callback(server.shutdown)
        return server

    # --- over TCP ---

    def tcp(self, plan: Plan) -> Address:
        """Where a server follows `plan`: a host of its own, and the common port."""
        host = self._host()
        self._plans[host] = plan
        return host, self._server.server_address[1]

    def http(self, *answers: bytes) -> str:
        """The base URL of a server that gives these answers in turn, the last for ever."""
        return self.url(answering(*answers))

    def url(self, plan: Plan, scheme: str = "http") -> str:
        host, port = self.tcp(plan)
        return f"{scheme}://{host}:{port}"

    def tls(self, plan: Plan, context: ssl.SSLContext | None = None) -> Address:
        """As `tcp`, behind TLS; without a context, with a certificate that is in order."""
        host, port = self.tcp(plan)
        self._plans[host] = over_tls(context or self.authority.server(hosts=(host,)), plan)
        return host, port

    def expired(self, plan: Plan, days: int) -> Address:
        """As `tls`, with a certificate that has expired so many days ago."""
        host, port = self.tcp(plan)
        context = self.authority.server(hosts=(host,), days_old=days + 20, days_left=-days)
        self._plans[host] = over_tls(context, plan)
        return host, port

    def https(self, plan: Plan, context: ssl.SSLContext | None = None) -> str:
        """The base URL behind TLS; without a context, with a certificate that is in order."""
        return "https://{}:{}".format(*self.tls(plan, context))

    def refused(self, port: int) -> Address:
        """A host, and a port next to `port` on which nobody listens."""
        host = self._host()
        for candidate in range(port, port + 1000):
            with socket.socket() as probe:
                if probe.connect_ex((host, candidate)) != 0:
                    return host, candidate
        raise RuntimeError(f"expected a free port from {port} on, found none in 1000")

    def unanswered(self) -> Address:
        """Where a connection is never accepted: the queue of the listener is full."""
        host = self._host()
        listener = self._closers.enter_context(socket.socket())
        listener.bind((host, 0))
        listener.listen(0)
        address: Address = listener.getsockname()
        for _ in range(2):
            filler = self._closers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(address)
        return address

    def _host(self) -> str:
        number = next(self._numbers)
        return f"127.{10 + number // 62500}.{number // 250 % 250}.{1 + number % 250}"

    # --- files ---

    def file(self, name: str, content: bytes | str = b"") -> Path:
        """A file with that content in a new folder."""
        folder = self.folder / f"f{next(self._numbers)}"
        folder.mkdir()
        path = folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    # --- services ---

    @cached_property
    def postgres(self) -> PostgresCluster:
        """A running PostgreSQL with a few tables, roles and rows in its database `postgres`."""
        cluster = self._postgres or self._own_postgres()
        cluster.execute(_SCHEMA)
        self._closers.callback(cluster.execute, _SCHEMA_GONE)
        self._ask_for_passwords(cluster)
        return cluster

    def _own_postgres(self) -> PostgresCluster:
        programs = postgres_programs()
        if programs is None:
            raise RuntimeError("expected PostgreSQL (Debian: apt install postgresql)")
        cluster = PostgresCluster(programs)
        self._closers.callback(cluster.remove)
        cluster.start()
        return cluster

    def _ask_for_passwords(self, cluster: PostgresCluster) -> None:
        """Of the role `locked`; returns when the server does so."""
        hba = Path(cluster.execute("SHOW hba_file")[0][0])
        hba.write_text("host all locked 127.0.0.1/32 scram-sha-256\n" + hba.read_text())
        cluster.execute("SELECT pg_reload_conf()")
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                psycopg.connect(cluster.url().replace("postgres@", "locked@")).close()
            except psycopg.OperationalError:
                return
            time.sleep(0.01)
        raise RuntimeError("expected PostgreSQL to ask for a password after its reload")

    @cached_property
    def broker(self) -> BrokerNode:
        """A running RabbitMQ."""
        if self._broker is not None:
            return self._broker
        if not (BIN / "rabbitmq-server").exists():
            raise RuntimeError("expected RabbitMQ (Debian: apt install rabbitmq-server)")
        folder = self.folder / "rabbitmq"
        folder.mkdir()
        node = BrokerNode(folder)
        self._closers.callback(node.close)
        node.start()
        return node

    def vhost(self) -> str:
        """The URL of the broker's own virtual host."""
        return self.broker.url("/")


_SCHEMA = """
CREATE ROLE locked LOGIN PASSWORD 'the-right-one';
CREATE ROLE few LOGIN CONNECTION LIMIT 0;
CREATE ROLE reader LOGIN;
CREATE TABLE artists (id bigint PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE tracks (
    id bigint PRIMARY KEY,
    artist_id bigint NOT NULL REFERENCES artists (id),
    isrc varchar(12) UNIQUE,
    title text NOT NULL,
    bpm numeric(5, 2) CHECK (bpm > 0)
);
CREATE TABLE plays (track_id bigint PRIMARY KEY, count integer NOT NULL);
INSERT INTO artists SELECT n, 'Artist ' || n FROM generate_series(1, 50) n;
INSERT INTO tracks SELECT n, n, 'ISRC' || n, 'Track ' || n, 120 FROM generate_series(1, 50) n;
INSERT INTO plays SELECT n, 0 FROM generate_series(1, 50) n;
"""
_SCHEMA_GONE = "DROP TABLE plays, tracks, artists; DROP ROLE locked, few, reader"


class _Server(socketserver.ThreadingTCPServer):
    """Listens on all of 127.0.0.0/8 and asks the plan of the address that was called."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, plans: dict[str, Plan]) -> None:
        self.plans = plans
        super().__init__(("0.0.0.0", 0), _Handler)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return str(client_address[0]).startswith("127.")

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went in the middle is what was wanted."""


class _Handler(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        plan = self.server.plans.get(self.request.getsockname()[0])
        if plan is not None:
            plan(self.request)
