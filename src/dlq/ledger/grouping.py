"""Groups on an SQL database: one method, one transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from dlq.classify import Category
from dlq.ledger import (
    group_figures,
    group_members,
    group_pages,
    group_samples,
    group_story,
    groups,
    regrouping,
)
from dlq.ledger.cause_book import (
    ErrorTypeGroup,
    Group,
    GroupPage,
    GroupStory,
    NewCause,
    Sort,
    Status,
)
from dlq.ledger.database import Database
from dlq.ledger.groups import NOT_ACKNOWLEDGED, NOT_ARCHIVED, NOT_FIXED
from dlq.states import State


class SqlGroups:
    """`dlq.ledger.cause_book.Groups`; its docstrings are there."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- what is there ---

    def all(
        self,
        *,
        statuses: Sequence[Status] = (),
        states: Sequence[State] = (),
        sort: Sort = Sort.COUNT,
        limit: int = 100,
        offset: int = 0,
        now: dt.datetime,
    ) -> GroupPage:
        return self._database.read(
            lambda c: group_pages.page(
                c, statuses=statuses, states=states, sort=sort, limit=limit, offset=offset, now=now
            )
        )

    def get(self, group_id: str, *, now: dt.datetime) -> GroupStory:
        return self._database.read(lambda c: group_story.story(c, group_id, now))

    def fingerprint_of(self, group_id: str) -> str:
        return self._database.read(lambda c: group_members.find(c, group_id).fingerprint)

    def by_error_type(self) -> list[ErrorTypeGroup]:
        return self._database.read(group_samples.by_error_type)

    # --- which cause stands where ---

    def merge(self, group_id: str, *, into: str) -> None:
        self._database.write(lambda c: group_members.merge(c, group_id, into))

    def split(self, group_id: str, *, fingerprint: str | None, now: dt.datetime) -> list[Group]:
        def work(c: Connection) -> list[Group]:
            changed = group_members.split(c, group_id, fingerprint, now)
            return group_figures.described(c, group_figures.rows_of(c, changed), now)

        return self._database.write(work)

    def reassign(self, moves: Sequence[tuple[str, NewCause]]) -> None:
        if moves:
            now = dt.datetime.now(dt.UTC)
            self._database.write(lambda c: regrouping.reassign(c, moves, now))

    # --- marks ---

    def correct(self, group_id: str, category: Category | None) -> None:
        self._mark(group_id, category=category.value if category else None)

    def note(self, group_id: str, text: str, *, actor: str, now: dt.datetime) -> None:
        if text.strip():
            self._mark(group_id, note=text, noted_by=actor, noted_at=now)
        else:
            self._mark(group_id, note=None, noted_by=None, noted_at=None)

    def mute(self, group_id: str, *, until: dt.datetime, actor: str) -> None:
        self._mark(group_id, muted_until=until, muted_by=actor)

    def unmute(self, group_id: str) -> None:
        self._mark(group_id, muted_until=None, muted_by=None)

    def acknowledge(self, group_id: str, *, actor: str, now: dt.datetime) -> None:
        self._mark(group_id, acknowledged_at=now, acknowledged_by=actor, came_back_at=None)

    def archive(self, group_id: str, *, actor: str, now: dt.datetime) -> None:
        self._mark(group_id, archived_at=now, archived_by=actor)

    def restore(self, group_id: str) -> None:
        self._mark(group_id, **NOT_ARCHIVED, **NOT_ACKNOWLEDGED, **NOT_FIXED)

    def fixed(self, group_id: str, *, release: str | None, actor: str, now: dt.datetime) -> None:
        self._mark(
            group_id, fixed_at=now, fixed_by=actor, fixed_in=release or "", came_back_at=None
        )

    def reopen(self, group_id: str) -> None:
        self._mark(group_id, **NOT_FIXED)

    def _mark(self, group_id: str, **values: Any) -> None:
        def work(c: Connection) -> None:
            groups.mark(c, group_members.find(c, group_id).id, **values)

        self._database.write(work)
