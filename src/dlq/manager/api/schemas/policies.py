"""Retry policies: those in force, and others tried on the past."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from dlq.manager.api.schemas.bounds import example

MAX_CHARS = 256 * 1024
YEAR_S = 365 * 24 * 3600
MONTH_S = 30 * 24 * 3600


class PoliciesView(BaseModel):
    automatic_retry: bool
    digest: str | None = Field(description="Of the meaning; changes with the decisions.")
    file: str = Field(description="'shipped' if no file is set.")
    worker_is_there: bool | None = Field(
        description="Without one nothing is sent by itself. null: the broker does not say."
    )
    rules: list[dict[str, Any]]


class RehearsalRequest(BaseModel):
    model_config = example(policies=None, since_s=MONTH_S)

    policies: str | None = Field(
        None, max_length=MAX_CHARS, description="YAML; null: those in force, or that would be."
    )
    since_s: int = Field(MONTH_S, ge=1, le=YEAR_S)


class RehearsalView(BaseModel):
    """What the policies would have done. The counts are described in docs/policies.md."""

    model_config = ConfigDict(extra="allow")

    digest: str
    truncated: bool = Field(description="There were more dead letters than are looked at.")
