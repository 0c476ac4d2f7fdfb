"""Where the benchmark's dead letters fail: the ways of `code_paths.toml`, and their tracebacks.

A code path is a task (the pipeline's own frames, outermost first: a traceback begins where the
exception is caught, around the task) that meets a failure: the library's frames below it, the
exception's class and message, and what was raised before it.
`Traces` renders them as Python 3.11 does.
"""

from __future__ import annotations

import tomllib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SITE = "/venv/lib/python3.11/site-packages"
RELEASES = ("2025.9.3", "2025.10.0", "2025.10.1", "2025.11.0")
"""Each moves the lines of the pipeline's own files a little."""

_FROM = "\nThe above exception was the direct cause of the following exception:\n\n"
_DURING = "\nDuring handling of the above exception, another exception occurred:\n\n"
_BEFORE_A_CALL = ("return await ", "return ", " = await ", " = ", "await ", "yield ")


@dataclass(frozen=True, slots=True)
class Task:
    """A job of the pipeline. `kind` says what its payloads hold."""

    kind: str
    service: str
    frames: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """`message` is a format over the facts of one dead letter; so is that of the cause."""

    error_class: str
    message: str
    frames: tuple[str, ...] = ()
    http_status: int | None = None
    cause: Failure | None = None
    is_explicit: bool = False  # raise … from


@dataclass(frozen=True, slots=True)
class CodePath:
    task: Task
    failure: Failure


class Traces:
    """The traceback of one code path in one release, ready but for its messages."""

    def __init__(self, path: CodePath, release: str) -> None:
        self._release = release
        self._pieces = self._chain(path.task.frames, path.failure)

    def text(self, message: str, cause_message: str) -> str:
        first, *rest = self._pieces
        if not rest:
            return f"{first}{message}\n"
        return f"{first}{cause_message}\n{rest[0]}{message}\n"

    def _chain(self, frames: Sequence[str], failure: Failure) -> list[str]:
        pieces = []
        link = ""
        if failure.cause is not None:
            # What was caught was raised below the innermost of the task's own frames.
            pieces.append(self._one(frames[-1:], failure.cause))
            link = _FROM if failure.is_explicit else _DURING
        return [*pieces, link + self._one(frames, failure)]

    def _one(self, frames: Sequence[str], failure: Failure) -> str:
        lines = "".join(self._frame(frame) for frame in (*frames, *failure.frames))
        return f"Traceback (most recent call last):\n{lines}{failure.error_class}: "

    def _frame(self, written: str) -> str:
        place, _, code = written.partition(" | ")
        where, function = place.rsplit(" ", 1)
        file, line = where.rsplit(":", 1)
        number = int(line) + self._drift(file)
        path = file if file.startswith("/") else f"{SITE}/{file}"
        return f'  File "{path}", line {number}, in {function}\n    {code}\n{_marks(code)}'

    def _drift(self, file: str) -> int:
        """Libraries stay as they are from release to release."""
        if not file.startswith("/app"):
            return 0
        return zlib.crc32(f"{file} {self._release}".encode()) % 12


def _marks(code: str) -> str:
    """Carets below the part of a line that was running, if it is not the whole."""
    if code.startswith(("raise ", "with ", "for ")):
        return ""
    starts = (code.find(before) + len(before) for before in _BEFORE_A_CALL if before in code)
    at = next(starts, None)
    return "" if at is None else f"    {' ' * at}{'^' * (len(code.rstrip(':')) - at)}\n"


# --- reading -----------------------------------------------------------------------------


def _read(path: Path) -> Iterator[CodePath]:
    found = tomllib.loads(path.read_text(encoding="utf-8"))
    stacks = {name: tuple(text.split("\n")[:-1]) for name, text in found["stacks"].items()}
    tasks = {
        name: Task(task["kind"], task["service"], _frames(task, stacks))
        for name, task in found["tasks"].items()
    }
    for way in found["paths"]:
        yield CodePath(tasks[way["task"]], _failure(way, stacks))


def _failure(way: dict[str, Any], stacks: dict[str, tuple[str, ...]]) -> Failure:
    cause = way.get("from") or way.get("during")
    return Failure(
        error_class=way["error"],
        message=way["message"],
        frames=_frames(way, stacks),
        http_status=way.get("http_status"),
        cause=_failure(cause, stacks) if cause else None,
        is_explicit="from" in way,
    )


def _frames(way: dict[str, Any], stacks: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    found: list[str] = []
    for line in way.get("frames", "").splitlines():
        found += stacks[line[1:]] if line.startswith("@") else (line,)
    return tuple(found)


CODE_PATHS = tuple(_read(Path(__file__).with_name("code_paths.toml")))
"""From the most to the least frequent."""
