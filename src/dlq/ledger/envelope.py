"""A wire message's routing key, headers and properties as one JSON text; pure.

AMQP tables hold bytes, instants and decimals, which JSON does not: each becomes an object
with one `$` key (`{"$bytes": …}`), and a key of the sender that begins with `$` gets a second
one, so that every message comes back exactly as it arrived. The text is ASCII: NUL and lone
surrogates are escaped and fit any database.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from dlq.deaths import without_deaths
from dlq.message import WireMessage
from dlq.payload import representable

MAX_DEPTH = 100
"""Below this nesting a table is kept as plain JSON: a reader that recurses must survive it."""

_AS_THEY_ARE = frozenset({str, bool, type(None)})
_READERS: dict[str, Callable[[str], Any]] = {
    "$bytes": base64.b64decode,
    "$datetime": dt.datetime.fromisoformat,
    "$decimal": Decimal,
    "$float": float,
}


def write_envelope(wire: WireMessage) -> str:
    """Everything of `wire` but its body."""
    facts = {
        "routing_key": wire.routing_key,
        "headers": wire.headers,
        "properties": wire.properties,
    }
    return _ENVELOPE.encode(_pack(facts, 0))


def read_wire(body: bytes, envelope: str) -> WireMessage:
    """The message that `write_envelope` was given."""
    parts = _READER.decode(envelope)
    return WireMessage(
        body=bytes(body),
        routing_key=parts["routing_key"],
        headers=parts["headers"],
        properties=parts["properties"],
    )


def digest_of(wire: WireMessage) -> str:
    """What a message without id is recognised by when the broker delivers it again.

    The broker's own accounts (`x-delivery-count`, `x-death` …) change between deliveries and
    are left out.
    """
    facts = [wire.routing_key, wire.properties, without_deaths(wire.headers)]
    digest = hashlib.sha256(_DIGESTED.encode(_pack(facts, 0)).encode("ascii"))
    digest.update(wire.body)
    return digest.hexdigest()


_ENVELOPE = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_DIGESTED = json.JSONEncoder(separators=(",", ":"), allow_nan=False, sort_keys=True)


def _pack(value: Any, depth: int) -> Any:
    if type(value) in _AS_THEY_ARE or isinstance(value, str):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**64:
        return int(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": str(value)}
    if isinstance(value, bytes | bytearray):
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, dt.datetime):
        return {"$datetime": value.isoformat()}
    if isinstance(value, Decimal):
        return {"$decimal": str(value)}
    if depth < MAX_DEPTH and isinstance(value, Mapping):
        return {_escaped(str(key)): _pack(item, depth + 1) for key, item in value.items()}
    if depth < MAX_DEPTH and isinstance(value, list | tuple):
        return [_pack(item, depth + 1) for item in value]
    return _pack(representable(value), 0) if depth < MAX_DEPTH else repr(representable(value))


def _escaped(key: str) -> str:
    return f"${key}" if key.startswith("$") else key


def _unpacked(value: dict[str, Any]) -> Any:
    """What `_pack` made an object of; the objects within are unpacked already."""
    if len(value) == 1:
        ((key, item),) = value.items()
        if key in _READERS:
            return _READERS[key](item)
    return {key.removeprefix("$"): item for key, item in value.items()}


_READER = json.JSONDecoder(object_hook=_unpacked)
