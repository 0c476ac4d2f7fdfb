"""Takes out of a message what it tells of its own item; pure, never raises.

In `track 4uLU6h (Amelie Lens - Groove) is not available` nothing but the dead letter's payload
tells the data from the sentence. A value that may as well be a word of the sentence (`track`,
`timeout`, `Not Found`) or a name in code (`enrich_track`) stays.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from functools import lru_cache
from http import HTTPStatus
from itertools import islice

MAX_VALUES = 60
MAX_CONTAINERS = 40
MIN_CHARS, MAX_CHARS = 3, 200
MAX_TEXT_CHARS = 1500

STAND_IN = "x0x0x"
"""Levelled as an id is, wherever it stands: in a sentence, in quotes, in a URL, in a path."""

_NAME_IN_CODE = re.compile(r"[a-z_]+(?:\.[a-z_]+)*")
_TELLS = re.compile(
    r"(?:^|[._-])(?:body|cause|code|description|details?|errors?|exception|message|msg|reason"
    r"|stacktrace|status|trace|traceback)(?:[._-]|$)",
    re.IGNORECASE,
)
"""Names of fields that hold what went wrong, not what the item is."""
_PHRASES = frozenset(status.phrase.lower() for status in HTTPStatus)
_SAID_OF_ANY = _PHRASES.union(*(phrase.split() for phrase in _PHRASES))
_UNSPACED = "\u2e80"  # from here on are scripts that put no spaces between words


def without_values(text: str, *held: object) -> str:
    """`text`, cut to `MAX_TEXT_CHARS`, with `STAND_IN` for each value of the item in it.

    Args:
        held: the dead letter's payload and metadata, as decoded from JSON.
    """
    text = text[:MAX_TEXT_CHARS]
    found = {value for value in islice(_strings(held), MAX_VALUES) if value in text}
    for value in sorted(found, key=lambda value: (-len(value), value)):
        if _is_data(value):
            text = _without(text, value)
    return text


def _strings(held: tuple[object, ...]) -> Iterator[str]:
    """Those of a length that can be data, the outer ones first."""
    waiting: deque[object] = deque([held])
    for _ in range(MAX_CONTAINERS):
        if not waiting:
            return
        for part in _parts(waiting.popleft()):
            if isinstance(part, str):
                if MIN_CHARS <= len(part) <= MAX_CHARS:
                    yield part
            elif isinstance(part, dict | list):
                waiting.append(part)


def _parts(container: object) -> Iterable[object]:
    if isinstance(container, dict):
        pairs = islice(container.items(), MAX_VALUES)
        return [value for key, value in pairs if not _tells(str(key))]
    return islice(container, MAX_VALUES) if isinstance(container, list | tuple) else ()


@lru_cache(maxsize=1024)
def _tells(field: str) -> bool:
    return _TELLS.search(field) is not None


def _is_data(value: str) -> bool:
    """Whether a value is unlike a word of a sentence. A number is levelled with its unit."""
    return (
        _NAME_IN_CODE.fullmatch(value) is None
        and value.lower() not in _SAID_OF_ANY
        and any(map(str.isalpha, value))
    )


def _without(text: str, value: str) -> str:
    """Where the value stands as whole words; a lone word that begins the text is the text's."""
    pieces = []
    kept = at = 0
    while (at := text.find(value, at)) >= 0:
        end = at + len(value)
        begins = at == 0 and value.isascii() and value.isalpha()
        if begins or _joins(text[at - 1 : at], value[0]) or _joins(value[-1], text[end : end + 1]):
            at += 1
            continue
        pieces += [text[kept:at], STAND_IN]
        kept = at = end
    return "".join([*pieces, text[kept:]])


def _joins(before: str, after: str) -> bool:
    """Whether two neighbours are of one word."""
    return _is_of_word(before) and _is_of_word(after)


def _is_of_word(character: str) -> bool:
    return (character.isalnum() and character < _UNSPACED) or character == "_"
