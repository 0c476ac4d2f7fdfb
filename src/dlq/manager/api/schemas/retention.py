"""What is lost next, told in the statistics."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from dlq.manager.outlook import Outlook
from dlq.message import UtcDatetime


class RetentionView(BaseModel):
    """What is lost next if nobody does anything; days are 0 once it is due."""

    model_config = ConfigDict(from_attributes=True)

    days_left_by_age: float | None = Field(description="null: nothing is lost by age.")
    days_left_by_length: float | None = Field(
        description="Until the main queue drops its oldest; null: it does not grow."
    )
    next_loss_at: UtcDatetime | None = Field(description="By age.")
    at_risk_count: int = Field(description="By age, within DLQ_RETENTION_WARN_DAYS.")
    at_risk_is_more: bool = Field(description="There are more than were counted.")
    warnings: list[str] = Field(description="What is near, and what to do.")

    @classmethod
    def of(cls, outlook: Outlook | None) -> Self | None:
        """None: as long as the keeper has not looked, or could not."""
        return None if outlook is None else cls.model_validate(outlook)
