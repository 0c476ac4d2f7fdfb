"""The payload after an edit, and how it differs from the one before.

A patch comes from outside and is applied under the ledger's lock: its size, its depth and
what its copies may multiply are bounded.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

from jsonpatch import JsonPatch, JsonPatchException, JsonPatchTestFailed
from jsonpointer import JsonPointer, JsonPointerException

from dlq.errors import InvalidInput
from dlq.payload import representable

MAX_PATCH_BYTES = 1024 * 1024
MAX_OPERATIONS = 1000
MAX_DEPTH = 50
"""Levels of an edited payload. Fewer than a reader shows (`payload.MAX_DEPTH`): one that was
shown shortened cannot be taken for the whole and sent so."""
MAX_VALUES = 200_000
"""Values of an edited payload, and values that the copies of one patch may add up to."""
MAX_COPIED_CHARS = 16 * 1024 * 1024
MAX_COMPARED_VALUES = 20_000
"""Beyond this a difference is told by top-level key: comparing lists takes quadratic time."""
SHOWN_CHARS = 200


def edited_payload(
    payload: dict[str, Any],
    *,
    patch: list[Any] | None = None,
    document: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The payload after the edit; `payload` itself stays as it is.

    Args:
        patch: JSON Patch operations, applied in order, all or none.
        document: what to put in place of the payload. Exactly one of the two.
    Raises: InvalidInput: names the operation and its path, or what the result breaks.
    """
    if (patch is None) == (document is None):
        raise InvalidInput("Expected a patch or a document: exactly one of the two.")
    result: Any = document
    if patch is not None:
        _check_size("the payload", payload)
        result = _patched(payload, patch)
    if not isinstance(result, dict):
        raise InvalidInput(f"A payload is a JSON object; the edit would make it {_kind(result)}.")
    _check_size("the edited payload", result)
    if representable(result) != result:
        raise InvalidInput(
            "The edited payload holds what a dead letter cannot carry: NaN or infinity, an integer "
            "beyond 64 bits, a NUL or half a surrogate pair. Write such a value as text."
        )
    return result


def difference(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """JSON Patch that makes `after` of `before`, the same for the same two; [] if equal.

    Only add, remove and replace, which people can read.
    """
    if _count(before) + _count(after) > MAX_COMPARED_VALUES:
        return list(_difference_by_key(before, after))
    operations: list[dict[str, Any]] = JsonPatch.from_diff(before, after, optimization=False).patch
    return operations


# --- applying a patch --------------------------------------------------------------------


def _patched(payload: Any, patch: list[Any]) -> Any:
    """Raises: InvalidInput."""
    _check_patch(patch)
    document = copy.deepcopy(payload)
    copied_values = copied_chars = 0
    for index, operation in enumerate(patch):
        try:
            step = JsonPatch([operation])
            if operation["op"] == "copy":
                values, chars = _weight(_source_of(document, operation))
                copied_values, copied_chars = copied_values + values, copied_chars + chars
                if copied_values > MAX_VALUES or copied_chars > MAX_COPIED_CHARS:
                    raise InvalidInput(_refusal(index, operation, "the patch copies too much"))
            document = step.apply(document, in_place=True)
        except JsonPatchTestFailed as error:
            why = "the payload does not hold the value that it tests for"
            raise InvalidInput(_refusal(index, operation, why)) from error
        except (
            JsonPatchException,
            JsonPointerException,
            LookupError,
            TypeError,
            ValueError,
            RecursionError,
        ) as error:
            raise InvalidInput(_refusal(index, operation, str(error))) from error
    return document


def _check_patch(patch: list[Any]) -> None:
    if len(patch) > MAX_OPERATIONS:
        raise InvalidInput(f"Expected at most {MAX_OPERATIONS} operations, got {len(patch)}.")
    # An operation is a level around its value, and the list another.
    _check_size("the patch", patch, depth=MAX_DEPTH + 2)
    size_bytes = len(json.dumps(patch))
    if size_bytes > MAX_PATCH_BYTES:
        raise InvalidInput(
            f"Expected a patch of at most {MAX_PATCH_BYTES} bytes, got {size_bytes}. "
            "Give the whole document instead."
        )


def _source_of(document: Any, operation: Mapping[str, Any]) -> Any:
    return JsonPointer(operation["from"]).resolve(document)


def _refusal(index: int, operation: Any, why: str) -> str:
    told = operation if isinstance(operation, dict) else {}
    name, path = (json.dumps(told.get(key))[:SHOWN_CHARS] for key in ("op", "path"))
    return (
        f"Operation {index} of the patch ({name} at {path}) cannot be applied: "
        f"{why[:SHOWN_CHARS].rstrip('.')}. Nothing was changed."
    )


# --- bounds ------------------------------------------------------------------------------


def _values(value: Any) -> Iterator[tuple[Any, int]]:
    """Each value in `value`, itself first, with its depth from 1; without recursion."""
    waiting = [(value, 1)]
    while waiting:
        found, depth = waiting.pop()
        yield found, depth
        if isinstance(found, dict):
            waiting.extend((item, depth + 1) for item in found.values())
        elif isinstance(found, list):
            waiting.extend((item, depth + 1) for item in found)


def _check_size(what: str, value: Any, *, depth: int = MAX_DEPTH) -> None:
    """Raises: InvalidInput."""
    for count, (found, level) in enumerate(_values(value), start=1):
        if count > MAX_VALUES:
            raise InvalidInput(f"Expected at most {MAX_VALUES:,} values; {what} holds more.")
        if level > depth and isinstance(found, dict | list):
            raise InvalidInput(f"Expected at most {depth} levels; {what} is nested deeper.")


def _count(value: Any) -> int:
    return sum(1 for _ in _values(value))


def _weight(value: Any) -> tuple[int, int]:
    """Values in it, and characters of its texts and names."""
    values = chars = 0
    for found, _ in _values(value):
        values += 1
        if isinstance(found, str):
            chars += len(found)
        elif isinstance(found, dict):
            chars += sum(map(len, found))
    return values, chars


def _difference_by_key(before: dict[str, Any], after: dict[str, Any]) -> Iterator[dict[str, Any]]:
    dump = json.JSONEncoder(sort_keys=True).encode  # 1, 1.0 and true are equal to Python
    for key in (key for key in before if key not in after):
        yield {"op": "remove", "path": JsonPointer.from_parts([key]).path}
    for key, value in after.items():
        path = JsonPointer.from_parts([key]).path
        if key not in before:
            yield {"op": "add", "path": path, "value": value}
        elif dump(before[key]) != dump(value):
            yield {"op": "replace", "path": path, "value": value}


def _kind(value: Any) -> str:
    kinds = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
