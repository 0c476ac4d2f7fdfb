"""Reads a message by the code that made it: `raise NotFound(f"no match for {title}")`; pure.

The trace shows that line, so what varies is known and need not be guessed: it is what stands in
braces. Of these, only what is called a message or a reason is part of the cause.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from dlq.classify.levelling import levelled

MAX_SOURCE_CHARS = 1200
MAX_HOLES = 20
MIN_LETTERS = 4

_STATEMENT = re.compile(r"\b(?:raise|assert)\b")
_LITERAL = re.compile(
    r"(?<!\w)([rbuf]{0,2})"
    r"(?:\"((?:[^\"\\\n]|\\.){2,400})\"|'((?:[^'\\\n]|\\.){2,400})')",
    re.IGNORECASE,
)
_HOLE = re.compile(r"\{([^{}]{0,200})\}|%(?:\(\w{1,40}\))?[-+ #0]{0,3}[\d.]{0,6}[sdrfiagx]")
_TELLS = re.compile(
    r"(?:^|[._\[\"'( ])(?:body|cause|code|description|details?|e|err|errors?|exc|exception|message"
    r"|msg|reason|status|status_code|text|type)(?:[\"'\])]|\)|![rsa]|:|$)"
)


def text_by_source(source: str, message: str, level: Callable[[str], str]) -> str | None:
    """The message less its values; None if this code does not show how it was made.

    Args:
        level: takes what varies out of a value that is itself a message.
    """
    source = source[:MAX_SOURCE_CHARS]
    if not _STATEMENT.search(source):
        return None
    for prefix, double, single in _LITERAL.findall(source):
        literal = double or single
        words, holes = _template(literal, "f" in prefix.lower())
        if sum(map(str.isalpha, "".join(words))) < MIN_LETTERS or " " not in literal:
            continue
        if (values := _values(words, message)) is not None:
            return _told(words, holes, values, level)
    return None


def _template(literal: str, is_f_string: bool) -> tuple[list[str], list[str]]:
    """The fixed parts of a literal, and what fills the holes between them."""
    words: list[str] = []
    holes: list[str] = []
    at = 0
    for hole in _HOLE.finditer(literal):
        if len(holes) == MAX_HOLES:
            break
        words.append(literal[at : hole.start()])
        holes.append(hole[1] or "" if is_f_string else "")
        at = hole.end()
    return [*words, literal[at:]], holes


def _values(words: list[str], message: str) -> list[str] | None:
    """What fills the holes in this message; None if it was not made of these words."""
    if not message.startswith(words[0]):
        return None
    values, at = [], len(words[0])
    for word in words[1:-1]:
        end = message.find(word, at) if word else at
        if end < 0:
            return None
        values.append(message[at:end])
        at = end + len(word)
    if len(words) == 1:
        return values
    if words[-1] and not message.endswith(words[-1]):
        end = message.find(words[-1], at)  # the literal may be one of several
        if end < 0:
            return None
        return [*values, message[at:end]]
    return [*values, message[at : len(message) - len(words[-1])]]


def _told(
    words: list[str], holes: list[str], values: list[str], level: Callable[[str], str]
) -> str:
    parts = [words[0]]
    for hole, value, word in zip(holes, values, words[1:], strict=True):
        parts += [level(value) if _TELLS.search(hole) else "<value>", word]
    return levelled("".join(parts))
