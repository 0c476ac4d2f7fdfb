"""RabbitMQ's own account of a dead-lettered message: the `x-death` headers; pure.

The headers come from the broker or from whoever republished them, so everything here is
tolerant: what cannot be read is left out, nothing raises.

Source: RabbitMQ docs, "Dead Letter Exchanges".
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STRIPPED_PREFIXES = ("x-death", "x-first-death-", "x-last-death-")
STRIPPED_HEADERS = frozenset({"x-delivery-count", "x-acquired-count", "cc", "bcc"})


@dataclass(frozen=True, slots=True)
class Death:
    """One entry of `x-death`: why, where and how often the broker dead-lettered."""

    reason: str  # rejected | expired | maxlen | delivery_limit
    queue: str
    count: int
    exchange: str
    routing_keys: tuple[str, ...]
    died_at: dt.datetime | None

    def sentence(self) -> str:
        times = "once" if self.count == 1 else f"{self.count} times"
        return f"RabbitMQ dead-lettered it from queue '{self.queue}': {self.reason} ({times})"


def is_dead_lettered(headers: Mapping[str, Any]) -> bool:
    return any(h == "x-death" or h.startswith("x-first-death-") for h in headers)


def parse_deaths(headers: Mapping[str, Any]) -> list[Death]:
    """Read `x-death`, newest first as the broker writes it.

    Without a readable `x-death` the `x-first-death-*` headers give one entry.
    """
    entries = _items(headers.get("x-death"))
    deaths = [_death(entry) for entry in entries if isinstance(entry, Mapping)]
    if deaths or "x-first-death-queue" not in headers:
        return deaths
    return [
        Death(
            reason=_text(headers.get("x-first-death-reason"), "unknown"),
            queue=_text(headers.get("x-first-death-queue"), ""),
            count=1,
            exchange=_text(headers.get("x-first-death-exchange"), ""),
            routing_keys=(),
            died_at=None,
        )
    ]


def without_deaths(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Headers fit for a replay: less the broker's accounts and the CC/BCC side routes.

    RabbitMQ up to 3.13 reads a client's `x-death` back and can drop the message as a
    cycle; CC and BCC would deliver copies elsewhere.
    """
    return {
        name: value
        for name, value in headers.items()
        if name.lower() not in STRIPPED_HEADERS and not name.lower().startswith(STRIPPED_PREFIXES)
    }


def _death(entry: Mapping[str, Any]) -> Death:
    count = entry.get("count")
    time = entry.get("time")
    return Death(
        reason=_text(entry.get("reason"), "unknown"),
        queue=_text(entry.get("queue"), ""),
        count=count if isinstance(count, int) and count > 0 else 1,
        exchange=_text(entry.get("exchange"), ""),
        routing_keys=tuple(_text(key, "") for key in _items(entry.get("routing-keys"))),
        died_at=_aware(time) if isinstance(time, dt.datetime) else None,
    )


def _items(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _text(value: Any, default: str) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else default


def _aware(instant: dt.datetime) -> dt.datetime:
    # pika hands AMQP timestamps over naive; they are UTC.
    return instant if instant.tzinfo else instant.replace(tzinfo=dt.UTC)
