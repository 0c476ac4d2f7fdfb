"""Single facts that a message states: codes, classes, how long to wait; pure.

Programs in other languages, and libraries that keep no chain, put into words what Python has
in objects: `Caused by: java.net.ConnectException: …`, `os error 111`, `SQLSTATE[23000]`.
"""

from __future__ import annotations

import errno
import re
from typing import Any

MAX_TEXT_CHARS = 2000
LONGEST_RETRY_AFTER_S = 31 * 24 * 3600.0

Code = tuple[str, str]
"""A kind and a code: ("errno", "ECONNREFUSED"), ("sqlstate", "40001"), ("lastfm", "29") …"""

_RETRY_AFTER = re.compile(
    r"(?:retry[ _-]?after|(?:try|retry)(?:ing)? again (?:in|after))"
    r"[\"']?[\s:=]{1,3}[\"']?(\d{1,7}(?:\.\d{1,3})?)(?![\w.])(?: ?(m(?:in)?))?",
    re.IGNORECASE,
)
_ERRNO_NUMBER = re.compile(r"(?:\berrno[:= ]{1,3}|\(os error )(-?\d{1,4})\b", re.IGNORECASE)
_ERRNO_NAME = re.compile(r"E(?:AI_)?[A-Z]{2,14}\b")
_SQLSTATE = re.compile(r"\bsqlstate\W{0,4}([0-9A-Z]{5})\b", re.IGNORECASE)
_MYSQL = re.compile(r"(?:^\W{0,3}|error\) |error: )\((\d{4}), ?[\"']|\bERROR (\d{4}) \(")
_AMQP = re.compile(r"\((\d{3})[,)] ['\"]?[A-Z]+_[A-Z_]+")
_GRPC = re.compile(r"StatusCode\.([A-Z_]{2,30})|rpc error: code = ([A-Za-z]{2,30})")
_NAME_OF_ERRNO = frozenset(errno.errorcode.values()) | {
    *("ENOTFOUND", "EAI_AGAIN", "EAI_FAIL", "EAI_NONAME", "ESOCKETTIMEDOUT"),
}

_CLASS = r"((?:[A-Za-z_]\w{0,80}(?:[.$\\]|::)){0,12}[A-Z_a-z]\w{1,80})"
_LEADING_CLASS = re.compile(
    r"\s{0,4}(?:(?:uncaught|unhandled|fatal|panic|exception in thread \"[^\"\n]{0,80}\"):? ){0,2}"
    rf"(?:exception:? )?\(?{_CLASS}(?=[:(]|\) |\s*$)",
    re.IGNORECASE,
)
_CAUSE_CLASS = re.compile(rf"\bcaused by:? ?[(<]?{_CLASS}", re.IGNORECASE)
_TYPE_OF_BODY = re.compile(
    r"\"(?:__type|type|code|reason|errorType|exception)\"\s*:\s*\"([A-Za-z.#]{1,80})\""
)
_CLASS_AND_NUMBER = re.compile(r"\s{0,4}([A-Z]\w{1,60}(?:Exception|Error)) \d{1,4}:")
_AWS_CODE = re.compile(r"An error occurred \(([A-Za-z.]{1,80})\) when")


def retry_after_in_words(text: str) -> float | None:
    """Seconds, from `retry after: 30`, `Retry-After=30`, `try again in 30 s` and the like."""
    text = text[:MAX_TEXT_CHARS]
    if not ("etry" in text or "ETRY" in text or "again" in text):  # most: spare the search
        return None
    found = _RETRY_AFTER.search(text)
    return bounded_s(float(found[1]) * (60 if found[2] else 1)) if found else None


def bounded_s(seconds: float) -> float | None:
    """A wait that can be kept: not negative, not longer than a month, not NaN."""
    if seconds != seconds:  # NaN
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S)


def errno_code(number: Any) -> Code | None:
    """The code for an errno of this system."""
    name = errno.errorcode.get(number) if isinstance(number, int) else None
    return ("errno", name) if name else None


def code_in_words(text: str) -> Code | None:
    """The code of a database, of gRPC or of an operating system that `text` states."""
    text = text[:MAX_TEXT_CHARS]
    if ("StatusCode." in text or "rpc error" in text) and (found := _GRPC.search(text)):
        return "grpc", found[1] or re.sub(r"(?<=[a-z])(?=[A-Z])", "_", found[2]).upper()
    if ("SQLSTATE" in text or "sqlstate" in text) and (found := _SQLSTATE.search(text)):
        return "sqlstate", found[1].upper()
    if "(" in text and (found := _MYSQL.search(text)):
        return "mysql", found[1] or found[2]
    if "(" in text and (found := _AMQP.search(text)):
        return "amqp", found[1]
    return _errno_in_words(text)


def _errno_in_words(text: str) -> Code | None:
    """From `[Errno 111] …` or a name; TLS errors use the first with numbers of their own."""
    if "[SSL" in text:
        return None
    has_number = "rrno" in text or "RRNO" in text or "os error" in text
    found = _ERRNO_NUMBER.search(text) if has_number else None
    if found and not found[1].startswith("-"):  # resolvers count from -1 down
        return errno_code(int(found[1]))
    names = (name for name in _ERRNO_NAME.findall(text) if name in _NAME_OF_ERRNO)
    return next((("errno", name) for name in names), None)


def classes_in_words(text: str) -> tuple[str, ...]:
    """The class of error that `text` begins with, that it gives as a cause or that a body names."""
    text = text[:MAX_TEXT_CHARS]
    causes = _CAUSE_CLASS.findall(text) if "aused by" in text else []
    aws = _AWS_CODE.search(text) if "An error occurred (" in text else None
    leading = _LEADING_CLASS.match(text) or _CLASS_AND_NUMBER.match(text)
    typed = _TYPE_OF_BODY.search(text) if '":' in text else None
    return tuple(
        name
        for name in (
            *causes[-1:],
            *((aws[1],) if aws else ()),
            *((typed[1].rpartition("#")[2],) if typed else ()),
            *((leading[1],) if leading and leading[1][0].isalpha() else ()),
        )
        if not name.islower() or "." in name
    )
