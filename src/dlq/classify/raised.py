"""Reads an exception object: what it tells about its cause; pure, never raises.

Libraries are known by the names of classes and attributes and never imported. Exceptions
are other people's objects: every attribute may be missing, raise, or be of another type.
Nothing here reads from a network: only bodies that were read already are looked at.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from itertools import chain
from types import TracebackType
from typing import Any

from dlq.classify.evidence import MAX_EXCEPTIONS, MAX_FRAMES, Evidence, class_names
from dlq.classify.told import (
    MAX_TEXT_CHARS,
    Code,
    bounded_s,
    classes_in_words,
    code_in_words,
    errno_code,
    retry_after_in_words,
)
from dlq.classify.tracebacks import Frame, Link

_INNER_ATTRIBUTES = (
    *("reason", "orig", "cause", "original_exception"),
    *("underlying_error", "os_error"),  # pylast, aiohttp
)
_MYSQL_DRIVERS = ("pymysql", "MySQLdb", "aiomysql", "mysql")


def read_exception(error: BaseException) -> Evidence:
    """Read `error` and the exceptions it was raised from, at most MAX_EXCEPTIONS."""
    return _ExceptionReader().read(error)


class _ExceptionReader:
    """Walks the exceptions behind one, each once, and not without end."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def read(self, error: BaseException) -> Evidence:
        self.seen.add(id(error))
        members = tuple(self.read(member) for member in _members(error) if self._is_new(member))
        inner, link = self._inner(error)
        response = _get(error, "response")
        headers = _headers(response) or _headers(error)
        text = _text_of(error)
        names = class_names(type(error))
        return Evidence(
            classes=names,
            named=classes_in_words(text),
            text=text,
            status=_status(error, response, names),
            body=_body(response) or _output(error),
            retry_after_s=_retry_after(headers.get("retry-after", ""), text),
            is_quota_spent=headers.get("x-ratelimit-remaining", "") == "0",
            code=_code(error, response, names) or code_in_words(text),
            url=_url(error, response),
            frames=_frames(error),
            inner=self.read(inner) if inner is not None else None,
            link=link,
            members=members,
        )

    def _inner(self, error: BaseException) -> tuple[BaseException | None, Link]:
        cause = _get(error, "__cause__")
        if self._is_new(cause):
            return cause, Link.CAUSE
        for name in _INNER_ATTRIBUTES:
            wrapped = _get(error, name)
            if self._is_new(wrapped):
                return wrapped, Link.CAUSE
        context = _get(error, "__context__")
        if self._is_new(context) and _get(error, "__suppress_context__") is not True:
            return context, Link.CONTEXT
        for argument in _tuple(_get(error, "args"))[:3]:
            if self._is_new(argument):
                return argument, Link.CAUSE
        return None, Link.NONE

    def _is_new(self, value: Any) -> bool:
        return (
            issubclass(type(value), BaseException)
            and id(value) not in self.seen
            and len(self.seen) < MAX_EXCEPTIONS
        )


# --- single facts of an exception --------------------------------------------------------


def _get(owner: Any, name: str) -> Any:
    try:
        return getattr(owner, name, None)
    except Exception:  # noqa: BLE001 - a property of somebody's class
        return None


def _as_text(value: Any) -> str:
    try:
        return str(value)[:MAX_TEXT_CHARS]
    except Exception:  # noqa: BLE001 - a broken __str__
        return ""


def _text_of(error: BaseException) -> str:
    text = _as_text(error)
    reason = _get(error, "reason")  # spotipy puts the answer's reason beside the message
    return f"{text} {reason[:200]}" if isinstance(reason, str) and reason not in text else text


def _tuple(value: Any) -> tuple[Any, ...]:
    return value if type(value) is tuple else ()


def _members(error: BaseException) -> tuple[Any, ...]:
    """Of a group; of Twisted's ResponseFailed, whose failures stand in `reasons`."""
    if issubclass(type(error), BaseExceptionGroup):
        return _tuple(_get(error, "exceptions"))[:MAX_EXCEPTIONS]
    reasons = _get(error, "reasons")
    failures = reasons[:MAX_EXCEPTIONS] if type(reasons) is list else []
    return tuple(_get(failure, "value") for failure in failures)


def _status(error: BaseException, response: Any, names: tuple[str, ...]) -> int | None:
    answers = ((response, "status_code"), (response, "status"))
    for owner, name in chain(answers, _own_statuses(error, names)):
        status = _whole_number(_get(owner, name)) if owner is not None else None
        if status is not None and 400 <= status <= 599:
            return status
    status = _whole_number(_item(response, "ResponseMetadata", "HTTPStatusCode"))  # botocore
    return status if status is not None and 400 <= status <= 599 else None


def _own_statuses(error: BaseException, names: tuple[str, ...]) -> Iterator[tuple[Any, str]]:
    for name in ("http_status", "status_code", "status"):
        yield error, name
    if "urllib.error.HTTPError" in names:
        yield error, "code"
    yield _get(error, "resp"), "status"  # googleapiclient


def _item(owner: Any, *keys: str) -> Any:
    """What stands under `keys` in nested dictionaries."""
    for key in keys:
        owner = owner.get(key) if type(owner) is dict else None
    return owner


def _whole_number(value: Any) -> int | None:
    """From int, IntEnum, "429" and b"429" (Twisted)."""
    if isinstance(value, bool) or not isinstance(value, int | str | bytes):
        return None
    try:
        return int(value)
    except ValueError:
        return None


def _headers(owner: Any) -> dict[str, str]:
    """Lower-case names; only the few that are of interest."""
    headers = _get(owner, "headers") or _item(owner, "ResponseMetadata", "HTTPHeaders")
    found = {}
    for name in ("Retry-After", "X-RateLimit-Remaining"):
        try:
            value = headers.get(name) or headers.get(name.lower())
        except Exception:  # noqa: BLE001 - not a mapping, or a broken one
            return {}
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        if isinstance(value, str | int):
            found[name.lower()] = str(value).strip()
    return found


def _body(response: Any) -> str:
    """The start of an answer's body if it is in memory; `.text` might read a socket."""
    content = _get(response, "_content")  # requests, httpx
    if not isinstance(content, bytes):
        content = _get(response, "body")  # Scrapy
    if isinstance(content, bytes):
        return content[:MAX_TEXT_CHARS].decode("utf-8", "replace")
    return ""


def _output(error: BaseException) -> str:
    """The end of what a failed command printed, where its messages are."""
    for name in ("stderr", "output"):
        printed = _get(error, name)
        if isinstance(printed, bytes):
            printed = printed[-MAX_TEXT_CHARS:].decode("utf-8", "replace")
        if isinstance(printed, str) and printed.strip():
            return printed[-500:]
    return ""


def _retry_after(value: str, text: str) -> float | None:
    """From the header, seconds or an HTTP date; without it from words."""
    if not value:
        return retry_after_in_words(text)
    try:
        return bounded_s(float(value))
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(value)
        aware = until if until.tzinfo else until.replace(tzinfo=dt.UTC)
        return bounded_s((aware - dt.datetime.now(dt.UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None


def _code(error: BaseException, response: Any, names: tuple[str, ...]) -> Code | None:
    """A code other than an HTTP status, of the systems that give one."""
    library = names[0].partition(".")[0] if names else ""
    first = next(iter(_tuple(_get(error, "args"))), None)
    if library in _MYSQL_DRIVERS and type(first) is int:
        return "mysql", str(first)
    status = _get(error, "status")
    if library == "pylast" and isinstance(status, str | int):
        return "lastfm", _as_text(status)
    for kind, value in (
        ("sqlstate", _get(error, "sqlstate") or _get(error, "pgcode")),
        ("sqlite", _get(error, "sqlite_errorname")),
        ("aws", _item(response, "Error", "Code")),
    ):
        if type(value) is str and value:
            return kind, value[:80]
    reply_code = _get(error, "reply_code")
    if isinstance(reply_code, int):
        return "amqp", str(reply_code)
    # Of a TLS error the number is OpenSSL's.
    has_errno = issubclass(type(error), OSError) and "[SSL" not in _as_text(error)
    return errno_code(_get(error, "errno")) if has_errno else None


def _url(error: BaseException, response: Any) -> str:
    request = _get(error, "request")
    for owner, name in (
        (request, "url"),
        (response, "url"),
        (_get(error, "request_info"), "real_url"),  # aiohttp
        (error, "url"),
        (error, "host"),
        (_get(error, "_pool") or _get(error, "pool"), "host"),  # urllib3; 3 deprecates the second
    ):
        if owner is not None and (value := _get(owner, name)):
            return _as_text(value)[:500]
    return ""


def _frames(error: BaseException) -> tuple[Frame, ...]:
    found: list[Frame] = []
    current = _get(error, "__traceback__")
    while isinstance(current, TracebackType):
        code = current.tb_frame.f_code
        found.append(Frame(code.co_filename, code.co_name))
        current = current.tb_next
    return tuple(reversed(found[-MAX_FRAMES:]))
