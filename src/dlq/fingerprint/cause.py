"""What makes two failures one cause: provider, category, status, class, code path, reason.

Line numbers, installation paths, ids, titles, hosts and times do not count, nor how the
program came to the code that failed. An identity that somebody gives, the capturing code or an
installation's fingerprinter, is the whole identity.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from typing import Any

from dlq.classify import Diagnosis
from dlq.fingerprint.path import origin_of
from dlq.fingerprint.plugin import Fingerprinter, own_identity
from dlq.fingerprint.reason import reason_of
from dlq.fingerprint.text import one_line
from dlq.fingerprint.title import title_of
from dlq.message import DLQMessage

logger = logging.getLogger(__name__)

ALGORITHM_VERSION = 2
"""Part of the hash: raise it with any change that moves dead letters to other groups."""

DIGITS = 16
MAX_PART_CHARS = 200


@dataclass(frozen=True, slots=True)
class Cause:
    """`fingerprint`: 16 hexadecimal digits; `title`: one printable line of at most 120.

    `parts` say why dead letters belong together, as `category: rate_limit` or `code:
    enrich.spotify:lookup`: printable lines of at most 200.
    """

    fingerprint: str
    title: str
    parts: tuple[str, ...] = ()


def cause_of(
    message: DLQMessage, diagnosis: Diagnosis, *, fingerprinter: Fingerprinter | None = None
) -> Cause:
    """The cause behind `message`, given what it was diagnosed to be; never raises.

    Args:
        fingerprinter: an installation's own, asked first; see `load_fingerprinter`.
    """
    known_class = diagnosis.error_class or message.error_class
    origin = origin_of(message.stack_trace or "", diagnosis.category, known_class)
    reason = reason_of(message, diagnosis, origin)
    title = title_of(diagnosis, origin, reason)
    own = own_identity(fingerprinter, message, diagnosis) or message.fingerprint
    if own:
        return Cause(_digest(["own", own]), title, (_part("own fingerprint", own),))
    parts = (  # what wraps the failure (a class of our own, RetryError, a group) is not among them
        ("provider", diagnosis.error_type),
        ("category", diagnosis.category.value),
        ("status", diagnosis.http_status),
        ("class", _short(origin.error_class)),
        ("code", " < ".join(origin.places)),
        ("reason", reason),
    )
    return Cause(
        _digest([ALGORITHM_VERSION, *(value for _, value in parts)]),
        title,
        tuple(_part(name, value) for name, value in parts if value not in (None, "")),
    )


def _short(name: str) -> str:
    """`requests.ConnectionError` of a qualified name: libraries move classes about inside."""
    words = [word for word in name.split(".") if word not in ("", "<locals>")]
    if not words or words[0] == "builtins":
        return "".join(words[-1:])
    return words[0] if len(words) == 1 else f"{words[0]}.{words[-1]}"


def _digest(identity: list[Any]) -> str:
    return hashlib.sha256(json.dumps(identity).encode("ascii")).hexdigest()[:DIGITS]


def _part(name: str, value: object) -> str:
    return one_line(f"{name}: {value}", MAX_PART_CHARS)
