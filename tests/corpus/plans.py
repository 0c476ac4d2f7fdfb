"""What a wrong server does with a connection: each plan is a function of the socket.

HTTP answers are made by `reply` and sent by `answering`; the others break the connection or
the protocol at the point their names say. `redis_saying` speaks the redis protocol.
"""

from __future__ import annotations

import contextlib
import http
import json
import select
import socket
import ssl
import struct
from collections.abc import Callable, Mapping
from typing import Any

Plan = Callable[[socket.socket], None]

_PATIENCE_S = 3.0


def reply(
    status: int,
    body: str | bytes | Mapping[str, Any] | list[Any] = b"",
    content_type: str | None = None,
    **headers: str,
) -> bytes:
    """An HTTP/1.1 answer. Underscores in the names of headers stand for hyphens."""
    kind = content_type or ("application/json" if isinstance(body, dict | list) else "text/html")
    if isinstance(body, Mapping | list):
        body = json.dumps(body)
    raw = body.encode() if isinstance(body, str) else body
    named = {"Content-Type": kind, "Content-Length": str(len(raw)), "Connection": "close"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 {status} {_phrase(status)}\r\n{lines}\r\n".encode("latin-1") + raw


def answering(*answers: bytes) -> Plan:
    """One answer a request; the last again and again. After each the connection is closed."""
    left = list(answers)

    def plan(peer: socket.socket) -> None:
        read_request(peer)
        peer.sendall(left.pop(0) if len(left) > 1 else left[0])

    return plan


def silent(peer: socket.socket) -> None:
    """Reads, never answers, until the client goes."""
    _until_gone(peer)


def deaf(peer: socket.socket) -> None:
    """Never reads, until the client goes."""
    waiting = select.poll()
    waiting.register(peer, select.POLLRDHUP | select.POLLHUP)
    waiting.poll(_PATIENCE_S * 1000)


def stalling(start: bytes) -> Plan:
    """Sends `start` after the request, then nothing."""

    def plan(peer: socket.socket) -> None:
        read_request(peer)
        peer.sendall(start)
        _until_gone(peer)

    return plan


def closing(peer: socket.socket) -> None:
    """Closes after the request, without an answer."""
    read_request(peer)


def closing_at_once(peer: socket.socket) -> None:
    """Closes before anything is said."""
    with contextlib.suppress(OSError):
        peer.shutdown(socket.SHUT_RDWR)


def resetting(peer: socket.socket) -> None:
    """Reads the request, then resets the connection."""
    read_request(peer)
    reset(peer)


def reset(peer: socket.socket) -> None:
    """Closes with RST."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def saying(data: bytes) -> Plan:
    """Sends `data` as soon as the client has said something, then closes."""

    def plan(peer: socket.socket) -> None:
        peer.settimeout(_PATIENCE_S)
        peer.recv(65536)
        peer.sendall(data)
        with contextlib.suppress(OSError):
            peer.shutdown(socket.SHUT_WR)
            peer.recv(65536)

    return plan


def greeting(data: bytes, then: Plan = silent) -> Plan:
    """Sends `data` before the client has said anything."""

    def plan(peer: socket.socket) -> None:
        peer.sendall(data)
        then(peer)

    return plan


def over_tls(context: ssl.SSLContext, plan: Plan) -> Plan:
    """`plan` behind a TLS handshake; a client that refuses the handshake ends it."""

    def wrapped(peer: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(peer, server_side=True) as secure:
            plan(secure)

    return wrapped


def redis_saying(*answers: bytes) -> Plan:
    """A redis that greets politely and then gives the answers in turn, the last for ever."""
    left = list(answers)
    polite = {b"HELLO": b"%1\r\n+proto\r\n:3\r\n", b"CLIENT": b"+OK\r\n", b"SELECT": b"+OK\r\n"}

    def plan(peer: socket.socket) -> None:
        peer.settimeout(_PATIENCE_S)
        with contextlib.suppress(OSError), peer.makefile("rb") as lines:
            while command := _redis_command(lines):
                greeting = polite.get(command[0].upper())
                answer = greeting or (left.pop(0) if len(left) > 1 else left[0])
                if not answer:
                    return
                peer.sendall(answer)

    return plan


def answering_lines(answers: Mapping[bytes, bytes]) -> Plan:
    """A protocol of lines: each command has its answer; `250 ok` for any other."""

    def plan(peer: socket.socket) -> None:
        peer.settimeout(_PATIENCE_S)
        with contextlib.suppress(OSError), peer.makefile("rb") as lines:
            for line in lines:
                peer.sendall(answers.get(line.split()[0].upper(), b"250 ok\r\n"))

    return plan


def read_request(peer: socket.socket) -> bytes:
    """Everything of one HTTP request; what there is of it if the client goes."""
    peer.settimeout(_PATIENCE_S)
    data = b""
    while b"\r\n\r\n" not in data:
        piece = peer.recv(65536)
        if not piece:
            return data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    if b"100-continue" in head:
        peer.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    while len(body) < length:
        piece = peer.recv(65536)
        if not piece:
            break
        body += piece
    return head + b"\r\n\r\n" + body


def _redis_command(lines: Any) -> list[bytes]:
    head = lines.readline()
    if not head.startswith(b"*"):
        return []
    words = []
    for _ in range(int(head[1:])):
        length = int(lines.readline()[1:])
        words.append(lines.read(length + 2)[:-2])
    return words


def _until_gone(peer: socket.socket) -> None:
    peer.settimeout(_PATIENCE_S)
    with contextlib.suppress(OSError):
        while peer.recv(65536):
            pass


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
