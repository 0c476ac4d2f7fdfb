"""What `dlq edit` is asked to change, from its options, a file or an editor."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlq.cli.difference import readable_json
from dlq.cli.output import confirmed, print_error
from dlq.errors import InvalidInput

PAYLOAD = "payload"


@dataclass(frozen=True, slots=True)
class Correction:
    """A patch, or a whole document; neither: back to the payload as it arrived."""

    patch: list[Any] | None = None
    document: dict[str, Any] | None = None


def from_paths(payload: Any, settings: Sequence[str], unset: Sequence[str]) -> Correction:
    """`payload.artist.name=Deadmau5`, `payload.tracks.0.id=7`: as JSON Patch.

    Raises: InvalidInput.
    """
    patch: list[Any] = []
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals:
            raise InvalidInput(f"--set {setting}: expected payload.KEY=VALUE.")
        parts = _parts("--set", path)
        # To "add" to a list would push the others aside.
        op = "replace" if _is_item(payload, parts) else "add"
        patch.append({"op": op, "path": _pointer(parts), "value": _value(text)})
    patch.extend({"op": "remove", "path": _pointer(_parts("--unset", path))} for path in unset)
    return Correction(patch=patch)


def from_patch_file(name: str) -> Correction:
    """Raises: InvalidInput."""
    patch = _json(name, _read(name))
    if not isinstance(patch, list):
        raise InvalidInput(f"{name}: expected JSON Patch, a list of operations.")
    return Correction(patch=patch)


def from_document_file(name: str) -> Correction:
    """Raises: InvalidInput."""
    return Correction(document=_object(name, _read(name)))


def from_editor(payload: Any) -> Correction:
    """What a person makes of the payload in $VISUAL or $EDITOR; asked again while it is no
    JSON object, so that nothing typed is lost.

    Raises: InvalidInput: no terminal, or the editor cannot be run, or it was given up.
    """
    if not sys.stdin.isatty():
        raise InvalidInput("--editor: there is no terminal to edit on. Use --set or --document.")
    descriptor, name = tempfile.mkstemp(prefix="dlq-edit-", suffix=".json")
    path = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(readable_json(payload) + "\n")
        while True:
            _run_editor(path)
            try:
                return Correction(document=_object("the payload", path.read_text("utf-8")))
            except (InvalidInput, UnicodeDecodeError) as error:
                print_error(str(error))
                if not confirmed("Edit again?", yes=False):
                    raise InvalidInput("The payload was not edited.") from error
    finally:
        path.unlink(missing_ok=True)


def _run_editor(path: Path) -> None:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        done = subprocess.run([*shlex.split(editor), str(path)], check=False)  # noqa: S603 - theirs
    except (OSError, ValueError) as error:
        raise InvalidInput(f"The editor {editor!r} cannot be run: {error}. Set EDITOR.") from error
    if done.returncode:
        raise InvalidInput(f"The editor {editor!r} ended with {done.returncode}; nothing changed.")


def _parts(option: str, path: str) -> list[str]:
    first, *rest = path.split(".")
    if first != PAYLOAD or not rest or not all(rest):
        raise InvalidInput(
            f"{option} {path}: expected payload.KEY, or payload.KEY.KEY and so on; for keys with "
            "a dot use --patch."
        )
    return rest


def _pointer(parts: Sequence[str]) -> str:
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def _is_item(payload: Any, parts: Sequence[str]) -> bool:
    """Whether the path names an item that a list has."""
    holder = payload
    for part in parts[:-1]:
        if isinstance(holder, dict):
            holder = holder.get(part)
        elif isinstance(holder, list) and part.isdecimal() and int(part) < len(holder):
            holder = holder[int(part)]
    return isinstance(holder, list) and parts[-1] not in {"-", str(len(holder))}


def _value(text: str) -> Any:
    """JSON if it is, else the text itself."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is a word to JSON")


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{name} cannot be read: {error}.") from error


def _object(what: str, text: str) -> dict[str, Any]:
    document = _json(what, text)
    if not isinstance(document, dict):
        raise InvalidInput(f"{what}: expected a JSON object.")
    return document


def _json(what: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{what} is not JSON: {error}.") from None
