"""What an exception, or the text of one, tells about its cause; pure, never raises.

Libraries are known by the names of classes and attributes and never imported. Exceptions
are other people's objects: every attribute may be missing, raise, or be of another type.
Nothing here reads from a network: only bodies that were read already are looked at.
"""

from __future__ import annotations

import builtins
import datetime as dt
import errno
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any

from dlq.tracebacks import Frame, Link, Section

MAX_EXCEPTIONS = 24
MAX_TEXT_CHARS = 2000
MAX_FRAMES = 60
LONGEST_RETRY_AFTER_S = 31 * 24 * 3600.0

_RETRY_AFTER_WORDS = re.compile(
    r"retry[ _-]?after[\"']?[\s:=]{1,3}[\"']?(\d{1,7}(?:\.\d{1,3})?)\b", re.IGNORECASE
)
_ERRNO_WORDS = re.compile(r"\[errno (-?\d{1,4})\]", re.IGNORECASE)
_INNER_ATTRIBUTES = ("reason", "orig", "cause", "original_exception")


@dataclass(frozen=True, slots=True)
class Evidence:
    """One exception and, through `inner` and `members`, those behind it."""

    classes: tuple[str, ...] = ()  # qualified names, most derived first
    text: str = ""
    status: int | None = None  # HTTP, 400 to 599
    body: str = ""  # of the HTTP answer, if it was read
    retry_after_s: float | None = None
    is_quota_spent: bool = False  # a header said that no request is left
    code: tuple[str, str] | None = None  # ("errno", "ECONNREFUSED"), ("sqlstate", "40001") …
    url: str = ""
    frames: tuple[Frame, ...] = ()  # innermost first
    inner: Evidence | None = None
    link: Link = Link.NONE  # to inner
    members: tuple[Evidence, ...] = ()  # of an exception group

    def all(self) -> list[Evidence]:
        """This one and everything behind it, outermost first."""
        found = [self]
        for other in (*self.members, *((self.inner,) if self.inner else ())):
            found.extend(other.all())
        return found


def read_exception(error: BaseException) -> Evidence:
    """Read `error` and the exceptions it was raised from, at most MAX_EXCEPTIONS."""
    return _ExceptionReader().read(error)


def read_sections(sections: list[Section]) -> Evidence | None:
    """The same from a parsed traceback; None if it names no exception."""
    outermost: Evidence | None = None
    members: list[Evidence] = []
    for section in sections:
        inner = (members[-1] if members else None) if section.is_member else outermost
        linked = inner if section.link is not Link.NONE else None
        read = read_text(
            section.message,
            error_class=section.error_class,
            frames=tuple(reversed(section.frames[-MAX_FRAMES:])),
            inner=linked,
            link=section.link,
        )
        if not section.is_member:
            outermost = read
        elif linked is not None:
            members[-1] = read
        elif len(members) < MAX_EXCEPTIONS:
            members.append(read)
    if outermost is None or not members:
        return outermost
    return Evidence(
        classes=outermost.classes,
        text=outermost.text,
        frames=outermost.frames,
        members=tuple(members),
    )


def read_text(
    text: str,
    *,
    error_class: str | None = None,
    status: int | None = None,
    frames: tuple[Frame, ...] = (),
    inner: Evidence | None = None,
    link: Link = Link.NONE,
) -> Evidence:
    """What a message tells by itself."""
    return Evidence(
        classes=_class_names_of_word(error_class) if error_class else (),
        text=text[:MAX_TEXT_CHARS],
        status=status if status is not None and 400 <= status <= 599 else None,
        retry_after_s=_retry_after_words(text),
        code=_errno_words(text),
        frames=frames,
        inner=inner,
        link=link if inner is not None else Link.NONE,
    )


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
        return Evidence(
            classes=class_names(type(error)),
            text=text,
            status=_status(error, response),
            body=_body(response),
            retry_after_s=_retry_after(headers.get("retry-after", ""), text),
            is_quota_spent=headers.get("x-ratelimit-remaining", "") == "0",
            code=_code(error) or _errno_words(text),
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


def class_names(error_type: type[BaseException]) -> tuple[str, ...]:
    """Qualified names along the MRO; builtins without their module; less the common roots."""
    names: list[str] = []
    for cls in error_type.__mro__[:12]:
        if cls in (BaseException, object) or (cls is Exception and names):
            continue
        module, name = _get(cls, "__module__"), _get(cls, "__qualname__")
        name = name if isinstance(name, str) else "Unnamed"
        plain = not isinstance(module, str) or module == "builtins"
        names.append(name if plain else f"{module}.{name}")
    return tuple(names)


def _class_names_of_word(word: str) -> tuple[str, ...]:
    """The parents of Python's own exceptions are known; of others there is but the name."""
    known = vars(builtins).get(word)
    if isinstance(known, type) and issubclass(known, BaseException):
        return class_names(known)
    return (word,)


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
    is_group = issubclass(type(error), BaseExceptionGroup)
    return _tuple(_get(error, "exceptions"))[:MAX_EXCEPTIONS] if is_group else ()


def _status(error: BaseException, response: Any) -> int | None:
    candidates = [
        *(_get(response, name) for name in ("status_code", "status")),
        *(_get(error, name) for name in ("http_status", "status_code", "status")),
    ]
    if "urllib.error.HTTPError" in class_names(type(error)):
        candidates.append(_get(error, "code"))
    for candidate in candidates:
        status = _whole_number(candidate)
        if status is not None and 400 <= status <= 599:
            return status
    return None


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
    headers = _get(owner, "headers")
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


def _retry_after(value: str, text: str) -> float | None:
    """From the header, seconds or an HTTP date; without it from words."""
    if not value:
        return _retry_after_words(text)
    try:
        return _bounded(float(value))
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(value)
        aware = until if until.tzinfo else until.replace(tzinfo=dt.UTC)
        return _bounded((aware - dt.datetime.now(dt.UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None


def _retry_after_words(text: str) -> float | None:
    found = _RETRY_AFTER_WORDS.search(text[:MAX_TEXT_CHARS])
    return _bounded(float(found[1])) if found else None


def _bounded(seconds: float) -> float | None:
    if seconds != seconds:  # NaN
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S)


def _code(error: BaseException) -> tuple[str, str] | None:
    """A code other than an HTTP status, of the systems that give one."""
    sqlstate = _get(error, "sqlstate") or _get(error, "pgcode")
    if isinstance(sqlstate, str) and len(sqlstate) == 5:
        return "sqlstate", sqlstate
    reply_code = _get(error, "reply_code")
    if isinstance(reply_code, int):
        return "amqp", str(reply_code)
    status = _get(error, "status")
    if isinstance(status, str | int) and class_names(type(error))[0].startswith("pylast."):
        return "lastfm", _as_text(status)
    return _errno(_get(error, "errno")) if issubclass(type(error), OSError) else None


def _errno(number: Any) -> tuple[str, str] | None:
    name = errno.errorcode.get(number) if isinstance(number, int) else None
    return ("errno", name) if name else None


def _errno_words(text: str) -> tuple[str, str] | None:
    found = None if "[SSL" in text else _ERRNO_WORDS.search(text[:MAX_TEXT_CHARS])
    return _errno(int(found[1])) if found else None


def _url(error: BaseException, response: Any) -> str:
    request = _get(error, "request")
    for owner, name in (
        (request, "url"),
        (response, "url"),
        (_get(error, "request_info"), "real_url"),  # aiohttp
        (error, "url"),
        (error, "host"),
        (_get(error, "pool"), "host"),  # urllib3
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
