"""Edits of a payload, answered and told."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from dlq.ledger.base import Edit
from dlq.manager.api.schemas.bounds import EXAMPLE_ID, example
from dlq.message import UtcDatetime


class EditAnswer(BaseModel):
    model_config = example(
        message_id=EXAMPLE_ID,
        edit_count=1,
        payload={"track_id": "abc123"},
        difference=[{"op": "replace", "path": "/track_id", "value": "abc123"}],
        original_payload={"track_id": "abc"},
    )

    message_id: str
    edit_count: int = Field(description="Edits made so far, this one included.")
    payload: dict[str, Any] = Field(description="What the next replay sends.")
    difference: list[dict[str, Any]] = Field(
        description="What this edit changed, as JSON Patch; empty if it changed nothing."
    )
    original_payload: dict[str, Any] = Field(description="As it arrived.")


class EditView(BaseModel):
    number: int
    at: UtcDatetime
    actor: str
    reason: str
    difference: list[dict[str, Any]]

    @classmethod
    def of(cls, edit: Edit) -> EditView:
        return cls.model_validate(edit, from_attributes=True)
