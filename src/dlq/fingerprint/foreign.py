"""Reads stack traces of other languages, as far as a place in the code needs it; pure.

Java and Kotlin, JavaScript, Go, .NET, PHP and Ruby each print one line a frame.
"""

from __future__ import annotations

import re

from dlq.classify.tracebacks import Frame, Section

MAX_CHARS = 20_000
MAX_FRAMES = 100
MAX_LINE_CHARS = 400

_JAVA = re.compile(r"\s{0,8}at (?:\S{1,80}//?)?((?:[\w$]+\.)+)([\w$<>]+)\([^()]{0,200}\)")
_NODE = re.compile(
    r"\s{0,8}at (?:async )?(?:new )?(?:([^\s(]{1,120})[^(]{0,60} \()?([^()\s]{1,300}):\d+:\d+\)?"
)
_DOTNET = re.compile(
    r"\s{0,8}at ([\w.`<>+]+)\.([\w`<>|]+)\([^()]{0,200}\)(?: in (.{1,300}):line \d+)?"
)
_PHP = re.compile(r"#\d+ ([^\s(]{1,300})\(\d+\): ([\w\\>:-]{1,120})\(.*")
_RUBY = re.compile(r"\s{0,8}(?:from )?(\S{1,300}\.rb):\d+:in [`']([^'`]{1,120})'.{0,100}")
_GO_FUNCTION = re.compile(r"([\w./*()@-]{1,200})\([^()]{0,200}\)|([\w./*()@-]{1,200})\(\.\.\.\)")
_GO_FILE = re.compile(r"\t(\S{1,300}\.go):\d+(?: \+0x[0-9a-f]+)?")
_CAUSE = re.compile(r"\s{0,8}Caused by: ")
_CLASS = re.compile(
    r"(?:Caused by: |Uncaught |Exception in thread \"[^\"]{0,80}\" )?((?:[\w$]+\.)*[\w$]+)(?::.*)?"
)
_FOREIGN = re.compile(
    r"(?:^|/)node_modules/|^node:|^internal/|/go/pkg/mod/|/usr/local/go/src/|/vendor/|/gems/"
    r"|^(?:java|javax|jdk|sun|com/sun|kotlin|kotlinx|scala|akka|reactor|okhttp3|retrofit2|org/apache"
    r"|org/springframework|org/hibernate|com/fasterxml|com/google|io/netty|io/grpc|System|Microsoft)/"
)


def foreign_section(text: str) -> Section | None:
    """The root cause of a trace that is not Python's; None if it has no frames either."""
    frames: list[Frame] = []
    error_class = ""
    go_function = ""
    for line in text[:MAX_CHARS].splitlines():
        line = line[:MAX_LINE_CHARS]
        if not line:
            continue
        if _CAUSE.match(line):  # what follows is nearer to the root
            frames, error_class = [], ""
        if frame := _frame(line, go_function):
            if len(frames) < MAX_FRAMES:
                frames.append(frame)
        elif not error_class and (found := _CLASS.fullmatch(line.strip())):
            error_class = found[1]
        found = _GO_FUNCTION.fullmatch(line)
        go_function = (found[1] or found[2]) if found else ""
    own = [frame for frame in reversed(frames) if frame.is_in_app]
    return Section(frames=own or frames[:1], error_class=error_class) if frames else None


def _frame(line: str, go_function: str) -> Frame | None:
    if go_function and (found := _GO_FILE.fullmatch(line)):
        return _made(found[1], go_function.rpartition("/")[2].rpartition(".")[2])
    if found := _JAVA.fullmatch(line):
        return _made(found[1].rstrip(".").replace(".", "/"), found[2])
    if found := _NODE.fullmatch(line):
        return _made(found[2].removeprefix("file://"), found[1] or "<anonymous>")
    if found := _DOTNET.fullmatch(line):
        return _made(found[1].replace(".", "/"), found[2])
    if found := _PHP.fullmatch(line):
        return _made(found[1], found[2])
    if found := _RUBY.fullmatch(line):
        return _made(found[1], found[2])
    return None


def _made(path: str, function: str) -> Frame:
    if function.startswith("lambda$"):
        function = "<lambda>"
    return Frame(f"<library>/{path}" if _FOREIGN.search(path) else path, function)
