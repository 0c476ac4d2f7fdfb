"""Purges, asked for and told."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dlq.ledger.retention_book import Survey
from dlq.manager.api.schemas.jobs import CauseCount


class PurgeRequest(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"where": "category:invalid_data age>30d", "dry_run": True},
                {"where": "category:invalid_data age>30d", "expected_count": 1204},
            ]
        },
    )

    where: str = Field(min_length=1, max_length=2000, description="docs/filters.md")
    dry_run: bool = Field(False, description="Tell what would be purged; change nothing.")
    expected_count: int | None = Field(
        None, ge=0, description="How many that is, as the dry run said. Required to purge."
    )

    @model_validator(mode="after")
    def _is_confirmed(self) -> Self:
        if not self.dry_run and self.expected_count is None:
            raise ValueError(
                "expected dry_run: true, or the count to purge, as expected_count: the dry run "
                "tells it as total"
            )
        return self


class PurgeView(BaseModel):
    """What a purge would empty now."""

    total: int
    by_state: dict[str, int]
    by_error_type: dict[str, int]
    by_category: dict[str, int]
    causes: list[CauseCount] = Field(description="Up to 20, the largest first.")
    message_ids: list[str] = Field(description="Up to 100, in order of arrival.")

    @classmethod
    def of(cls, survey: Survey) -> Self:
        return cls(
            total=survey.total,
            by_state={state.value: count for state, count in survey.by_state.items()},
            by_error_type=survey.by_error_type,
            by_category=survey.by_category,
            causes=[
                CauseCount(
                    fingerprint=each.group,
                    title=each.title,
                    category=each.category,
                    count=each.count,
                )
                for each in survey.groups
            ],
            message_ids=list(survey.message_ids),
        )
