"""Jobs, asked for and told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dlq.job import Canary, Choice, ItemStatus, Job, JobItem, JobOptions, JobState, Preview
from dlq.message import UtcDatetime
from dlq.pace import parse_rate

IN_FLIGHT = "in_flight"
_NAMES = {status: status.value for status in ItemStatus} | {ItemStatus.SENT: IN_FLIGHT}


class JobRequest(JobOptions):
    """Which dead letters, and how to go about it."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"where": "error_type:musicbrainz category:rate_limit age>1h", "rate": "1/s"},
                {"message_ids": ["msg-id-1", "msg-id-2"], "canary": 1},
            ]
        },
    )

    where: str | None = Field(None, max_length=2000, description="docs/filters.md")
    message_ids: tuple[str, ...] = Field((), max_length=10_000)
    start_at: UtcDatetime | None = Field(None, description="Default: at once.")
    dry_run: bool = Field(False, description="Tell what would be replayed; change nothing.")

    @model_validator(mode="after")
    def _chooses(self) -> Self:
        self.choice()
        return self

    def choice(self) -> Choice:
        return Choice(where=self.where, message_ids=self.message_ids)

    def options(self) -> JobOptions:
        return JobOptions.model_validate(self.model_dump(include=set(JobOptions.model_fields)))


class RepeatRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    start_at: UtcDatetime | None = None


class NewError(BaseModel):
    error: str
    count: int


class CanaryView(BaseModel):
    """How the first few of a job fare. Counts by status, as of the job."""

    model_config = ConfigDict(extra="allow")

    size: int
    passed: bool

    @classmethod
    def of(cls, canary: Canary) -> CanaryView:
        counts = {_NAMES[status]: count for status, count in canary.counts.items()}
        return cls.model_validate({"size": canary.size, "passed": canary.passed, **counts})


class JobView(BaseModel):
    """`total` = `waiting` + `in_flight` + `done`, and `done` is the sum of the rest."""

    job_id: str
    state: JobState
    created_by: str
    created_at: UtcDatetime
    start_at: UtcDatetime
    started_at: UtcDatetime | None
    finished_at: UtcDatetime | None
    repeat_of: str | None
    where: str | None
    chosen_ids: int | None = Field(description="How many ids were named; null: a filter was.")
    options: dict[str, Any]
    total: int
    done: int
    waiting: int
    in_flight: int = Field(description="Sent, outcome awaited.")
    succeeded: int
    failed: int
    returned: int
    presumed: int
    skipped: int
    refused: int
    cancelled: int
    success_rate: float | None = Field(description="Of the replays that came back.")
    rate_per_s: float = Field(description="Replays that came back in the last half minute.")
    eta_s: float | None
    waiting_for: str | None = Field(description="Why nothing is sent just now.")
    stop_reason: str | None
    canary: CanaryView | None
    skipped_because: dict[str, int]
    new_errors: list[NewError]
    unknown_ids: list[str]

    @classmethod
    def of(cls, job: Job, *, waiting_for: str | None) -> JobView:
        counts = {_NAMES[status]: count for status, count in job.counts.items()}
        return cls(
            job_id=job.job_id,
            state=job.state,
            created_by=job.actor,
            created_at=job.created_at,
            start_at=job.start_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            repeat_of=job.repeat_of,
            where=job.choice.where,
            chosen_ids=len(job.choice.message_ids) or None,
            options=job.options.model_dump(exclude_defaults=True),
            total=job.total,
            done=job.done_count,
            **counts,
            success_rate=job.success_rate,
            rate_per_s=round(job.rate_per_s, 3),
            eta_s=job.eta_s(),
            waiting_for=waiting_for,
            stop_reason=job.stop_reason,
            canary=CanaryView.of(job.canary) if job.canary else None,
            skipped_because=job.skipped_because,
            new_errors=[NewError(error=e, count=n) for e, n in job.new_errors.items()],
            unknown_ids=list(job.unknown_ids),
        )


class CauseCount(BaseModel):
    fingerprint: str
    title: str
    category: str
    count: int


class ProviderPace(BaseModel):
    provider: str
    count: int
    rate_per_s: float = Field(description="What is allowed now, by the provider and the job.")
    seconds: float


class PreviewView(BaseModel):
    """What a job would replay if it were started now."""

    dry_run: bool = True
    total: int
    by_error_type: dict[str, int]
    by_state: dict[str, int]
    causes: list[CauseCount] = Field(description="The largest 20.")
    message_ids: list[str] = Field(description="The first 100.")
    unknown_ids: list[str]
    canary: int
    pace: list[ProviderPace]
    eta_s: float

    @classmethod
    def of(
        cls, preview: Preview, options: JobOptions, rates_per_s: Mapping[str, float]
    ) -> PreviewView:
        """`rates_per_s`: what is allowed now, by provider."""
        pace = [
            ProviderPace(
                provider=name,
                count=count,
                rate_per_s=rates_per_s[name],
                seconds=count / rates_per_s[name],
            )
            for name, count in preview.by_error_type.items()
        ]
        # Providers go side by side, but the job's own rate is for all of them together.
        at_job_rate_s = preview.total / parse_rate(options.rate) if options.rate else 0.0
        return cls(
            total=preview.total,
            by_error_type=preview.by_error_type,
            by_state=preview.by_state,
            causes=[
                CauseCount(fingerprint=f, title=t, category=c, count=n)
                for f, t, c, n in preview.causes
            ],
            message_ids=list(preview.message_ids),
            unknown_ids=list(preview.unknown_ids),
            canary=options.canary_of(preview.total),
            pace=pace,
            eta_s=max([at_job_rate_s, *(each.seconds for each in pace)]),
        )


class JobItemView(BaseModel):
    message_id: str
    status: str
    canary: bool
    reason: str | None
    replay_id: str | None
    error: str | None = Field(description="The new one, if it failed.")
    sent_at: UtcDatetime | None
    done_at: UtcDatetime | None

    @classmethod
    def of(cls, item: JobItem) -> JobItemView:
        fields = {name: getattr(item, name) for name in cls.model_fields if name != "status"}
        return cls(status=_NAMES[item.status], **fields)
