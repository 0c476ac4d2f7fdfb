"""Makes any Python value representable in JSON; pure, never raises.

What a pipeline puts into an item is not always JSON: datetimes, Decimals, bytes, sets,
Scrapy items, dataclasses, pydantic models, NaN, cycles, lone surrogates. A dead letter
must not be refused for it, so each becomes its nearest readable form.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import json
import math
import re
from collections import deque
from collections.abc import Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

MAX_DEPTH = 60
"""Below this nesting the rest is shown as text: JSON readers recurse, and ours is one."""

MAX_NODES = 1_000_000
"""Values in one payload. Shared references are written out, so that twenty dicts can be a
million: without a bound a small item could take minutes and all memory."""

LEFT_OUT = f"<left out: more than {MAX_NODES:,} values>"


def clean_text(text: str) -> str:
    """Replace what UTF-8 (lone surrogates) or PostgreSQL (NUL) cannot hold by U+FFFD."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    if text.isascii():  # known without reading it
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return text


def representable(value: Any) -> Any:
    """Return `value` made of dict, list, str, int, float, bool and None only.

    bytes become text if they are UTF-8, else `{"$base64": …}`; sets become sorted lists;
    NaN and infinities become the words "NaN", "Infinity", "-Infinity"; a cycle becomes
    "<cycle>"; anything unknown becomes its `repr`.
    """
    return _convert(value, frozenset(), 0, [MAX_NODES])


def as_object(value: Any) -> dict[str, Any]:
    """Like `representable`, but always an object: other values come as `{"value": …}`."""
    return in_object(representable(value))


def in_object(value: Any) -> dict[str, Any]:
    """`as_object` of what is representable already."""
    return value if isinstance(value, dict) else {"value": value}


def from_json(text: str) -> Any:
    """What a JSON text says, made `representable`.

    The parser sees to the numbers. The walk over the values, many times dearer than reading
    them, is spared where the text shows that it would change none.

    Raises:
        ValueError, RecursionError: it is not JSON, or cannot be read (as `json.loads`).
    """
    value = _JSON.decode(text)
    return value if _is_representable(text) else representable(value)


def _is_representable(text: str) -> bool:
    """Whether no string, nesting or number of values in a JSON text can need a change.

    False where it cannot be told cheaply: brackets within strings count as nesting, and the
    escaped half of an emoji as a lone surrogate.
    """
    return (
        len(text) <= MAX_NODES  # each value takes a character
        and text.count("[") + text.count("{") <= MAX_DEPTH
        and ("\\u" not in text or _UNCLEAN_ESCAPE.search(text) is None)
        and clean_text(text) == text
    )


_UNCLEAN_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


def _convert(value: Any, parents: frozenset[int], depth: int, left: list[int]) -> Any:
    """left: one number, how many more values there may be in all."""
    left[0] -= 1
    if left[0] < 0:
        return LEFT_OUT
    if type(value) is str:  # most are
        return clean_text(value)
    scalar = _scalar(value)
    if scalar is not _NOT_SCALAR:
        return scalar
    if id(value) in parents:
        return "<cycle>"
    if depth >= MAX_DEPTH:
        return f"<nested deeper than {MAX_DEPTH}: {_safe_repr(value)}>"
    inside = parents | {id(value)}
    try:
        return _container(value, inside, depth + 1, left)
    except Exception:  # noqa: BLE001 - a broken __iter__ or property of somebody's class
        return _safe_repr(value)


_NOT_SCALAR: Any = object()


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return _scalar(value.value)
    if isinstance(value, str):
        return clean_text(str(value))
    if isinstance(value, int):
        return _integer(int(value))
    if isinstance(value, float):
        return _number(float(value))
    if isinstance(value, Decimal | UUID | PurePath):
        return str(value)
    if isinstance(value, dt.datetime):
        return iso_z(value)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    return _NOT_SCALAR


def _integer(value: int) -> int | str:
    # Beyond 64 bits most JSON readers lose digits, and Python refuses to print past 4300.
    if -(2**63) <= value < 2**64:
        return value
    return str(value) if value.bit_length() < 10_000 else hex(value)


def _number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


_JSON = json.JSONDecoder(
    parse_int=lambda digits: _integer(int(digits)),
    parse_float=lambda digits: _number(float(digits)),
    parse_constant=str,  # NaN, Infinity and -Infinity as these words, like `_number`
)


def _container(value: Any, inside: frozenset[int], depth: int, left: list[int]) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return _binary(bytes(value))
    if isinstance(value, Mapping):
        return _mapping(value, inside, depth, left)
    if isinstance(value, AbstractSet):
        return sorted((_convert(v, inside, depth, left) for v in value), key=_sort_key)
    if isinstance(value, Sequence | deque | ValuesView):
        return _list(value, inside, depth, left)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {f.name: _convert(getattr(value, f.name), inside, depth, left) for f in fields}
    as_mapping = _as_mapping(value)
    if as_mapping is not None:
        return _convert(as_mapping, inside, depth, left)
    return _safe_repr(value)


def _list(value: Any, inside: frozenset[int], depth: int, left: list[int]) -> list[Any]:
    converted: list[Any] = []
    for item in value:
        converted.append(_convert(item, inside, depth, left))
        if left[0] < 0:
            break
    return converted


def _mapping(
    value: Mapping[Any, Any], inside: frozenset[int], depth: int, left: list[int]
) -> dict[str, Any]:
    converted: dict[str, Any] = {}
    for raw_key, raw_value in value.items():
        if left[0] < 0:
            converted[LEFT_OUT] = True
            break
        key = _key(raw_key)
        if key in converted:  # 1 and "1" are one key in JSON, and neither may be lost
            key = f"{key} ({type(raw_key).__name__})"
        converted[key] = _convert(raw_value, inside, depth, left)
    return converted


def _as_mapping(value: Any) -> Mapping[Any, Any] | None:
    """Ask the objects that know how to become a mapping: pydantic, Scrapy items, attrs."""
    if isinstance(value, type):
        return None
    for name in ("model_dump", "asdict", "_asdict"):
        method = getattr(value, name, None)
        if callable(method):
            result = method()
            return result if isinstance(result, Mapping) else None
    attrs_fields = getattr(type(value), "__attrs_attrs__", None)
    if attrs_fields is not None:
        return {f.name: getattr(value, f.name) for f in attrs_fields}
    return None


def _key(key: Any) -> str:
    if isinstance(key, str):
        return clean_text(str(key))
    scalar = _scalar(key)
    return str(scalar) if scalar is not _NOT_SCALAR else _safe_repr(key)


def _binary(data: bytes) -> Any:
    try:
        return clean_text(data.decode("utf-8"))
    except UnicodeDecodeError:
        return {"$base64": base64.b64encode(data).decode("ascii")}


def _sort_key(value: Any) -> tuple[str, str]:
    return type(value).__name__, str(value)


def _safe_repr(value: Any) -> str:
    try:
        return clean_text(repr(value)[:2000])
    except Exception:  # noqa: BLE001 - a broken __repr__ must not cost the dead letter
        return f"<unprintable {type(value).__name__}>"


def iso_z(instant: dt.datetime) -> str:
    """ISO 8601 in UTC with `Z`; a naive instant is taken as UTC."""
    aware = instant if instant.tzinfo else instant.replace(tzinfo=dt.UTC)
    return aware.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
