"""Reads the text of a Python traceback: chains, groups, cut at either end; pure, never raises.

What arrives in a dead letter is text, not an exception object, and often not all of it:
headers are cut at 2000 characters. What can be read is used, the rest is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

MAX_CHARS = 60_000
"""Of a longer text the start and the end are read: root cause and last exception."""
MAX_LINES = 4000
MAX_MESSAGE_CHARS = 2000
MAX_SOURCE_LINES = 6
MAX_SOURCE_CHARS = 300

_HEADER = re.compile(r"(?:Exception Group )?Traceback \(most recent call last\):")
_FRAME = re.compile(r'\s*File "([^"]{1,1024})", line \d+, in (.{1,200})')
_EXCEPTION = re.compile(r"([A-Za-z_][\w.]{0,200}(?:\.<locals>\.[\w.]{1,100}){0,5})(?:: ?(.*))?")
_GROUP_EDGE = re.compile(r" *\+(?:-\+)?-{4,}[-\d. ]*")
_GROUP_LINE = re.compile(r" *[|+] ?(.*)")
_COLOUR = re.compile(r"\x1b\[[\d;]{0,12}m")
_MARKERS = frozenset("^~ ")
_FOREIGN = re.compile(
    r"(?:site|dist)-packages/|/lib(?:64)?/python\d|/python[\d.]*/lib/|/lib/python/|^<(?!stdin>)"
    r"|\.(?:pyx|pxi|pxd|so|pyd)$",  # compiled: Cython names its sources
    re.IGNORECASE,
)
_INSTALLED = re.compile(r".*(?:site|dist)-packages/", re.IGNORECASE)
_RELEASE_FOLDER = re.compile(r"v?\d[\w.]*|\w*\d{3,}\w*|tmp\w*", re.IGNORECASE)
_COMPREHENSIONS = frozenset({"<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>"})
_INSTALLATION_FOLDERS = frozenset(
    {
        *("app", "apps", "build", "code", "current", "data", "dist", "home", "lib", "local"),
        *("main", "opt", "project", "repo", "root", "share", "src", "srv", "tmp", "usr"),
        *("users", "var", "venv", "work", "workspace"),
    }
)
"""Where programs are put: as a folder's name it says nothing about the code in it."""


class Link(Enum):
    """How an exception hangs on the one printed before it."""

    NONE = "none"
    CAUSE = "cause"  # raise … from …
    CONTEXT = "context"  # raised while the other was handled


@dataclass(frozen=True, slots=True)
class Frame:
    path: str
    function: str
    source: str = ""  # the lines of code printed with it, if they were

    @property
    def is_in_app(self) -> bool:
        """Neither the standard library nor an installed package, nor generated code."""
        return _place_of(self.path).is_in_app

    @property
    def module(self) -> str:
        """`package.module`, without what depends on where the program is installed."""
        return _place_of(self.path).module

    @property
    def package(self) -> str:
        """The installed package it belongs to (`requests`); empty for all other code."""
        return _place_of(self.path).package


class _Place(NamedTuple):
    is_in_app: bool
    module: str
    package: str


@lru_cache(maxsize=4096)
def _place_of(path: str) -> _Place:
    path = path.replace("\\", "/")
    parts = path.split("/")
    name = parts[-1].removesuffix(".py").removesuffix(".pyc")
    folder = parts[-2] if len(parts) > 1 else ""
    owner = parts[-3].lower() if len(parts) > 2 else ""
    is_package = (
        folder.isidentifier()
        and folder.lower() not in _INSTALLATION_FOLDERS
        and not _RELEASE_FOLDER.fullmatch(folder)
        and owner not in ("home", "users")
    )
    installed = _INSTALLED.sub("", path)
    package = "" if installed == path else installed.partition("/")[0].removesuffix(".py")
    return _Place(not _FOREIGN.search(path), f"{folder}.{name}" if is_package else name, package)


@dataclass(slots=True)
class Section:
    """One exception of a printed traceback. `error_class` is empty where it was cut away."""

    link: Link = Link.NONE
    is_member: bool = False  # of an exception group
    frames: list[Frame] = field(default_factory=list)
    error_class: str = ""
    message: str = ""


@lru_cache(maxsize=4)  # who diagnoses a failure asks first, who names its cause asks next
def parse_traceback(text: str) -> list[Section]:
    """The exceptions of a printed traceback in the order printed: root cause first. The list
    is shared, so leave it as it is."""
    if len(text) > MAX_CHARS:
        half = MAX_CHARS // 2
        text = text[:half] + "\n" + text[-half:]
    if "\x1b" in text:  # Python colours its tracebacks from 3.13 on
        text = _COLOUR.sub("", text)
    lines = text.splitlines()
    if len(lines) > MAX_LINES:
        lines = lines[: MAX_LINES // 2] + lines[-MAX_LINES // 2 :]
    reader = _Reader()
    for line in lines:
        reader.take(line)
    reader.close()
    if text and not text.endswith("\n"):
        reader.drop_cut_frame()
    return [section for section in reader.sections if section.frames or section.error_class]


class _Reader:
    def __init__(self) -> None:
        self.sections: list[Section] = []
        self.link = Link.NONE
        self.in_group = False
        self.is_member = False
        self.ends_in_frame = False
        self.frame: tuple[str, str] | None = None  # path and function, until its code is read
        self.source: list[str] = []

    def take(self, line: str) -> None:
        line = self._undecorated(line)
        self.ends_in_frame = False
        if line.startswith("    ") and self.frame and not _FRAME.match(line):
            if len(self.source) < MAX_SOURCE_LINES and not _MARKERS.issuperset(line):
                self.source.append(line.strip()[:MAX_SOURCE_CHARS])
        elif frame := _FRAME.fullmatch(line):
            self._frame(frame[1], frame[2].strip())
        else:
            self.close()
            self._take_other(line)

    def close(self) -> None:
        """The frame that was read last is complete."""
        if self.frame:
            self.sections[-1].frames.append(Frame(*self.frame, "\n".join(self.source)))
            self.frame = None
        self.source = []

    def _take_other(self, line: str) -> None:
        if _HEADER.search(line):
            self.in_group = self.in_group or "Exception Group" in line
            self._open()
        elif "exception was the direct cause of the following" in line:
            self.link = Link.CAUSE
        elif line.startswith("During handling of the above exception"):
            self.link = Link.CONTEXT
        else:
            self._other(line)

    def drop_cut_frame(self) -> None:
        """The text ended inside a line that named a frame: its function may be half a name."""
        if self.ends_in_frame:
            self.sections[-1].frames.pop()

    def _undecorated(self, line: str) -> str:
        """Less the rails that an exception group draws; a change of rail ends a member."""
        if "Exception Group Traceback" in line:
            return line.lstrip(" +|")
        if not self.in_group:
            return line
        if _GROUP_EDGE.fullmatch(line):
            self.is_member = True
            self.link = Link.NONE
            self._open()  # a member that was never raised has no header of its own
            return ""
        if rail := _GROUP_LINE.fullmatch(line):
            return rail[1]
        if line.strip():
            self.in_group = self.is_member = False
        return line

    def _open(self) -> Section:
        if self.sections and not (self.sections[-1].frames or self.sections[-1].error_class):
            self.sections.pop()
        section = Section(link=self.link, is_member=self.is_member)
        self.sections.append(section)
        self.link = Link.NONE
        return section

    def _frame(self, path: str, function: str) -> None:
        self.close()
        if not self.sections or self.sections[-1].error_class:
            self._open()
        if function not in _COMPREHENSIONS:  # not frames of their own from 3.12 on
            self.frame = path, function
            self.ends_in_frame = True

    def _other(self, line: str) -> None:
        if not self.sections or self.link is not Link.NONE:
            return
        section = self.sections[-1]
        if section.error_class:
            if len(section.message) < MAX_MESSAGE_CHARS:
                section.message += f"\n{line[:MAX_MESSAGE_CHARS]}"
        elif line[:1].strip() and (found := _EXCEPTION.fullmatch(line)):
            section.error_class = found[1]
            section.message = (found[2] or "")[:MAX_MESSAGE_CHARS]
