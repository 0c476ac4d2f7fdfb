"""A TCP proxy that fails on command: between client and server, to inject network faults."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from typing import TYPE_CHECKING, Self, TypeVar

from tests.support.ports import free_port

if TYPE_CHECKING:
    import ssl
    from collections.abc import Coroutine

CALL_TIMEOUT_S = 10.0
T = TypeVar("T")


class FaultProxy:
    """Forwards 127.0.0.1:`port` to `target_port`. A context manager; runs on its own thread.

    `cut()` resets every connection; `black_hole()` lets nothing pass, while connections stay
    open and new ones are accepted; `heal()` lets what was held go on, as TCP would send it
    again. `refuse()` stops listening, until `heal()`. With `tls` it speaks TLS to the client.
    """

    def __init__(self, target_port: int, *, tls: ssl.SSLContext | None = None) -> None:
        self.port = free_port()
        self.connections_seen = 0
        self.connections_cut = 0
        self.bytes_held = 0
        self._target_port = target_port
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._passing = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_TIMEOUT_S)
        self._loop.close()

    @property
    def live(self) -> int:
        """Connections open now."""
        return len(self._tasks)

    def cut(self) -> int:
        """RST every connection, both ways; returns how many there were."""
        return self._call(self._cut())

    def black_hole(self) -> None:
        self._call(self._hold())

    def refuse(self) -> None:
        """Cut, and refuse new connections."""
        self._call(self._refuse())

    def heal(self) -> None:
        self._call(self._listen())

    def _call(self, act: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(act, self._loop).result(CALL_TIMEOUT_S)

    async def _listen(self) -> None:
        self._passing.set()
        if self._server is None:
            self._server = await asyncio.start_server(
                self._accept, "127.0.0.1", self.port, ssl=self._tls
            )

    async def _hold(self) -> None:
        self._passing.clear()

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _cut(self) -> int:
        count = self.live
        self.connections_cut += count
        for writer in list(self._writers):
            raw: socket.socket | None = writer.get_extra_info("socket")
            if raw is None:  # TLS, and already closed by the other side
                continue
            # Linger of zero: close sends RST at once instead of an orderly FIN.
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return count

    async def _end(self) -> None:
        await self._refuse()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections_seen += 1
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        upstream: asyncio.StreamWriter | None = None
        pumps: list[asyncio.Task[None]] = []
        try:
            await self._passing.wait()
            up_reader, upstream = await asyncio.open_connection("127.0.0.1", self._target_port)
            self._writers.add(upstream)
            pumps = [
                self._loop.create_task(self._pump(reader, upstream)),
                self._loop.create_task(self._pump(up_reader, writer)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            pass  # the server is down: the client sees its connection close
        finally:
            for end in (writer, upstream):
                if end is not None:
                    self._writers.discard(end)
                    end.transport.abort()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                if not self._passing.is_set():
                    self.bytes_held += len(data)
                    await self._passing.wait()
                sink.write(data)
                await sink.drain()
        except OSError:
            pass  # either end went away
