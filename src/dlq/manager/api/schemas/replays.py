"""Replays, asked for and answered."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from dlq.manager.api.schemas.bounds import MAX_BATCH, example
from dlq.payload import clean_text


class ReplayRequest(BaseModel):
    model_config = example(message_ids=["msg-id-1", "msg-id-2", "msg-id-3"], max_retries=3)

    message_ids: list[Annotated[str, AfterValidator(clean_text)]] = Field(
        min_length=1, max_length=MAX_BATCH
    )
    max_retries: int = Field(3, ge=1, le=100, description="Tries granted to the worker.")


class ReplayProblem(BaseModel):
    message_id: str
    code: str
    error: str


class ReplayResponse(BaseModel):
    model_config = example(success=True, replayed_count=3, failed_count=0, errors=[])

    success: bool
    replayed_count: int
    failed_count: int
    errors: list[ReplayProblem]
