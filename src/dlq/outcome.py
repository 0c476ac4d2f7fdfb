"""A worker's word about one replay that came right, and its form on the wire; pure.

A replay that fails again needs no report of its own: the same dead letter comes back to the
main queue with the new error and the replay's id.
"""

from __future__ import annotations

import datetime as dt

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dlq.errors import InvalidInput
from dlq.message import REPLAY_ID_HEADER, UtcDatetime, WireMessage, new_message_id
from dlq.states import Outcome
from dlq.topology import outcome_routing_key

DETAIL_CHARS = 2000


class OutcomeReport(BaseModel):
    """`replay_id` is unguessable and must name the open replay, else the report is ignored."""

    model_config = ConfigDict(frozen=True)

    message_id: str = Field(min_length=1, max_length=255)
    replay_id: str = Field(min_length=1, max_length=64)
    outcome: Outcome
    worker: str = Field("", max_length=255)
    at: UtcDatetime = Field(default_factory=lambda: dt.datetime.now(dt.UTC))
    detail: str = Field("", max_length=DETAIL_CHARS)


def encode_outcome(report: OutcomeReport, error_type: str) -> WireMessage:
    return WireMessage(
        body=report.model_dump_json().encode("utf-8"),
        routing_key=outcome_routing_key(error_type),
        headers={REPLAY_ID_HEADER: report.replay_id},
        properties={
            "message_id": new_message_id(),
            "correlation_id": report.replay_id,
            "content_type": "application/json",
            "delivery_mode": 2,
            "type": "dlq.outcome",
        },
    )


def decode_outcome(wire: WireMessage) -> OutcomeReport:
    """Raises: InvalidInput: the body is not an outcome report."""
    try:
        report = OutcomeReport.model_validate_json(wire.body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise InvalidInput(
            f"Not an outcome report: {where}: {first['msg']}. "
            "Expected JSON with message_id, replay_id, outcome, worker, at."
        ) from None
    if report.outcome is Outcome.PRESUMED:
        raise InvalidInput(
            "Not an outcome report: outcome: 'presumed' is what is made of silence; expected "
            "succeeded, failed or returned."
        )
    return report
