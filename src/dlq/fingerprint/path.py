"""Where in the code a failure began, from the text of its stack trace; pure, never raises.

The innermost function of our own is the place. How the program came there (a worker, a task of
asyncio, retries, a deeper call) does not count: one function fails for one reason, whoever
calls it. Only where that function could be anybody's (`get`, `call_api`, `raise_for_status`)
its callers count as well, as far as they are of the same module or name it in their code.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from dlq.classify import Category
from dlq.classify.tracebacks import Frame, Link, Section, parse_traceback
from dlq.fingerprint.foreign import foreign_section
from dlq.fingerprint.names import is_anybodys, is_library

MAX_PLACES = 3
MAX_LIBRARY_PLACES = 2
MAX_RECURSIVE_PLACES = 8

_BUGS = frozenset(
    {
        *("AttributeError", "NameError", "UnboundLocalError", "TypeError", "KeyError"),
        *("IndexError", "ZeroDivisionError", "AssertionError", "ImportError"),
        *("ModuleNotFoundError", "RecursionError", "NotImplementedError"),
    }
)
"""Classes that nobody wraps a failure in."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The exception that a failure began with, as far as its trace tells.

    `places` are `package.module:function`, innermost first; `function` is the one to show.
    `frames` are those that count, outermost first. `was_raised_here` tells whether code of our
    own raised it, and not a library below.
    """

    error_class: str = ""
    section: Section | None = None
    frames: tuple[Frame, ...] = ()
    places: tuple[str, ...] = ()
    function: str = ""
    was_raised_here: bool = False
    is_outermost: bool = True  # the exception raised last: the error message is its own


def origin_of(trace: str, category: Category, error_class: str | None = None) -> Origin:
    """Args:
    error_class: of the exception raised last, if that is known; the trace may be cut in it.
    """
    sections = parse_traceback(trace)
    if not sections and (foreign := foreign_section(trace)):
        sections = [foreign]
    if not sections:
        return Origin(error_class=error_class or "")
    origin = _first_with_code(_root_first(sections, category))
    found = origin.section.error_class if origin.section else ""
    whole = error_class if error_class and error_class.startswith(found) else found
    return replace(origin, error_class=whole, is_outermost=origin.section is sections[-1])


def _first_with_code(candidates: list[Section]) -> Origin:
    for counts in (_is_own, _may_be_own):
        for section in candidates:
            if frames := tuple(frame for frame in section.frames if counts(frame)):
                return _own(section, frames)
    return _of_libraries(next((c for c in candidates if c.frames), candidates[0]))


def _own(section: Section, frames: tuple[Frame, ...]) -> Origin:
    path = _path(frames)
    places = [_place(frame) for frame in path]
    if section.error_class.endswith("RecursionError"):
        places = _circle(frames) or places
    shown = next((frame for frame in path if not is_anybodys(frame.function)), path[0])
    return Origin(
        section=section,
        frames=frames,
        places=tuple(places),
        function=shown.module if shown.function.startswith("<") else shown.function,
        was_raised_here=section.frames[-1] is frames[-1],
    )


def _is_own(frame: Frame) -> bool:
    return frame.is_in_app and not _is_compiled_library(frame.path)


def _is_compiled_library(path: str) -> bool:
    """Compiled modules give the path they were built from: `lib/sqlalchemy/engine/….py`."""
    if path[:1] in ("/", "\\", "<", ".") or path[1:2] == ":":
        return False
    parts = path.split("/")
    return is_library(parts[1] if parts[0] in ("lib", "src") and len(parts) > 2 else parts[0])


def _may_be_own(frame: Frame) -> bool:
    """Programs are installed as packages too."""
    return bool(frame.package) and not is_library(frame.package)


# --- the exception -----------------------------------------------------------------------


def _root_first(sections: list[Section], category: Category) -> list[Section]:
    """The exceptions that may be the root cause, the most likely first."""
    members = [section for section in sections if section.is_member]
    chain: list[Section] = []
    for section in reversed([section for section in sections if not section.is_member]):
        chain.insert(0, section)
        # A bug in the handling of a failure is a cause of its own.
        is_bug = category is Category.BUG and section.error_class in _BUGS
        if section.link is Link.NONE or (section.link is Link.CONTEXT and is_bug):
            break
    # The members of a group come in the order in which tasks ended: take them in one.
    return [*sorted(members, key=_order), *chain]


def _order(section: Section) -> tuple[str, list[str]]:
    return section.error_class, [_place(frame) for frame in reversed(section.frames)]


# --- the places --------------------------------------------------------------------------


def _path(frames: tuple[Frame, ...]) -> list[Frame]:
    """The innermost frame, and the callers without which it tells too little."""
    named = [frame for frame in frames if not frame.function.startswith("<")] or [frames[-1]]
    path = [named[-1]]
    for caller in reversed(named[:-1]):
        callee = path[-1]
        if len(path) == MAX_PLACES or not is_anybodys(callee.function):
            break
        if _place(caller) == _place(callee):
            continue
        if not _is_part(caller, callee):
            break
        path.append(caller)
    return path


def _is_part(caller: Frame, callee: Frame) -> bool:
    """Whether a caller belongs to what failed, and is no machinery that calls what it is given.

    Where its code is not shown, or is not that of the running release, the module tells."""
    if _names(caller.source, callee.function):
        return True
    return caller.module == callee.module and not is_anybodys(caller.function)


def _names(source: str, function: str) -> bool:
    """Whether this code calls `function` by its name, and not whatever it was given."""
    at = source.find(f"{function}(")
    return at == 0 or (at > 0 and not (source[at - 1].isalnum() or source[at - 1] == "_"))


def _circle(frames: tuple[Frame, ...]) -> list[str]:
    """The functions of a recursion without end: it stops at any of them."""
    counted = Counter(_place(frame) for frame in frames)
    return sorted(place for place, count in counted.items() if count > 1)[:MAX_RECURSIVE_PLACES]


def _place(frame: Frame) -> str:
    name = frame.function.rpartition(".")[2] or frame.function
    return frame.module if name.startswith("<") else f"{frame.module}:{name}"


def _of_libraries(section: Section) -> Origin:
    """No code of our own is left: where the innermost libraries were entered. What they do
    inside changes from release to release."""
    entries: list[tuple[str, str]] = []
    frames = [frame for frame in section.frames if frame.package] or [
        frame for frame in section.frames if not frame.path.startswith("<frozen")
    ]
    for frame in frames:
        package = frame.package or frame.module.partition(".")[0]
        if not entries or entries[-1][0] != package:
            entries.append((package, frame.function))
    last = entries[-MAX_LIBRARY_PLACES:]
    return Origin(
        section=section,
        frames=tuple(section.frames),
        places=tuple(f"{package}:{function}" for package, function in reversed(last)),
        function=next((name for _, name in reversed(last) if not name.startswith("<")), ""),
    )
