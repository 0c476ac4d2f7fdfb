"""Streams, pools and limits of the machine; and tasks that do not end in time."""

from __future__ import annotations

import socket
from pathlib import Path

from dlq.classify import Category
from tests.corpus.book import App, Book
from tests.corpus.plans import closing, reset, saying, silent
from tests.corpus.world import World

BOOK = Book("machine2", error_type="general")

_APP = App(
    "runtime/limits.py",
    """
    import asyncio
    import concurrent.futures
    import gzip
    import queue
    import resource
    import socket
    import threading

    import numpy


    class Busy(Exception):
        pass


    def matrix(size):
        return numpy.ones((size, 10**9))


    def archive(size):
        with gzip.open("/dev/full", "wb") as packed:
            packed.write(bytes(size))


    def spill(rows):
        try:
            with open("/dev/full", "w") as file:
                file.writelines(rows)
        except OSError as error:
            raise Busy("the spill file cannot be written") from error


    def many_sockets(limit):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        opened = []
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            while True:
                opened.append(socket.socket())
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for one in opened:
                one.close()


    async def offer(rows):
        waiting = asyncio.Queue(maxsize=2)
        for row in rows:
            waiting.put_nowait(row)


    def offer_sync(rows, seconds):
        waiting = queue.Queue(maxsize=1)
        for row in rows:
            waiting.put(row, timeout=seconds)


    async def slow_stage(key, seconds):
        async with asyncio.timeout(seconds):
            await asyncio.sleep(5)


    def slow_future(key, seconds):
        stop = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            try:
                return pool.submit(stop.wait, 2).result(timeout=seconds)
            finally:
                stop.set()


    def hold(key, seconds):
        lock = threading.Lock()
        lock.acquire()
        if not lock.acquire(timeout=seconds):
            raise TimeoutError(f"could not take the lock of {key} within {seconds} s")


    async def read_exactly(host, port):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(b"hello")
            return await reader.readexactly(400)
        finally:
            writer.close()


    async def read_line(host, port):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            return await reader.readline()
        finally:
            writer.close()


    async def dial(host, port):
        await asyncio.open_connection(host, port)


    def unix_socket(path):
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(path))


    def receive(host, port, seconds):
        with socket.create_connection((host, port), timeout=seconds) as link:
            link.sendall(b"hello")
            while True:
                if not link.recv(100):
                    raise ConnectionError(f"feed closed the connection after {port % 7} records")


    async def secure(host, port, context):
        await asyncio.open_connection(host, port, ssl=context)


    def listing(folder):
        import pathlib

        return sorted(pathlib.Path(folder).iterdir())
    """,
)


def _dead_socket(w: World, name: str) -> Path:
    """A socket's file whose server has gone."""
    path = w.file("s").with_name(name)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    return path


for _name, _category, _function, _setting in (
    ("numpy-memory", Category.RESOURCE, "matrix", lambda w, v: (10_000 + v.number,)),
    ("gzip-disk-full", Category.RESOURCE, "archive", lambda w, v: (100 + v.number,)),
    ("wrapped-disk-full", Category.RESOURCE, "spill", lambda w, v: ([v.id] * (v.index + 1),)),
    ("sockets", Category.RESOURCE, "many_sockets", lambda w, v: (160 + v.index,)),
    ("asyncio-queue", Category.RESOURCE, "offer", lambda w, v: ([v.id] * 4,)),
    ("queue-put", Category.RESOURCE, "offer_sync", lambda w, v: ([v.id] * 3, v.seconds)),
    ("asyncio-timeout", Category.TIMEOUT, "slow_stage", lambda w, v: (v.id, v.seconds)),
    ("future-timeout", Category.TIMEOUT, "slow_future", lambda w, v: (v.id, v.seconds)),
    ("thread-lock", Category.TIMEOUT, "hold", lambda w, v: (v.id, v.seconds)),
    (
        "incomplete-read",
        Category.NETWORK,
        "read_exactly",
        lambda w, v: w.tcp(saying(b"x" * (9 + v.index))),
    ),
    ("stream-reset", Category.NETWORK, "read_line", lambda w, v: w.tcp(reset)),
    ("stream-refused", Category.NETWORK, "dial", lambda w, v: w.refused(v.port)),
    ("unix-socket", Category.NETWORK, "unix_socket", lambda w, v: (_dead_socket(w, v.id),)),
    ("feed-closed", Category.NETWORK, "receive", lambda w, v: (*w.tcp(saying(b"")), 1.0)),
    ("feed-silent", Category.TIMEOUT, "receive", lambda w, v: (*w.tcp(silent), v.seconds)),
    (
        "asyncio-tls-name",
        Category.NETWORK,
        "secure",
        lambda w, v: (
            *w.tls(closing, w.authority.server(hosts=(f"n{v.number}.example",))),
            w.authority.client(),
        ),
    ),
    ("no-folder", Category.NOT_FOUND, "listing", lambda w, v: (w.folder / v.uuid,)),
):
    BOOK.cause(_name, _category, _APP, _function, _setting)
