"""Ports for private servers."""

from __future__ import annotations

import random
import socket

_PORTS = range(18_000, 32_000)  # below the range from which clients' ports are taken


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on now."""
    for port in random.sample(_PORTS, 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"expected a free port in {_PORTS}, found none in 200 tries")
