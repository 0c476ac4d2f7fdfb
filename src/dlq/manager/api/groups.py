"""Groups: what broke, since when, how much, and what people say of it."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response

from dlq.errors import DLQError
from dlq.ledger.cause_book import FOREVER, Sort, Status
from dlq.manager.access import Operator, Principal, Viewer
from dlq.manager.api.context import Audited, TheManager, audited, problems
from dlq.manager.api.schemas.bounds import MAX_BATCH
from dlq.manager.api.schemas.groups import (
    MAX_GROUP_ID_CHARS,
    CategoryRequest,
    FixedRequest,
    GroupStoryView,
    GroupView,
    MergeRequest,
    MuteRequest,
    NoteRequest,
    SplitRequest,
)
from dlq.manager.service import Manager
from dlq.states import IN_DLQ, State

router = APIRouter(prefix="/dlq/groups", tags=["groups"])

SHOWN = (Status.OPEN, Status.ACKNOWLEDGED, Status.FIXED)
"""By default: all that is neither muted nor archived. What is left of a fixed one has still to
be replayed."""

GroupId = Annotated[
    str,
    Path(
        min_length=1,
        max_length=MAX_GROUP_ID_CHARS,
        description="A fingerprint, or at least its first four digits; also of a cause in it.",
    ),
]


@router.get("", summary="Groups, the largest first", responses=problems())
def list_groups(
    manager: TheManager,
    _: Viewer,
    response: Response,
    status: Annotated[
        Status | Literal["all"] | None,
        Query(description="Default: open, acknowledged and fixed with something in the DLQ."),
    ] = None,
    state: Annotated[
        list[State] | None,
        Query(description="Those with something in one of these states; `count` orders by it."),
    ] = None,
    sort: Annotated[
        Sort, Query(description="trend: by failures of the last 24 hours.")
    ] = Sort.COUNT,
    limit: Annotated[int, Query(ge=1, le=MAX_BATCH)] = 50,
    offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
) -> list[GroupView]:
    """`X-Total-Count` says how many there are in all."""
    page = manager.ledger.groups.all(
        statuses=_statuses(status),
        states=state or (IN_DLQ if status is None else ()),
        sort=sort,
        limit=limit,
        offset=offset,
        now=_now(),
    )
    response.headers["X-Total-Count"] = str(page.total)
    return [GroupView.of(group) for group in page.groups]


@router.get("/{group_id}", summary="One group's story", responses=problems(404))
def get_group(manager: TheManager, _: Viewer, group_id: GroupId) -> GroupStoryView:
    return _story(manager, group_id)


# --- which cause stands where ------------------------------------------------------------


@router.post("/{group_id}/merge", summary="Put it into another group", responses=problems(404))
def merge_group(
    manager: TheManager, principal: Operator, group_id: GroupId, request: MergeRequest
) -> GroupStoryView:
    """Its causes, and all that will come of them, belong to the other from now on. Answers with
    the other."""
    with _changing(manager, principal, "group_merge", group_id) as (fingerprint, row):
        row.detail = {"into": request.into}
        manager.ledger.groups.merge(fingerprint, into=request.into)
    return _story(manager, request.into)


@router.post("/{group_id}/split", summary="Take a merge back", responses=problems(404))
def split_group(
    manager: TheManager,
    principal: Operator,
    group_id: GroupId,
    request: SplitRequest | None = None,
) -> list[GroupView]:
    """Causes that were merged into it are groups again, with the marks that they had. Answers
    with the group, then those."""
    wanted = request.fingerprint if request else None
    with _changing(manager, principal, "group_split", group_id) as (fingerprint, row):
        row.detail = {"fingerprint": wanted}
        groups = manager.ledger.groups.split(fingerprint, fingerprint=wanted, now=_now())
    return [GroupView.of(group) for group in groups]


@router.put("/{group_id}/category", summary="Correct its category", responses=problems(404))
def correct_category(
    manager: TheManager, principal: Operator, group_id: GroupId, request: CategoryRequest
) -> GroupStoryView:
    """For all that is in it, and all that will come."""
    with _changing(manager, principal, "group_category", group_id) as (fingerprint, row):
        row.detail = {"category": request.category}
        manager.ledger.groups.correct(fingerprint, request.category)
    return _story(manager, fingerprint)


# --- marks -------------------------------------------------------------------------------


@router.put("/{group_id}/note", summary="Write a note on it", responses=problems(404))
def note_group(
    manager: TheManager, principal: Operator, group_id: GroupId, request: NoteRequest
) -> GroupStoryView:
    """In the place of the one before."""
    with _changing(manager, principal, "group_note", group_id) as (fingerprint, row):
        row.detail = {"note": request.note}
        manager.ledger.groups.note(fingerprint, request.note, actor=principal.name, now=_now())
    return _story(manager, fingerprint)


@router.post("/{group_id}/mute", summary="Hide it for a while", responses=problems(404))
def mute_group(
    manager: TheManager,
    principal: Operator,
    group_id: GroupId,
    request: MuteRequest | None = None,
) -> GroupStoryView:
    for_s = request.for_s if request else None
    until = FOREVER if for_s is None else _now() + dt.timedelta(seconds=for_s)
    with _changing(manager, principal, "group_mute", group_id) as (fingerprint, row):
        row.detail = {"for_s": for_s}
        manager.ledger.groups.mute(fingerprint, until=until, actor=principal.name)
    return _story(manager, fingerprint)


@router.post("/{group_id}/unmute", summary="Show it again", responses=problems(404))
def unmute_group(manager: TheManager, principal: Operator, group_id: GroupId) -> GroupStoryView:
    with _changing(manager, principal, "group_unmute", group_id) as (fingerprint, _):
        manager.ledger.groups.unmute(fingerprint)
    return _story(manager, fingerprint)


@router.post("/{group_id}/acknowledge", summary="Somebody is at it", responses=problems(404))
def acknowledge_group(
    manager: TheManager, principal: Operator, group_id: GroupId
) -> GroupStoryView:
    """Until it comes back after it was resolved."""
    with _changing(manager, principal, "group_acknowledge", group_id) as (fingerprint, _):
        manager.ledger.groups.acknowledge(fingerprint, actor=principal.name, now=_now())
    return _story(manager, fingerprint)


@router.post("/{group_id}/archive", summary="Hide it for good", responses=problems(404))
def archive_group(manager: TheManager, principal: Operator, group_id: GroupId) -> GroupStoryView:
    """Until it is restored: what comes is kept and counted, and stays hidden."""
    with _changing(manager, principal, "group_archive", group_id) as (fingerprint, _):
        manager.ledger.groups.archive(fingerprint, actor=principal.name, now=_now())
    return _story(manager, fingerprint)


@router.post("/{group_id}/restore", summary="Make it open", responses=problems(404))
def restore_group(manager: TheManager, principal: Operator, group_id: GroupId) -> GroupStoryView:
    """Neither archived, acknowledged nor fixed any more."""
    with _changing(manager, principal, "group_restore", group_id) as (fingerprint, _):
        manager.ledger.groups.restore(fingerprint)
    return _story(manager, fingerprint)


@router.post("/{group_id}/fixed", summary="The cause is fixed", responses=problems(404))
def fix_group(
    manager: TheManager,
    principal: Operator,
    group_id: GroupId,
    request: FixedRequest | None = None,
) -> GroupStoryView:
    """Until it comes back. Failures of releases that had failed so before do not count: an old
    release may still run somewhere."""
    release = request.release if request else None
    with _changing(manager, principal, "group_fixed", group_id) as (fingerprint, row):
        row.detail = {"release": release}
        manager.ledger.groups.fixed(fingerprint, release=release, actor=principal.name, now=_now())
    return _story(manager, fingerprint)


@router.post("/{group_id}/reopen", summary="It is not fixed after all", responses=problems(404))
def reopen_group(manager: TheManager, principal: Operator, group_id: GroupId) -> GroupStoryView:
    with _changing(manager, principal, "group_reopen", group_id) as (fingerprint, _):
        manager.ledger.groups.reopen(fingerprint)
    return _story(manager, fingerprint)


def _statuses(given: Status | Literal["all"] | None) -> tuple[Status, ...]:
    if given is None:
        return SHOWN
    return () if given == "all" else (given,)


@contextlib.contextmanager
def _changing(
    manager: Manager, principal: Principal, action: str, group_id: str
) -> Iterator[tuple[str, Audited]]:
    """Audited under the whole fingerprint. What cannot be found is left as it was typed: the
    change itself will say why."""
    with contextlib.suppress(DLQError):
        group_id = manager.ledger.groups.fingerprint_of(group_id)
    with audited(manager.ledger, principal, action, group_id) as row:
        yield group_id, row


def _story(manager: Manager, group_id: str) -> GroupStoryView:
    return GroupStoryView.tell(manager.ledger.groups.get(group_id, now=_now()))


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
