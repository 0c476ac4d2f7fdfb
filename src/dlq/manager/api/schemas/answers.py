"""What every endpoint may answer."""

from __future__ import annotations

from pydantic import BaseModel

from dlq.manager.api.schemas.bounds import EXAMPLE_ID, example


class Problem(BaseModel):
    """Every error: a text for people, and a code for programs that does not change."""

    model_config = example(detail=f"There is no dead letter {EXAMPLE_ID}.", code="not_found")

    detail: str
    code: str


class Done(BaseModel):
    model_config = example(success=True, message=f"Message {EXAMPLE_ID} replayed successfully")

    success: bool
    message: str
