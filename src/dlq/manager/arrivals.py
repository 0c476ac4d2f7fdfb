"""From a wire message to what the ledger stores: read, diagnose, name the cause.

Whatever came over AMQP or over HTTP goes through `arrival_of`, so that both are understood
in the same way. It never raises for anything a message may hold.
"""

from __future__ import annotations

from dataclasses import replace

from dlq.classify import Category, Diagnosis, diagnose_text
from dlq.deaths import Death, parse_deaths
from dlq.decode import decode
from dlq.fingerprint import Cause, cause_of
from dlq.ledger.base import Arrival
from dlq.message import (
    REPLAY_ID_HEADER,
    SHORTSTR_BYTES,
    WORKER_HEADER,
    DLQMessage,
    WireMessage,
)
from dlq.topology import EXPIRED_ROUTING_KEY

OWN_RULE = "own:"
"""How the names of an installation's own rules begin in a diagnosis."""


def arrival_of(
    wire: WireMessage, *, redelivered: bool = False, retry_queue: str | None = None
) -> Arrival:
    """Args:
    retry_queue: its name, to know what RabbitMQ sent back from there.
    """
    decoded = decode(wire)
    death = _death_in(wire, retry_queue)
    rejected = death is not None and death.reason != "expired"
    message = decoded.message
    diagnosis, cause = cause_of_message(message)
    return Arrival(
        wire=wire,
        message=message.model_copy(
            update={
                "category": diagnosis.category.value,
                "http_status": diagnosis.http_status,
                "error_class": diagnosis.error_class,
                # The broker's account is all there is of a rejected replay.
                **({"error_message": death.sentence()} if death and rejected else {}),
            }
        ),
        form=decoded.form,
        had_id=decoded.had_id,
        redelivered=redelivered,
        category=diagnosis.category.value,
        fingerprint=cause.fingerprint,
        title=cause.title,
        rule=diagnosis.rule,
        reason=diagnosis.reason,
        replay_id=_short(wire, REPLAY_ID_HEADER, 64),
        worker=_short(wire, WORKER_HEADER, SHORTSTR_BYTES),
        returned=death is not None and not rejected,
        rejected=rejected,
    )


def cause_of_message(message: DLQMessage) -> tuple[Diagnosis, Cause]:
    """What a message, as it was decoded, failed of. The same now as on its arrival, unless the
    rules, the algorithm or the installation's own rules have changed."""
    diagnosis = _diagnosis(message)
    return diagnosis, cause_of(message, diagnosis)


def _diagnosis(message: DLQMessage) -> Diagnosis:
    """The producer saw the exception itself, so its category and status win over words; a rule
    that the installation added itself wins over both."""
    read = diagnose_text(
        message.error_message,
        error_class=message.error_class,
        error_type=message.error_type,
        stack_trace=message.stack_trace,
        http_status=message.http_status,
    )
    category = read.category
    told = Category(message.category) if message.category in set(Category) else None
    if told is Category.MALFORMED or (told and not read.rule.startswith(OWN_RULE)):
        category = told
    return replace(
        read,
        category=category,
        error_class=message.error_class or read.error_class,
        http_status=message.http_status or read.http_status,
    )


def _death_in(wire: WireMessage, retry_queue: str | None) -> Death | None:
    """The broker's account, if the message came back from the retry queue."""
    if wire.routing_key != EXPIRED_ROUTING_KEY:
        return None
    deaths = parse_deaths(wire.headers)
    return next((death for death in deaths if death.queue == retry_queue), None)


def _short(wire: WireMessage, header: str, max_chars: int) -> str | None:
    value = wire.headers.get(header)
    return value if isinstance(value, str) and 0 < len(value) <= max_chars else None
