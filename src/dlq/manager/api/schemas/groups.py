"""Groups: causes as people see them, and what people say of them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from dlq import hints
from dlq.classify import Category
from dlq.hints import Facts
from dlq.ledger.cause_book import Group, GroupCause, GroupStory, Member, Release, Status
from dlq.manager.api.schemas.bounds import EXAMPLE_ID, example
from dlq.manager.api.schemas.health import AuditView
from dlq.manager.api.schemas.providers import OutcomesView
from dlq.message import UtcDatetime
from dlq.states import State

MAX_NOTE_CHARS = 4000
MAX_RELEASE_CHARS = 255
MAX_GROUP_ID_CHARS = 255
TEN_YEARS_S = 10 * 365 * 86_400


class GroupView(BaseModel):
    """Dead letters with one cause, or with several that were merged."""

    model_config = example(
        id="5c457931adde782b",
        fingerprint="5c457931adde782b",
        title="Spotify 429 Too Many Requests in enrich_track",
        category="rate_limit",
        category_corrected=False,
        error_type="spotify",
        error_class="spotipy.exceptions.SpotifyException",
        http_status=429,
        rule="status:429",
        reason="HTTP 429: the provider said that there were too many requests.",
        count=89,
        by_state={"pending": 80, "parked": 9, "resolved": 31},
        first_seen="2025-10-09T10:00:00Z",
        last_seen="2025-10-10T14:30:00Z",
        last_hour=4,
        last_24h=89,
        last_7d=120,
        hourly=[*[0] * 20, 12, 41, 32, 4],
        is_new=False,
        came_back_at=None,
        status="open",
        muted_until=None,
        fixed_in=None,
        note=None,
        services={"api-enrichment-pipeline": 89},
        sample_messages=[EXAMPLE_ID],
        replay_success_rate=0.96,
        hint="Wait until Spotify's window resets, typically 30 seconds, then replay in batches. "
        "Replays of it succeeded in 31 of 32 tries: replay it.",
    )

    id: str = Field(description="The same as `fingerprint`.")
    fingerprint: str
    title: str = Field(description="The cause in one line.")
    category: str
    category_corrected: bool = Field(description="By an operator, for all that will come too.")
    error_type: str
    error_class: str | None
    http_status: int | None
    rule: str = Field(description="That found the category.")
    reason: str = Field(description="Why, in one line.")
    count: int = Field(description="In the DLQ.")
    by_state: dict[State, int] = Field(description="Without zeros.")
    first_seen: UtcDatetime
    last_seen: UtcDatetime
    last_hour: int = Field(description="Failures of the clock hour that is running.")
    last_24h: int = Field(description="Of that hour and the 23 before.")
    last_7d: int = Field(description="Of that hour and the 167 before.")
    hourly: list[int] = Field(description="Failures of 24 clock hours, the running one last.")
    is_new: bool = Field(description="First seen in the last 24 hours.")
    came_back_at: UtcDatetime | None = Field(
        description="After it was resolved or fixed; until somebody acknowledges it."
    )
    status: Status
    muted_until: UtcDatetime | None
    fixed_in: str | None = Field(description="A release; empty: fixed, and not said in which.")
    note: str | None
    services: dict[str, int] = Field(description="In the DLQ, by service.")
    sample_messages: list[str] = Field(description="Ids of the newest in the DLQ.")
    replay_success_rate: float | None = Field(description="Of closed replays; null: none yet.")
    hint: str = Field(description="What to do, and what worked before.")

    @classmethod
    def of(cls, group: Group) -> GroupView:
        return cls(**_fields(group))


class MarksView(BaseModel):
    """Who said what of the group, and when."""

    category: str | None
    note: str | None
    noted_by: str | None
    noted_at: UtcDatetime | None
    muted_until: UtcDatetime | None
    muted_by: str | None
    acknowledged_at: UtcDatetime | None
    acknowledged_by: str | None
    archived_at: UtcDatetime | None
    archived_by: str | None
    fixed_at: UtcDatetime | None
    fixed_by: str | None
    fixed_in: str | None
    came_back_at: UtcDatetime | None


class ReleaseView(BaseModel):
    release: str
    failures: int
    first_seen: UtcDatetime
    last_seen: UtcDatetime

    @classmethod
    def of(cls, release: Release) -> ReleaseView:
        return cls(
            release=release.name,
            failures=release.failures,
            first_seen=release.first_seen,
            last_seen=release.last_seen,
        )


class MemberView(BaseModel):
    """A cause in the group."""

    fingerprint: str
    title: str
    error_type: str
    category: str = Field(description="As the rules found it.")
    error_class: str | None
    http_status: int | None
    rule: str
    reason: str
    count: int = Field(description="In the DLQ.")
    first_seen: UtcDatetime
    last_seen: UtcDatetime

    @classmethod
    def of(cls, cause: GroupCause) -> MemberView:
        return cls(**_of_member(cause.member), count=cause.count)


class GroupStoryView(GroupView):
    """A group with all that is known of it."""

    daily: list[int] = Field(description="Failures of 7 times 24 hours, the newest last.")
    releases: list[ReleaseView] = Field(description="`metadata.release`, seen last first.")
    causes: list[MemberView] = Field(description="What is merged in it; seen last first.")
    outcomes: OutcomesView
    steps: list[str] = Field(description="What to do, step by step.")
    marks: MarksView
    history: list[AuditView] = Field(description="Changes of its marks, newest first.")

    @classmethod
    def tell(cls, story: GroupStory) -> GroupStoryView:
        group = story.group
        return cls(
            **_fields(group),
            daily=list(story.daily),
            releases=[ReleaseView.of(release) for release in story.releases],
            causes=[MemberView.of(cause) for cause in story.causes],
            outcomes=OutcomesView.of(group.outcomes),
            steps=hints.steps(_facts(group)),
            marks=MarksView.model_validate(group.marks, from_attributes=True),
            history=[AuditView.of(entry) for entry in story.history],
        )


def _fields(group: Group) -> dict[str, Any]:
    marks = group.marks
    return _of_member(group.shown) | {
        "id": group.fingerprint,
        "fingerprint": group.fingerprint,
        "category": group.category,
        "category_corrected": marks.category is not None,
        "count": group.count,
        "by_state": group.by_state,
        "first_seen": group.first_seen,
        "last_seen": group.last_seen,
        "last_hour": group.trend.last_hour,
        "last_24h": group.trend.last_24h,
        "last_7d": group.trend.last_7d,
        "hourly": list(group.trend.hourly),
        "is_new": group.is_new,
        "came_back_at": marks.came_back_at,
        "status": group.status,
        "muted_until": marks.muted_until,
        "fixed_in": marks.fixed_in,
        "note": marks.note,
        "services": group.services,
        "sample_messages": list(group.sample_messages),
        "replay_success_rate": group.outcomes.success_rate,
        "hint": hints.hint(_facts(group)),
    }


def _of_member(member: Member) -> dict[str, Any]:
    return {name: getattr(member, name) for name in Member.__dataclass_fields__}


def _facts(group: Group) -> Facts:
    outcomes = group.outcomes
    return Facts(
        category=group.category,
        error_type=group.shown.error_type,
        fingerprint=group.fingerprint,
        in_dlq=group.count,
        succeeded=outcomes.succeeded,
        failed=outcomes.failed,
        returned=outcomes.returned,
        fixed_in=group.marks.fixed_in,
        has_come_back=group.marks.came_back_at is not None,
    )


# --- what is asked for -------------------------------------------------------------------


class MergeRequest(BaseModel):
    model_config = example(into="5c457931adde782b")

    into: str = Field(min_length=1, max_length=MAX_GROUP_ID_CHARS, description="A group's id.")


class SplitRequest(BaseModel):
    model_config = example(fingerprint=None)

    fingerprint: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_GROUP_ID_CHARS,
        description="Of the cause to split off; null: all that were merged into it.",
    )


class NoteRequest(BaseModel):
    model_config = example(note="Spotify has a ticket: 4711.")

    note: str = Field(max_length=MAX_NOTE_CHARS, description="Empty: remove it.")


class MuteRequest(BaseModel):
    model_config = example(for_s=86_400)

    for_s: float | None = Field(
        None, gt=0, le=TEN_YEARS_S, description="Seconds; null: until it is unmuted."
    )


class FixedRequest(BaseModel):
    model_config = example(release="1.4.2")

    release: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_RELEASE_CHARS,
        description="That has the fix, as `metadata.release` names it.",
    )


class CategoryRequest(BaseModel):
    model_config = example(category="auth")

    category: Category | None = Field(description="null: back to what the rules find.")
