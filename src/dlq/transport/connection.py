"""pika's connection and channel as asyncio sees them: open, call, lost.

Everything here runs on the I/O thread. pika answers by callbacks and reports on a dozen
loggers; here an answer can be awaited, and each failure is told once, in our own words.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pika
from pika import exceptions as amqp
from pika import frame as frames
from pika.adapters.asyncio_connection import AsyncioConnection

from dlq.errors import BrokerUnavailable
from dlq.settings import Settings, without_password
from dlq.transport.io_thread import on_io_thread
from dlq.transport.properties import decode_properties

BLOCKED_TIMEOUT_S = 60
"""How long the broker may block a connection (memory, disk) before it is given up."""

NOT_FOUND = 404
ACCESS_REFUSED = 403
PRECONDITION_FAILED = 406

_FRAME_HEADER = struct.Struct(">BHI")
_CONTENT_HEADER = struct.Struct(">HHQ")


def _not_of_ours(_: logging.LogRecord) -> bool:
    return not on_io_thread()


for _name in list(logging.root.manager.loggerDict):
    # pika logs each failed attempt several times, as errors with traces, and in debug each
    # frame. The pipeline around us may use pika too: only what it says of ours is held back.
    if _name.startswith("pika."):
        logging.getLogger(_name).addFilter(_not_of_ours)


class BrokerConnection(AsyncioConnection):  # type: ignore[misc]
    """One AMQP connection. `opened` and `lost` resolve to the error, or None if all went well."""

    def __init__(self, parameters: pika.connection.Parameters) -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[Exception | None] = loop.create_future()
        self.lost: asyncio.Future[Exception] = loop.create_future()
        self._unsent: list[bytes] = []
        super().__init__(
            parameters,
            on_open_callback=lambda _: _resolve(self.opened, None),
            on_open_error_callback=lambda _, error: _resolve(self.opened, error),
            on_close_callback=lambda _, error: _resolve(self.lost, error),
            custom_ioloop=loop,
        )

    def abort(self) -> None:
        """Drop the connection now, without the other side's consent."""
        if self.is_closed:
            return
        if self.opened.done():
            self._terminate_stream(amqp.StreamLostError("dropped by us"))
        elif not self.is_closing:
            self.close()

    def _on_connection_workflow_done(self, conn_or_exc: Any) -> None:
        """pika's, which reports an aborted attempt by the class of its error, takes that for
        a connection, and fails."""
        if isinstance(conn_or_exc, type):
            conn_or_exc = conn_or_exc()
        super()._on_connection_workflow_done(conn_or_exc)

    def _output_marshaled_frames(self, marshaled_frames: Sequence[bytes]) -> None:
        """pika's, but all frames of one turn of the loop go out in one write: a message is
        three frames, and pika makes a system call for each."""
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent += marshaled_frames
        self.frames_sent += len(marshaled_frames)

    def _flush(self) -> None:
        data = b"".join(self._unsent)
        self._unsent.clear()
        self.bytes_sent += len(data)
        if not self.is_closed:
            self._adapter_emit_data(data)

    def _read_frame(self) -> tuple[int, Any]:
        """pika's, but content headers are decoded by us: see `fields.py` for why."""
        data: bytes = self._frame_buffer
        if data[:1] == b"\x02" and len(data) >= _FRAME_HEADER.size:
            _, channel, size = _FRAME_HEADER.unpack_from(data)
            end = _FRAME_HEADER.size + size
            if len(data) <= end:
                return 0, None
            content = data[_FRAME_HEADER.size : end]
            _, _, body_size = _CONTENT_HEADER.unpack_from(content)
            properties = decode_properties(content[_CONTENT_HEADER.size :])
            return end + 1, frames.Header(channel, body_size, properties)
        read: tuple[int, Any] = super()._read_frame()
        return read


async def open_connection(parameters: pika.connection.Parameters) -> BrokerConnection:
    """Connect and log in; the caller bounds the wait (cancelling it drops the attempt)."""
    connection = BrokerConnection(parameters)
    try:
        error = await asyncio.shield(connection.opened)
    except asyncio.CancelledError:
        connection.abort()
        raise
    if error is not None:
        raise error
    return connection


def connection_parameters(settings: Settings, name: str) -> pika.connection.Parameters:
    """What pika needs, from the settings; `name` is shown in the broker's list."""
    parameters = pika.URLParameters(settings.amqp_url)
    parameters.heartbeat = settings.heartbeat_s
    parameters.blocked_connection_timeout = BLOCKED_TIMEOUT_S
    parameters.client_properties = {"connection_name": name}
    return parameters


class Channel:
    """A channel whose synchronous methods are awaited."""

    def __init__(self) -> None:
        self.raw: Any = None
        self.closed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        """Resolves to the reason."""

    @classmethod
    async def open(cls, connection: BrokerConnection) -> Channel:
        """Raises pika's error if the connection goes first."""
        channel = cls()

        def begin(*, callback: Callable[[Any], None]) -> None:
            channel.raw = connection.channel(on_open_callback=callback)
            channel.raw.add_on_close_callback(lambda _, why: _resolve(channel.closed, why))

        await channel.call(begin)
        return channel

    async def call(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """The broker's answer to one of `raw`'s methods that take a callback.

        Raises pika's error if the channel closes first (`ChannelClosedByBroker` says why).
        """
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        method(*args, callback=lambda frame: _resolve(answer, frame), **options)
        await asyncio.wait({answer, self.closed}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return getattr(answer.result(), "method", None)
        raise self.closed.result()


@asynccontextmanager
async def scratch_channel(connection: BrokerConnection) -> AsyncIterator[Channel]:
    """A channel for questions that the broker may answer by closing it."""
    channel = await Channel.open(connection)
    try:
        yield channel
    finally:
        if channel.raw.is_open:
            channel.raw.close()


def explain(error: BaseException, settings: Settings) -> BrokerUnavailable:
    """pika's error, or the socket's, as ours: what happened, and what to do about it."""
    where = without_password(settings.amqp_url or "")
    return BrokerUnavailable(f"RabbitMQ at {where}: {_in_words(error)}")


def _in_words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time. Check host, port and firewall"
    if isinstance(error, amqp.ProbableAuthenticationError | amqp.AuthenticationError):
        return (
            "it refused user or password. Set RABBITMQ_USER and RABBITMQ_PASS, or DLQ_BROKER_URL, "
            "to a login it knows"
        )
    if isinstance(error, amqp.ProbableAccessDeniedError):
        return (
            "it refused the virtual host: it does not exist, or the user has no permissions on it. "
            f"Create it with `rabbitmqctl add_vhost` and `set_permissions` ({_detail(error)})"
        )
    if isinstance(error, amqp.ConnectionClosed | amqp.ChannelClosed):
        return f"it closed the {_what(error)}: {error.reply_code} {error.reply_text}"
    if isinstance(error, amqp.AMQPHeartbeatTimeout):
        return "no sign of life within the heartbeat; the connection is given up"
    if isinstance(error, amqp.ConnectionBlockedTimeout):
        return "it blocks publishers (memory or disk alarm). Free memory or disk on the broker"
    return _detail(error)


def _what(error: BaseException) -> str:
    return "channel" if isinstance(error, amqp.ChannelClosed) else "connection"


def _detail(error: BaseException) -> str:
    """Of the innermost cause: pika wraps a refused socket three times."""
    nested = getattr(error, "exceptions", None) or getattr(error, "exception", None) or error.args
    inner = nested[-1] if isinstance(nested, list | tuple) and nested else nested
    if isinstance(inner, BaseException):
        return _detail(inner)
    return str(error) or type(error).__name__


def _resolve(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)
