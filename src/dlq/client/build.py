"""From a failure to the dead letter that is sent; never raises, and nothing leaves unredacted.

Each part is made on its own, so that a part that cannot be made (a hostile item, a broken
exception) costs that part and not the dead letter.
"""

from __future__ import annotations

import datetime as dt
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from dlq.classify import Diagnosis, diagnose, diagnose_text
from dlq.client.describe import as_exception, cut, message_of, told, trace_of
from dlq.client.failure import Failure
from dlq.client.handling import Handling
from dlq.errors import InvalidInput
from dlq.loose import identifier
from dlq.message import (
    SHORTSTR_BYTES,
    DLQMessage,
    WireMessage,
    encode,
    error_type_word,
    new_message_id,
    routing_key_for,
    shorten_utf8,
)
from dlq.payload import as_object, clean_text
from dlq.redact import redact

logger = logging.getLogger(__name__)
T = TypeVar("T")

CUT_TRACE_CHARS = 4000
CUT_MESSAGE_CHARS = 2000
RETRY_COUNT_MAX = 2**31 - 1


def dead_letter(failure: Failure, *, source_service: str, same_as: DLQMessage | None) -> DLQMessage:
    """The dead letter of `failure`.

    Args:
        source_service: used where the failure names none.
        same_as: the message that failed once more; it lends message_id, and correlation_id,
            error_type and fingerprint where the failure names none. The tries add up.
    """
    known_id = same_as.message_id if same_as else _short(failure.message_id)
    known_correlation = _short(failure.correlation_id) or (
        same_as.correlation_id if same_as else None
    )
    return DLQMessage(
        message_id=known_id or new_message_id(),
        correlation_id=known_correlation,
        retry_count=_count(_count(failure.retry_count) + (same_as.retry_count if same_as else 0)),
        source_service=_short(failure.source_service) or source_service,
        fingerprint=_own_fingerprint(failure.fingerprint)
        or (same_as.fingerprint if same_as else None),
        payload=_part("item", lambda: _object(failure.item), _unreadable(failure.item)),
        metadata=_part(
            "metadata", lambda: _object(failure.metadata or {}), _unreadable(failure.metadata)
        ),
        **_of_the_error(
            failure.error, _word(failure.error_type) or (same_as.error_type if same_as else None)
        ),
    )


def failed_again(message: DLQMessage, error: Any, tries: int) -> DLQMessage:
    """The same dead letter with its newest error and `tries` more tries."""
    fields = _of_the_error(error, message.error_type)
    return message.model_copy(
        update={**fields, "retry_count": _count(message.retry_count + _count(tries))}
    )


def fitting_wire(
    message: DLQMessage, max_bytes: int, handling: Handling | None = None
) -> WireMessage:
    """Encode; if the body is over `max_bytes`, cut the trace and the error message.

    Raises:
        InvalidInput: payload and metadata alone are over the bound.
    """
    link = {
        "replay_id": handling.replay_id if handling else None,
        "worker": handling.worker if handling else None,
    }
    wire = encode(message, **link)
    if len(wire.body) <= max_bytes:
        return wire
    shorter = message.model_copy(
        update={
            "stack_trace": cut(message.stack_trace or "", CUT_TRACE_CHARS) or None,
            "error_message": cut(message.error_message, CUT_MESSAGE_CHARS),
        }
    )
    wire = encode(shorter, **link)
    if len(wire.body) <= max_bytes:
        return wire
    raise InvalidInput(
        f"The dead letter is {len(wire.body)} bytes with its trace cut; at most {max_bytes} are "
        "sent. Publish a smaller item (a reference to the data), or raise DLQ_MAX_BODY_BYTES."
    )


def program_name() -> str:
    """What to call this program where the pipeline does not name itself."""
    script = Path(sys.argv[0] if getattr(sys, "argv", None) else "")
    name = script.parent.name if script.name == "__main__.py" else script.stem
    return name if name not in ("", "-c", "-") else "python"


def _of_the_error(error: Any, error_type: str | None) -> dict[str, Any]:
    exception = as_exception(error)
    diagnosis = _part("diagnosis", lambda: _diagnosis(error, exception, error_type), None)
    word = error_type or (diagnosis.error_type if diagnosis else "general")
    failed_at = dt.datetime.now(dt.UTC)
    return {
        "timestamp": failed_at.replace(microsecond=0),
        "failed_at": failed_at,
        "error_type": word,
        "routing_key": routing_key_for(word),
        "error_message": _part(
            "error", lambda: message_of(error if exception is None else exception), "<unreadable>"
        ),
        "stack_trace": _part("trace", lambda: trace_of(exception) if exception else None, None),
        "error_class": (diagnosis.error_class if diagnosis else None)
        or (type(exception).__qualname__ if exception is not None else None),
        "category": str(diagnosis.category) if diagnosis else None,
        "http_status": diagnosis.http_status if diagnosis else None,
        "retry_after_s": diagnosis.retry_after_s if diagnosis else None,
    }


def _diagnosis(error: Any, exception: BaseException | None, error_type: str | None) -> Diagnosis:
    if exception is not None:
        return diagnose(exception, error_type=error_type)
    return diagnose_text(message_of(error), error_type=error_type)


def _part(name: str, make: Callable[[], T], otherwise: T) -> T:
    try:
        return make()
    except Exception as trouble:  # noqa: BLE001 - logged; this part only is lost
        logger.warning(
            "The %s of a failure cannot be read; the dead letter goes without: %s",
            name,
            told(trouble),
        )
        return otherwise


def _object(value: Any) -> dict[str, Any]:
    return as_object(redact(as_object(value)))


def _unreadable(value: Any) -> dict[str, Any]:
    return {"unreadable": type(value).__name__}


def _short(value: Any) -> str | None:
    """An id or name as text within AMQP's bound; None if there is none."""
    if value is None:
        return None
    text = _part("name", lambda: clean_text(str(value)), "")
    return shorten_utf8(text, SHORTSTR_BYTES) or None


def _own_fingerprint(value: Any) -> str | None:
    """Unlike other names, two that differ must never become the same."""
    if value is None:
        return None
    return _part("fingerprint", lambda: identifier(str(value).strip()), None)


def _word(value: Any) -> str | None:
    text = _short(value)
    return error_type_word(text) if text else None


def _count(value: Any) -> int:
    try:
        return min(max(int(value), 0), RETRY_COUNT_MAX)
    except (TypeError, ValueError, OverflowError):
        return 0
