"""The identity of a cause, and a title by which people know it; pure.

Ten thousand dead letters are a handful of causes. Two have one cause when category,
provider, class, HTTP status and the code path agree; line numbers, installation paths,
ids, titles, hosts and times do not count. Where no code path is known, the message with
such values levelled stands in.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import unicodedata
from dataclasses import dataclass

from dlq.classify import Diagnosis
from dlq.classify.providers import display_name
from dlq.classify.rules import LASTFM_NAMES, Category
from dlq.classify.tracebacks import Frame, Link, Section, parse_traceback
from dlq.classify.wording import levelled, reason_phrase
from dlq.message import DLQMessage

ALGORITHM_VERSION = 1
"""Part of the hash: raise it with any change that moves dead letters to other groups."""

MAX_TITLE_CHARS = 120
MAX_DETAIL_CHARS = 60
MAX_FUNCTION_CHARS = 40
MAX_FRAMES = 12
"""The innermost; the ways in (a shell, a worker, a test) would split one cause."""

_PLACEHOLDER = re.compile(r"<(?:value|id|url|host|path|time|email|n)>")
_ERRNO_PREFIX = re.compile(r"^\[Errno -?\d{1,5}\] ")
_NOT_A_NAME = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True)
class Cause:
    """`fingerprint`: 16 hexadecimal digits; `title`: one printable line of at most 120."""

    fingerprint: str
    title: str


def cause_of(message: DLQMessage, diagnosis: Diagnosis) -> Cause:
    """The cause behind `message`, given what it was diagnosed to be."""
    sections = parse_traceback(message.stack_trace or "")
    frames = _root_frames(sections, diagnosis.category)
    error_class = diagnosis.error_class or message.error_class or ""
    identity = [
        ALGORITHM_VERSION,
        diagnosis.category.value,
        diagnosis.error_type,
        error_class,
        diagnosis.http_status,
        _code_path(frames) or levelled(message.error_message),
    ]
    digest = hashlib.sha256(json.dumps(identity).encode("ascii")).hexdigest()
    return Cause(digest[:16], _title(message.error_message, diagnosis, error_class, frames))


# --- the code path -----------------------------------------------------------------------


def _code_path(frames: list[Frame]) -> list[str]:
    """Each place once, so that the depth of a recursion does not count."""
    places = dict.fromkeys(f"{frame.module}:{frame.function}" for frame in frames)
    return list(places)[-MAX_FRAMES:]


def _root_frames(sections: list[Section], category: Category) -> list[Frame]:
    """Frames of the root cause, outermost first: our own if there are any, else libraries'."""
    candidates = [section for section in _root_first(sections, category) if section.frames]
    for section in candidates:
        if own := [frame for frame in section.frames if frame.is_in_app]:
            return own
    return candidates[0].frames if candidates else []


def _root_first(sections: list[Section], category: Category) -> list[Section]:
    """The exceptions that may be the root cause, the most likely first."""
    members = [section for section in sections if section.is_member]
    chain: list[Section] = []
    for section in reversed([section for section in sections if not section.is_member]):
        chain.insert(0, section)
        # A bug in the handling of a failure is a cause of its own.
        is_bug_of_handler = section.link is Link.CONTEXT and category is Category.BUG
        if section.link is Link.NONE or is_bug_of_handler:
            break
    # The members of a group come in the order in which tasks ended: take them in one.
    return [*sorted(members, key=_identity), *chain]


def _identity(section: Section) -> tuple[str, list[str]]:
    return section.error_class, _code_path(section.frames)


# --- the title ---------------------------------------------------------------------------


def _title(text: str, diagnosis: Diagnosis, error_class: str, frames: list[Frame]) -> str:
    """`Spotify 429 Too Many Requests in enrich_track`, `Last.fm: Invalid API key (10)`."""
    provider = display_name(diagnosis.error_type)
    name = _name(diagnosis, error_class)
    if name and diagnosis.http_status is None and diagnosis.category is not Category.BUG:
        detail = _detail(text, diagnosis.rule)
        name = f"{name} ({detail})" if detail else name
    if name:
        what = f"{provider} {name}".strip()
    else:
        what = _message_of(text, diagnosis)
        what = f"{provider}: {what}" if provider else what
    function = _function(frames)
    place = f" in {function}" if function else ""
    return one_line(what, MAX_TITLE_CHARS - len(place)) + place


def _name(diagnosis: Diagnosis, error_class: str) -> str:
    """A status or a class: what stands without a colon."""
    if diagnosis.rule.startswith("lastfm:"):
        return ""
    if diagnosis.http_status is not None:
        return f"{diagnosis.http_status} {reason_phrase(diagnosis.http_status)}".strip()
    return one_line(error_class.rpartition(".")[2], MAX_DETAIL_CHARS)


def _message_of(text: str, diagnosis: Diagnosis) -> str:
    kind, _, code = diagnosis.rule.partition(":")
    if kind == "lastfm" and code.isdigit() and int(code) in LASTFM_NAMES:
        return f"{LASTFM_NAMES[int(code)]} ({code})"
    return _detail(text, diagnosis.rule) or f"{diagnosis.category} failure without a message"


def _detail(text: str, rule: str) -> str:
    """A few words on what went wrong, without the values of the single case."""
    kind, _, code = rule.partition(":")
    if kind == "errno":
        return os.strerror(getattr(errno, code)).lower() if hasattr(errno, code) else code
    first_line = next(iter(text.strip().splitlines()), "")
    told = _PLACEHOLDER.sub("…", levelled(_ERRNO_PREFIX.sub("", first_line)))
    return one_line(told.removesuffix(": …"), MAX_DETAIL_CHARS)


def _function(frames: list[Frame]) -> str:
    """The innermost function that has a name; a script's own level goes by its module."""
    for frame in reversed(frames):
        name = frame.module if frame.function == "<module>" else frame.function
        if not name.startswith("<"):
            return _NOT_A_NAME.sub("", name)[:MAX_FUNCTION_CHARS]
    return ""


def one_line(text: str, max_chars: int) -> str:
    """`text` on one line: no control, bidirectional or invisible characters; cut with an …."""
    shown = "".join(" " if unicodedata.category(c).startswith("C") else c for c in text)
    line = " ".join(shown.split())
    return line if len(line) <= max_chars else f"{line[: max_chars - 1].rstrip()}…"
