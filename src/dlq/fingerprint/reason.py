"""What tells two failures of one class on one code path apart; pure, never raises.

Hard facts first: a code of the system that failed, the name that the program asked for and
did not find. Else the message, less what varies in it: by the code that made it where the
trace shows that (`raised_text.py`), else by what the item holds (`item_values.py`) and by the
look of it (`levelled`).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from dlq.classify import Diagnosis
from dlq.classify.levelling import levelled
from dlq.classify.told import code_in_words
from dlq.fingerprint.item_values import without_values
from dlq.fingerprint.path import Origin
from dlq.fingerprint.raised_text import text_by_source
from dlq.message import DLQMessage

MAX_REASON_CHARS = 200
MAX_TEXT_CHARS = 600
MAX_LINES = 3

_CODES_OF_RULES = frozenset({"errno", "lastfm", "grpc", "mysql", "broker"})
_ERRNO = re.compile(r"\[Errno -?\d{1,5}\] ")
_HTTP_LINE = re.compile(
    r"\d{3} (?:Client|Server) Error: [^\n]{0,100}? for url: \S{0,2000}\s*$"
    r"|(?:Client|Server) error '[^'\n]{0,100}' for url "
)
_AWS = re.compile(r"An error occurred \(([A-Za-z0-9._]{1,80})\) when calling the (\w{1,80})")
_AMQP = re.compile(r"\((\d{3})(?:,|\)) ?[\"']?([A-Z_]{4,40}) - ([^\n]{0,200})")
_NUMBERED = re.compile(
    r"\b(?:error|code)(?:[ _-]?(?:code|number|no))?[\"']?[^\w\n-]{0,4}(-?\d{1,5})"
    r"(?=[:,;.)}\]\"'<]|\s*$|\s+-)",
    re.IGNORECASE | re.MULTILINE,
)
_PYDANTIC = re.compile(
    r"\d{1,6} validation errors? for ([^\n]{1,80})\n([^\n]{1,200})\n[^\n]{0,600}?\[type=(\w{1,60})"
)
_INDEX = re.compile(r"(?:^|(?<=\.))\d+(?:\.|$)")
_KEY = re.compile(r"\s*'([^'\n]{1,80})'\s*|\s*\"([^\"\n]{1,80})\"\s*")
_WORDED_KEY = re.compile(r"[a-z]{1,30}(?:_[a-z]{1,30}){1,6}|[a-z]{1,30}")
_NO_ATTRIBUTE = re.compile(r"'?([\w.]{1,80})'? object has no attribute '([^'\n]{1,80})'")
_PLACEHOLDER = re.compile(r"<(?:value|id|url|host|path|time|size|email|n)>")
_DOTS = re.compile(r"…(?:[\s,:=/…-]{0,3}…)+")
_TEXTLESS = ("RecursionError", "MemoryError", "ZeroDivisionError")  # worded by the data


def reason_of(message: DLQMessage, diagnosis: Diagnosis, origin: Origin) -> str:
    """At most 200 characters, the same for all failures of one cause."""
    error_message = message.error_message
    text = _text_of(error_message, origin)
    if diagnosis.http_status is not None and _HTTP_LINE.match(text):
        return ""  # it says the status again, and the URL
    name = origin.error_class.rpartition(".")[2]

    def level(told: str) -> str:
        return levelled(without_values(told, message.payload, message.metadata))

    reason = (
        _code(text, error_message, diagnosis.rule, level)
        or _missing_name(name, text, origin)
        or ("" if name in _TEXTLESS else _text(text, origin, level))
    )
    return _DOTS.sub("…", _PLACEHOLDER.sub("…", reason))[:MAX_REASON_CHARS].strip()


def _text_of(error_message: str, origin: Origin) -> str:
    """What the exception says: in a trace that may be cut, and is followed by notes."""
    told = origin.section.message if origin.section and origin.section.error_class else ""
    if origin.is_outermost and (
        error_message.startswith(told) or told.startswith(f"{error_message}\n")
    ):
        told = error_message
    is_only_its_name = told in (origin.error_class, origin.error_class.rpartition(".")[2])
    return "" if is_only_its_name else told


# --- codes -------------------------------------------------------------------------------


def _code(text: str, error_message: str, rule: str, level: Callable[[str], str]) -> str:
    kind, _, code = rule.partition(":")
    if kind not in _CODES_OF_RULES:
        kind, code = code_in_words(text[:MAX_TEXT_CHARS]) or ("", "")
    if kind in _CODES_OF_RULES:
        return f"{kind} {code}"
    for told in (text[:MAX_TEXT_CHARS], error_message[:MAX_TEXT_CHARS]):
        if found := _AWS.search(told):
            return f"{found[1]} of {found[2]}"
        if found := _AMQP.search(told):
            return f"{found[1]} {found[2]} {level(found[3])}"
        if found := _PYDANTIC.match(told):
            return f"{found[1]} {_INDEX.sub('', found[2])} {found[3]}"
    return ""


# --- names that were asked for -----------------------------------------------------------


def _missing_name(class_name: str, text: str, origin: Origin) -> str:
    if class_name == "KeyError":
        found = _KEY.fullmatch(text)
        key = (found[1] or found[2]) if found else ""
        return f"key {key}" if key and _is_of_code(key, origin) else "key"
    if class_name.startswith("Unicode"):
        return text.partition(" can't ")[0][:40]
    if class_name == "AttributeError" and (found := _NO_ATTRIBUTE.search(text[:MAX_TEXT_CHARS])):
        # What else it is may depend on the item; that it is None is the mistake itself.
        return f"None has no {found[2]}" if found[1] == "NoneType" else f"no attribute {found[2]}"
    return ""


def _is_of_code(key: str, origin: Origin) -> bool:
    """Whether the program's code asked for this very key; it is data if it came from elsewhere."""
    shown = [frame.source for frame in origin.frames if frame.source]
    if any(f'"{key}"' in source or f"'{key}'" in source for source in shown):
        return True
    # Code that looks nothing up is not that of the running release: like none.
    is_known = bool(shown) and not (origin.was_raised_here and "[" not in shown[-1])
    return _WORDED_KEY.fullmatch(key) is not None and ("_" in key or not is_known)


# --- text --------------------------------------------------------------------------------


def _text(text: str, origin: Origin, level: Callable[[str], str]) -> str:
    told = None
    if origin.was_raised_here:
        told = text_by_source(origin.frames[-1].source, text, level)
    if told is None:
        told = level(_ERRNO.sub("", _first_lines(text)))
    number = _NUMBERED.search(text[:MAX_TEXT_CHARS])
    if number:
        return f"error {number[1]}: {told}"
    return told


def _first_lines(text: str) -> str:
    return "\n".join(text.strip()[:MAX_TEXT_CHARS].splitlines()[:MAX_LINES])
