"""An installation's own fingerprinter: loaded by name, asked first, never trusted.

It is somebody's code on the path that every dead letter takes: whatever it does wrong costs a
line in the log, and the usual identity is used.
"""

from __future__ import annotations

import importlib
import logging
import threading
import time
from typing import Any, Protocol, cast

from dlq.classify import Diagnosis
from dlq.errors import SettingsError
from dlq.message import OWN_FINGERPRINT_CHARS, DLQMessage
from dlq.payload import clean_text

logger = logging.getLogger(__name__)

LOG_EVERY_S = 60.0


class Fingerprinter(Protocol):
    """Names the cause of a failure in at most 255 characters; None for the usual identity."""

    def __call__(self, message: DLQMessage, diagnosis: Diagnosis, /) -> str | None: ...


def load_fingerprinter(target: str) -> Fingerprinter:
    """The function behind `package.module:function`.

    Raises: SettingsError: says what was expected, and what could not be found or imported.
    """
    module_name, _, attribute = target.strip().partition(":")
    if not module_name or not attribute:
        raise SettingsError(
            f"DLQ_FINGERPRINTER: expected package.module:function, as ours.causes:name_of; "
            f"got {target!r}."
        )
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        raise SettingsError(
            f"DLQ_FINGERPRINTER: expected a module {module_name} that can be imported; importing "
            f"it raised {type(error).__name__}: {error}"
        ) from error
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise SettingsError(
            f"DLQ_FINGERPRINTER: expected a function {attribute} of (message, diagnosis) in "
            f"{module_name}, got {type(found).__name__}."
        )
    return cast(Fingerprinter, found)


_in_force: Fingerprinter | None = None


def use_fingerprinter(fingerprinter: Fingerprinter | None) -> None:
    """Ask it, in this process, for every cause that names no other."""
    global _in_force
    _in_force = fingerprinter


def own_identity(
    fingerprinter: Fingerprinter | None, message: DLQMessage, diagnosis: Diagnosis
) -> str | None:
    """What the fingerprinter says, or the one in force; None if there is none, or it has nothing
    usable to say."""
    fingerprinter = fingerprinter or _in_force
    if fingerprinter is None:
        return None
    try:
        answer: object = fingerprinter(message, diagnosis)
    except Exception as error:  # noqa: BLE001 - logged; the usual identity is used
        _complaints.log("raised %s: %s", type(error).__name__, _told(error))
        return None
    if answer is None:
        return None
    if isinstance(answer, str):
        own = clean_text(answer).strip()
        if 0 < len(own) <= OWN_FINGERPRINT_CHARS:
            return own
        _complaints.log("returned a text of %d characters, expected 1 to 255", len(own))
    else:
        _complaints.log("returned a %s, expected a str or None", type(answer).__name__)
    return None


def _told(error: Exception) -> str:
    try:
        return str(error)[:200]
    except Exception:  # noqa: BLE001 - a broken __str__
        return "its text cannot be read"


class _Complaints:
    """At most one line a minute, with the count of those that were left out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next_at_s = 0.0
        self._left_out = 0

    def log(self, what: str, *values: object) -> None:
        now_s = time.monotonic()
        with self._lock:
            if now_s < self._next_at_s:
                self._left_out += 1
                return
            left_out, self._left_out = self._left_out, 0
            self._next_at_s = now_s + LOG_EVERY_S
        logger.error(
            "The fingerprinter %s; the usual fingerprint is used (%d more such failures)",
            what % values,
            left_out,
        )


_complaints = _Complaints()
