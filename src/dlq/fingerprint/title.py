"""The title by which people know a cause: `Spotify 429 Too Many Requests in enrich_track`."""

from __future__ import annotations

import errno
import os
import re

from dlq.classify import Category, Diagnosis
from dlq.classify.providers import display_name
from dlq.classify.rules import LASTFM_NAMES
from dlq.classify.wording import reason_phrase
from dlq.fingerprint.path import Origin
from dlq.fingerprint.text import one_line

MAX_TITLE_CHARS = 120
MAX_DETAIL_CHARS = 60
MAX_FUNCTION_CHARS = 40

_NOT_A_NAME = re.compile(r"[^\w.-]+")
_NAMES_ITS_REASON = ("key ", "None has no ", "no attribute ")


def title_of(diagnosis: Diagnosis, origin: Origin, reason: str) -> str:
    """One printable line of at most 120 characters, without values of the single case."""
    provider = display_name(diagnosis.error_type)
    name = _name(diagnosis, origin)
    if name and diagnosis.http_status is None:
        detail = _detail(diagnosis, origin, reason)
        name = f"{name} ({detail})" if detail and detail != name else name
    if name:
        what = f"{provider} {name}".strip()
    else:
        what = _message_of(diagnosis, origin, reason)
        what = f"{provider}: {what}" if provider else what
    function = _NOT_A_NAME.sub("", origin.function)[:MAX_FUNCTION_CHARS]
    place = f" in {function}" if function else ""
    return one_line(what, MAX_TITLE_CHARS - len(place)) + place


def _name(diagnosis: Diagnosis, origin: Origin) -> str:
    """A status or a class: what stands without a colon."""
    if diagnosis.rule.startswith("lastfm:"):
        return ""
    if diagnosis.http_status is not None:
        return f"{diagnosis.http_status} {reason_phrase(diagnosis.http_status)}".strip()
    qualified = origin.error_class
    return one_line(qualified.rpartition(".")[2], MAX_DETAIL_CHARS)


def _message_of(diagnosis: Diagnosis, origin: Origin, reason: str) -> str:
    kind, _, code = diagnosis.rule.partition(":")
    if kind == "lastfm" and code.isdigit() and int(code) in LASTFM_NAMES:
        return f"{LASTFM_NAMES[int(code)]} ({code})"
    detail = _detail(diagnosis, origin, reason)
    return detail or f"{diagnosis.category} failure without a message"


def _detail(diagnosis: Diagnosis, origin: Origin, reason: str) -> str:
    """A few words on what went wrong: the reason, which holds no values of the single case."""
    kind, _, code = reason.partition(" ")
    if kind == "errno":
        return os.strerror(getattr(errno, code)).lower() if hasattr(errno, code) else code
    is_named = reason.startswith(_NAMES_ITS_REASON)
    if diagnosis.category is Category.BUG and origin.function and not is_named:
        return ""
    return one_line(reason.removesuffix(": …"), MAX_DETAIL_CHARS)
