"""Regroups, asked for and told."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from dlq.manager.api.schemas.bounds import EXAMPLE_ID, example
from dlq.manager.regroup import Progress, Report
from dlq.manager.regroup_plan import Kind

_FROM_RECORDS = ConfigDict(from_attributes=True)


class RegroupRequest(BaseModel):
    model_config = example(dry_run=True) | ConfigDict(extra="forbid")

    dry_run: bool = Field(description="true: tell what would change; false: change it.")


class PartView(BaseModel):
    """A cause before or after."""

    model_config = _FROM_RECORDS

    fingerprint: str
    title: str
    category: str = Field(description="As the rules find it.")
    group: str = Field(description="The group that it stands in before; empty for one after.")
    count: int = Field(description="Dead letters, in whatever state.")


class ChangeView(BaseModel):
    """Causes that split, merge or become others, together."""

    model_config = _FROM_RECORDS

    kind: Kind = Field(
        description="split: one becomes several; merge: several become one; mixed: several become "
        "several others; category: one to one, in another category; rename: one to one, by its "
        "fingerprint only."
    )
    before: list[PartView] = Field(description="The largest first.")
    after: list[PartView]
    moved: int = Field(description="Dead letters that get another cause.")
    samples: list[str] = Field(description="Some of them.", examples=[[EXAMPLE_ID]])
    kept_groups: list[str] = Field(
        description="Groups that go on with all they had, under their ids and with their marks."
    )
    left_marks: list[str] = Field(
        description="Marked groups whose marks do not go along with what leaves them."
    )


class ReportView(BaseModel):
    model_config = _FROM_RECORDS

    dry_run: bool
    total: int = Field(description="Dead letters that were looked at.")
    to_move: int = Field(description="Of them with another cause, before anything was moved.")
    moved: int
    unchanged_causes: int
    changes: list[ChangeView] = Field(description="Most moved first.")

    @classmethod
    def of(cls, report: Report) -> Self:
        return cls.model_validate(report)


class ProgressView(BaseModel):
    """One line on the way."""

    model_config = _FROM_RECORDS

    phase: str = Field(description="reading, then moving.")
    done: int
    total: int = Field(description="Of this phase.")
    moved: int

    @classmethod
    def of(cls, progress: Progress) -> Self:
        return cls.model_validate(progress)


class ReportLine(BaseModel):
    """The last line."""

    report: ReportView
