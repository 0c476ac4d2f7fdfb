"""The ledger's contract, on SQLite and PostgreSQL: groups, what they count, what people say of
them, and how they come back."""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from sqlalchemy import Engine, event

from dlq import query
from dlq.classify import Category
from dlq.errors import InvalidInput, NotFound
from dlq.ledger import ReplayRules, open_ledger
from dlq.ledger.base import AuditEntry, Ledger
from dlq.ledger.cause_book import (
    CAME_BACK,
    FOREVER,
    MARKING,
    NEW_FOR,
    Group,
    GroupStory,
    NewCause,
    Sort,
    Status,
)
from dlq.ledger.group_samples import SAMPLED_CAUSES
from dlq.outcome import OutcomeReport
from dlq.query.fields import MARKS
from dlq.states import IN_DLQ, Outcome, State
from tests.support.ledger import (
    an_arrival,
    brought_back,
    failed_again,
    now,
    recorded,
    replaying,
)

A, B, C = "a1" * 8, "b2" * 8, "c3" * 8
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
NOON = dt.datetime(2026, 11, 24, 12, 30, tzinfo=dt.UTC)


@pytest.fixture
def clock(ledger_url: str) -> Iterator[time_machine.Traveller]:
    """A Tuesday, half past noon."""
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def put(ledger: Ledger, fingerprint: str = A, count: int = 1, **fields: Any) -> list[str]:
    """Dead letters of one cause. Returns: their ids, as they arrived."""
    release = fields.pop("release", None)
    if release:
        fields["metadata"] = {"release": release}
    arrivals = [an_arrival(fingerprint=fingerprint, **fields) for _ in range(count)]
    return [each.message_id for each in ledger.ingest(arrivals)]


def resolve(ledger: Ledger, message_id: str) -> None:
    replay_id = replaying(ledger, message_id)
    report = OutcomeReport(message_id=message_id, replay_id=replay_id, outcome=Outcome.SUCCEEDED)
    assert recorded(ledger, report)


def fail_again(ledger: Ledger, message_id: str, fingerprint: str = A, **fields: Any) -> None:
    replay_id = replaying(ledger, message_id)
    ledger.ingest([failed_again(message_id, replay_id, fingerprint=fingerprint, **fields)])


def listed(ledger: Ledger, *statuses: Status, **options: Any) -> list[Group]:
    return ledger.groups.all(statuses=statuses, now=now(), **options).groups


def names(ledger: Ledger, *statuses: Status, **options: Any) -> list[str]:
    return [group.fingerprint for group in listed(ledger, *statuses, **options)]


def story(ledger: Ledger, group_id: str = A) -> GroupStory:
    return ledger.groups.get(group_id, now=now())


def group(ledger: Ledger, group_id: str = A) -> Group:
    return story(ledger, group_id).group


# --- what they count ---------------------------------------------------------------------


def test_an_empty_ledger_has_no_groups(ledger: Ledger) -> None:
    assert ledger.groups.all(now=now()).total == 0
    assert ledger.groups.by_error_type() == []


def test_a_group_counts_by_state_and_service(ledger: Ledger) -> None:
    ids = put(ledger, count=4)
    put(ledger, source_service="crawler")
    put(ledger, B, error_type="lastfm")
    resolve(ledger, ids[0])
    replaying(ledger, ids[1])
    found = group(ledger)
    assert found.count == 3
    assert found.by_state == {State.PENDING: 3, State.REPLAYING: 1, State.RESOLVED: 1}
    assert list(found.services.items()) == [("api-enrichment-pipeline", 2), ("crawler", 1)]
    ledger.delete(ids[3], actor="ann")
    assert group(ledger).by_state[State.PENDING] == 2


def test_a_group_tells_its_cause(ledger: Ledger) -> None:
    put(
        ledger,
        title="Spotify 429 in enrich_track",
        category="rate_limit",
        error_class="requests.HTTPError",
        http_status=429,
    )
    found = group(ledger)
    assert found.shown.title == "Spotify 429 in enrich_track"
    assert (found.category, found.shown.error_type) == ("rate_limit", "spotify")
    assert (found.shown.error_class, found.shown.http_status) == ("requests.HTTPError", 429)


def found_anew(fingerprint: str, title: str, category: str) -> NewCause:
    return NewCause(fingerprint, title, category, None, None, rule="a new one", reason="")


def test_a_group_is_named_after_what_it_holds(ledger: Ledger) -> None:
    ids = put(ledger, A, count=2, title="the old words", category="unknown")
    put(ledger, B, title="another cause", category="auth")
    ledger.groups.merge(B, into=A)
    assert group(ledger).shown.title == "the old words"
    anew = found_anew(A, "the new words", "rate_limit")
    ledger.groups.reassign([(message_id, anew) for message_id in ids])
    assert (group(ledger).shown.title, group(ledger).category) == ("the new words", "rate_limit")


def test_a_group_that_holds_none_of_its_own_is_named_after_the_cause_seen_last(
    ledger: Ledger,
) -> None:
    [a] = put(ledger, A, title="its own", category="unknown")
    [b] = put(ledger, B, title="seen before", failed_at=now() - HOUR)
    put(ledger, C, title="seen last")
    for fingerprint in (B, C):
        ledger.groups.merge(fingerprint, into=A)
    ledger.groups.reassign([(a, found_anew(C, "seen last", "rate_limit"))])
    assert group(ledger).shown.title == "seen last"
    assert listed(ledger)[0].shown.title == "seen last"
    resolve(ledger, b)
    assert group(ledger).shown.title == "seen last"


def test_what_is_resolved_still_names_its_group(ledger: Ledger) -> None:
    [a] = put(ledger, A, title="its own")
    put(ledger, B, title="another cause")
    ledger.groups.merge(B, into=A)
    resolve(ledger, a)
    assert group(ledger).shown.title == "its own"


def test_samples_are_found_behind_causes_with_nothing_left(ledger: Ledger) -> None:
    [kept] = put(ledger, A, failed_at=now() - HOUR)
    names_of_more = [f"{number:04x}" * 4 for number in range(SAMPLED_CAUSES)]
    for fingerprint in names_of_more:
        [gone] = put(ledger, fingerprint)
        resolve(ledger, gone)
        ledger.groups.merge(fingerprint, into=A)
    assert group(ledger).sample_messages == (kept,)


def test_samples_are_the_newest_in_the_dlq(ledger: Ledger) -> None:
    ids = put(ledger, count=8)
    replaying(ledger, ids[7])
    assert listed(ledger)[0].sample_messages == tuple(ids[6:3:-1])
    assert group(ledger).sample_messages == tuple(ids[6:1:-1])


def test_a_group_is_seen_from_its_first_to_its_last_failure(ledger: Ledger) -> None:
    start = now() - 3 * DAY
    for days in (2, 0, 1):
        put(ledger, failed_at=start + days * DAY)
    found = group(ledger)
    assert (found.first_seen, found.last_seen) == (start, start + 2 * DAY)
    assert not found.is_new


@pytest.mark.parametrize(("age", "is_new"), [(NEW_FOR - HOUR, True), (NEW_FOR + HOUR, False)])
def test_a_group_is_new_for_a_day(ledger: Ledger, age: dt.timedelta, is_new: bool) -> None:
    put(ledger, failed_at=now() - age)
    put(ledger)
    assert group(ledger).is_new is is_new


def test_a_trend_counts_failures_by_the_clock_hour(
    clock: time_machine.Traveller, ledger: Ledger
) -> None:
    minutes_ago = [0, 30, 31, 60 * 23 + 30, 60 * 23 + 31, 60 * 24 * 3, 60 * 24 * 7]
    for minutes in minutes_ago:
        put(ledger, failed_at=NOON - dt.timedelta(minutes=minutes))
    told = story(ledger)
    trend = told.group.trend
    assert (trend.last_hour, trend.last_24h, trend.last_7d) == (2, 4, 6)
    assert trend.hourly == (1, *[0] * 21, 1, 2)
    assert listed(ledger)[0].trend == trend
    assert told.daily == (0, 0, 0, 1, 0, 1, 4)


def test_a_clock_that_runs_ahead_counts_in_the_hour_that_is_running(
    clock: time_machine.Traveller, ledger: Ledger
) -> None:
    put(ledger, failed_at=NOON + 3 * HOUR)
    told = story(ledger)
    assert told.group.trend.hourly == (*[0] * 23, 1)
    assert told.group.trend.last_7d == sum(told.daily) == 1


def test_trends_of_merged_causes_are_added_up(
    clock: time_machine.Traveller, ledger: Ledger
) -> None:
    for fingerprint in (A, B):
        put(ledger, fingerprint, failed_at=NOON - HOUR)
    put(ledger, C, failed_at=NOON)
    ledger.groups.merge(A, into=B)
    assert {each.fingerprint: each.trend.hourly for each in listed(ledger)} == {
        B: (*[0] * 22, 2, 0),
        C: (*[0] * 23, 1),
    }


def test_a_replay_that_fails_again_is_a_failure_more(ledger: Ledger) -> None:
    [message_id] = put(ledger, failed_at=now() - 2 * DAY)
    fail_again(ledger, message_id)
    trend = group(ledger).trend
    assert (trend.last_24h, trend.last_7d) == (1, 2)


def test_outcomes_of_replays_are_counted(ledger: Ledger) -> None:
    ids = put(ledger, count=4)
    resolve(ledger, ids[0])
    resolve(ledger, ids[1])
    fail_again(ledger, ids[2])
    replaying(ledger, ids[3])
    assert brought_back(ledger, now() + HOUR, 10) == 1
    outcomes = group(ledger).outcomes
    assert (outcomes.succeeded, outcomes.failed, outcomes.returned) == (2, 1, 1)
    assert outcomes.success_rate == 0.5


def test_releases_have_their_failures_and_their_span(ledger: Ledger) -> None:
    start = now() - DAY
    put(ledger, release="1.0", count=2, failed_at=start)
    put(ledger, release="1.1", failed_at=start + HOUR)
    put(ledger, release="1.0", failed_at=start + 2 * HOUR)
    put(ledger)
    newest, older = story(ledger).releases
    assert (newest.name, newest.failures) == ("1.0", 3)
    assert (newest.first_seen, newest.last_seen) == (start, start + 2 * HOUR)
    assert (older.name, older.failures) == ("1.1", 1)


def test_by_error_type_counts_what_is_in_the_dlq(ledger: Ledger) -> None:
    start = now() - DAY
    first = put(ledger, failed_at=start)
    rest = put(ledger, B, count=3)
    [lastfm] = put(ledger, C, error_type="lastfm")
    spotify, other = ledger.groups.by_error_type()
    assert (spotify.error_type, spotify.count) == ("spotify", 4)
    assert spotify.sample_messages == tuple(reversed(rest))
    assert spotify.first_seen == start
    assert (other.error_type, other.sample_messages) == ("lastfm", (lastfm,))
    resolve(ledger, lastfm)
    resolve(ledger, first[0])
    assert [(each.error_type, each.count) for each in ledger.groups.by_error_type()] == [
        ("spotify", 3)
    ]


# --- lists -------------------------------------------------------------------------------


def test_groups_are_ordered_as_asked(ledger: Ledger) -> None:
    put(ledger, A, count=3, failed_at=now() - 2 * DAY)
    put(ledger, B, count=2, failed_at=now() - HOUR)
    put(ledger, B, failed_at=now() - 5 * DAY)
    put(ledger, C)
    put(ledger, A)
    assert names(ledger, sort=Sort.COUNT) == [A, B, C]
    assert names(ledger, sort=Sort.LAST_SEEN) == [A, C, B]
    assert names(ledger, sort=Sort.FIRST_SEEN) == [C, A, B]
    assert names(ledger, sort=Sort.TREND)[0] == B


def test_groups_come_in_pages(ledger: Ledger) -> None:
    for count, fingerprint in enumerate((C, B, A), start=1):
        put(ledger, fingerprint, count=count)
    pages = [ledger.groups.all(limit=2, offset=offset, now=now()) for offset in (0, 2, 4)]
    assert [[g.fingerprint for g in page.groups] for page in pages] == [[A, B], [C], []]
    assert {page.total for page in pages} == {3}


def test_groups_are_chosen_by_state(ledger: Ledger) -> None:
    [a] = put(ledger, A)
    put(ledger, B)
    resolve(ledger, a)
    assert names(ledger, states=IN_DLQ) == [B]
    assert names(ledger, states=[State.RESOLVED]) == [A]
    assert sorted(names(ledger)) == [A, B]


def test_groups_are_chosen_by_status(ledger: Ledger) -> None:
    for fingerprint in (A, B, C):
        put(ledger, fingerprint)
    ledger.groups.archive(B, actor="ann", now=now())
    ledger.groups.mute(C, until=now() + HOUR, actor="ann")
    assert names(ledger, Status.OPEN) == [A]
    assert names(ledger, Status.ARCHIVED) == [B]
    assert sorted(names(ledger, Status.MUTED, Status.ARCHIVED)) == [B, C]


# --- finding one -------------------------------------------------------------------------


def test_a_group_is_found_by_its_start(ledger: Ledger) -> None:
    put(ledger, A)
    put(ledger, "a1a1" + "0" * 12)
    assert ledger.groups.fingerprint_of(A[:5]) == A
    assert ledger.groups.fingerprint_of(f" {A.upper()} ") == A
    with pytest.raises(InvalidInput, match=f"2 groups begin with 'a1a1'.*{A}"):
        ledger.groups.get("a1a1", now=now())


@pytest.mark.parametrize("group_id", ["dead", "a1a", "", "' OR 1=1 --", "a1a1%", "\0"])
def test_what_is_no_group_is_not_found(ledger: Ledger, group_id: str) -> None:
    put(ledger)
    with pytest.raises(NotFound, match="no group"):
        ledger.groups.get(group_id, now=now())


def test_a_fingerprint_of_the_callers_own_words_names_a_group(ledger: Ledger) -> None:
    put(ledger, "nightly import: Deadmau5")
    assert group(ledger, "nightly import: Deadmau5").count == 1


# --- merge and split ---------------------------------------------------------------------


def test_a_merged_group_counts_for_both(ledger: Ledger) -> None:
    a = put(ledger, A, count=2, failed_at=now() - DAY)
    b = put(ledger, B, count=3, error_type="lastfm")
    ledger.groups.merge(A, into=B)
    found = group(ledger, B)
    assert (found.count, found.first_seen) == (5, ledger.get(a[0]).message.failed_at)
    assert found.shown.fingerprint == B
    assert found.sample_messages == (*reversed(b), *reversed(a))
    assert {each.member.fingerprint: each.count for each in story(ledger, B).causes} == {A: 2, B: 3}
    assert names(ledger) == [B]
    assert {ledger.get(message_id).group for message_id in (*a, *b)} == {B}


def test_what_comes_later_follows_the_merge(ledger: Ledger) -> None:
    put(ledger, A)
    put(ledger, B)
    ledger.groups.merge(A, into=B)
    put(ledger, A)
    put(ledger, A, http_status=503)  # the same fingerprint, another cause
    assert group(ledger, B).count == 4
    assert ledger.groups.fingerprint_of(A) == B
    assert ledger.groups.fingerprint_of(A[:6]) == B


def test_merges_chain(ledger: Ledger) -> None:
    for fingerprint in (A, B, C):
        put(ledger, fingerprint)
    ledger.groups.merge(A, into=B)
    ledger.groups.merge(B, into=C)
    assert ledger.groups.fingerprint_of(A) == C
    assert group(ledger, A).count == 3
    ledger.groups.split(C, fingerprint=A, now=now())
    assert (group(ledger, A).count, group(ledger, C).count) == (1, 2)


def test_merging_into_a_merged_group_goes_where_that_went(ledger: Ledger) -> None:
    for fingerprint in (A, B, C):
        put(ledger, fingerprint)
    ledger.groups.merge(A, into=B)
    ledger.groups.merge(C, into=A)
    assert group(ledger, B).count == 3


@pytest.mark.parametrize("into", [A, B])
def test_a_group_is_not_merged_into_itself(ledger: Ledger, into: str) -> None:
    put(ledger, A)
    put(ledger, B)
    ledger.groups.merge(A, into=B)
    with pytest.raises(InvalidInput, match="one group already"):
        ledger.groups.merge(B, into=into)
    assert group(ledger, B).count == 2


def test_a_split_gives_back_what_was_merged_with_its_own_marks(ledger: Ledger) -> None:
    for fingerprint in (A, B, C):
        put(ledger, fingerprint)
    ledger.groups.note(A, "ask Spotify", actor="ann", now=now())
    ledger.groups.correct(A, Category.AUTH)
    ledger.groups.merge(A, into=B)
    ledger.groups.merge(C, into=B)
    assert (group(ledger, B).category, group(ledger, B).marks.note) == ("rate_limit", None)
    changed = ledger.groups.split(B, fingerprint=A[:4], now=now())
    assert [(each.fingerprint, each.count) for each in changed] == [(B, 2), (A, 1)]
    assert (group(ledger, A).category, group(ledger, A).marks.note) == ("auth", "ask Spotify")
    assert [each.fingerprint for each in ledger.groups.split(B, fingerprint=None, now=now())] == [
        B,
        C,
    ]
    assert sorted(names(ledger)) == [A, B, C]


def test_a_split_of_what_is_not_merged_is_refused(ledger: Ledger) -> None:
    put(ledger, A)
    put(ledger, B)
    with pytest.raises(InvalidInput, match="began with"):
        ledger.groups.split(A, fingerprint=A, now=now())
    with pytest.raises(NotFound, match="no cause"):
        ledger.groups.split(A, fingerprint=B, now=now())
    assert [each.fingerprint for each in ledger.groups.split(A, fingerprint=None, now=now())] == [A]


# --- the category ------------------------------------------------------------------------


def test_a_corrected_category_sticks_to_all_that_comes(ledger: Ledger) -> None:
    [before] = put(ledger)
    ledger.groups.correct(A, Category.AUTH)
    [after] = put(ledger)
    [another] = put(ledger, http_status=503, category="server_error")
    assert {ledger.get(each).category for each in (before, after, another)} == {"auth"}
    assert ledger.count(query.parse("category:auth")) == 3
    assert group(ledger).category == "auth"
    ledger.groups.correct(A, None)
    assert ledger.get(after).category == "rate_limit"


def test_a_corrected_category_holds_for_what_is_merged_in(ledger: Ledger) -> None:
    put(ledger, A)
    [b] = put(ledger, B)
    ledger.groups.correct(A, Category.AUTH)
    ledger.groups.merge(B, into=A)
    assert ledger.get(b).category == "auth"
    ledger.groups.split(A, fingerprint=B, now=now())
    assert ledger.get(b).category == "rate_limit"


# --- marks -------------------------------------------------------------------------------


def test_marks_say_who_and_when(clock: time_machine.Traveller, ledger: Ledger) -> None:
    put(ledger)
    ledger.groups.note(A, "a ticket\0", actor="ann", now=NOON)
    ledger.groups.acknowledge(A, actor="bob", now=NOON)
    ledger.groups.fixed(A, release="1.2", actor="cat", now=NOON)
    ledger.groups.mute(A, until=FOREVER, actor="dan")
    ledger.groups.archive(A, actor="eve", now=NOON)
    marks = group(ledger).marks
    assert marks.note is not None
    assert marks.note.startswith("a ticket")
    assert (marks.noted_by, marks.noted_at) == ("ann", NOON)
    assert (marks.acknowledged_by, marks.acknowledged_at) == ("bob", NOON)
    assert (marks.fixed_by, marks.fixed_at, marks.fixed_in) == ("cat", NOON, "1.2")
    assert (marks.muted_by, marks.muted_until) == ("dan", FOREVER)
    assert (marks.archived_by, marks.archived_at) == ("eve", NOON)


def test_of_several_marks_the_strongest_is_the_status(ledger: Ledger) -> None:
    put(ledger)
    seen = [group(ledger).status]
    ledger.groups.acknowledge(A, actor="ann", now=now())
    seen.append(group(ledger).status)
    ledger.groups.fixed(A, release=None, actor="ann", now=now())
    seen.append(group(ledger).status)
    ledger.groups.mute(A, until=now() + HOUR, actor="ann")
    seen.append(group(ledger).status)
    ledger.groups.archive(A, actor="ann", now=now())
    seen.append(group(ledger).status)
    assert seen == list(Status)
    for status in Status:
        assert names(ledger, status) == ([A] if status is Status.ARCHIVED else [])
    ledger.groups.restore(A)
    assert group(ledger).status is Status.MUTED
    ledger.groups.unmute(A)
    assert group(ledger).status is Status.OPEN


def test_a_mute_ends_by_itself(clock: time_machine.Traveller, ledger: Ledger) -> None:
    put(ledger)
    ledger.groups.mute(A, until=NOON + HOUR, actor="ann")
    assert group(ledger).status is Status.MUTED
    clock.shift(HOUR)
    assert group(ledger).status is Status.OPEN
    assert names(ledger, Status.OPEN) == [A]


def test_an_empty_note_removes_it(ledger: Ledger) -> None:
    put(ledger)
    ledger.groups.note(A, "a ticket", actor="ann", now=now())
    ledger.groups.note(A, "  ", actor="ann", now=now())
    assert (group(ledger).marks.note, group(ledger).marks.noted_by) == (None, None)


@pytest.mark.parametrize("mark", MARKS)
def test_a_filter_finds_a_mark(ledger: Ledger, mark: str) -> None:
    [old] = put(ledger, A, failed_at=now() - 2 * DAY)
    [new] = put(ledger, B, failed_at=now() - HOUR)
    ledger.groups.acknowledge(A, actor="ann", now=now())
    ledger.groups.mute(A, until=now() + HOUR, actor="ann")
    ledger.groups.fixed(A, release=None, actor="ann", now=now())
    ledger.groups.archive(A, actor="ann", now=now())
    if mark == "regressed":
        resolve(ledger, new)
        [new] = put(ledger, B)
    found = [each.message.message_id for each in ledger.iterate(query.parse(f"is:{mark}"))]
    assert found == [new if mark in {"new", "regressed"} else old]


def test_the_history_of_marks_follows_a_cause(ledger: Ledger) -> None:
    put(ledger, A)
    put(ledger, B)
    for action in MARKING:
        ledger.audit(AuditEntry("ann", action, A, "ok", detail={"of": action}))
    ledger.audit(AuditEntry("ann", "delete", A, "ok"))
    ledger.audit(AuditEntry("ann", MARKING[0], C, "ok"))
    told = story(ledger).history
    assert [entry.action for entry in told] == list(reversed(MARKING))
    assert told[0].detail == {"of": CAME_BACK}
    ledger.groups.merge(A, into=B)
    assert len(story(ledger, B).history) == len(MARKING)


# --- coming back -------------------------------------------------------------------------


def test_what_fails_again_after_all_was_resolved_has_come_back(ledger: Ledger) -> None:
    first, second = put(ledger, count=2)
    ledger.groups.acknowledge(A, actor="ann", now=now())
    resolve(ledger, first)
    put_while_open = put(ledger)
    assert group(ledger).marks.came_back_at is None
    resolve(ledger, second)
    resolve(ledger, put_while_open[0])
    assert group(ledger).status is Status.ACKNOWLEDGED
    [again] = put(ledger)
    back = group(ledger)
    assert back.marks.came_back_at == ledger.get(again).message.failed_at
    assert back.status is Status.OPEN
    [entry] = story(ledger).history
    assert (entry.actor, entry.action) == ("ingest", CAME_BACK)
    ledger.groups.acknowledge(A, actor="ann", now=now())
    assert group(ledger).marks.came_back_at is None


def test_an_old_failure_that_comes_late_has_not_come_back(ledger: Ledger) -> None:
    [first] = put(ledger, failed_at=now() - DAY)
    resolve(ledger, first)
    put(ledger, failed_at=now() - HOUR)
    assert group(ledger).marks.came_back_at is None


def test_a_replay_that_fails_again_reopens_what_was_fixed(ledger: Ledger) -> None:
    [message_id] = put(ledger, failed_at=now() - DAY)
    ledger.groups.fixed(A, release=None, actor="ann", now=now())
    fail_again(ledger, message_id)
    assert group(ledger).status is Status.OPEN
    assert group(ledger).marks.came_back_at is not None


@pytest.mark.parametrize(
    ("fixed_in", "releases", "comes_back"),
    [
        ("1.1", ["1.0"], False),  # still runs somewhere
        ("1.1", ["1.0", "1.1"], True),
        ("1.1", ["1.1"], True),
        ("1.1", ["1.2"], True),
        ("1.1", ["1.0", None], True),
        (None, ["1.0"], False),
        (None, ["1.2"], True),
        (None, [None], True),
        ("1.0", ["1.0"], True),
    ],
)
def test_a_fixed_group_reopens_unless_only_old_releases_fail(
    ledger: Ledger, fixed_in: str | None, releases: list[str | None], comes_back: bool
) -> None:
    put(ledger, release="1.0", failed_at=now() - DAY)
    ledger.groups.fixed(A, release=fixed_in, actor="ann", now=now())
    arrivals = [
        an_arrival(fingerprint=A, metadata={"release": release} if release else {})
        for release in releases
    ]
    ledger.ingest(arrivals)
    assert group(ledger).status is (Status.OPEN if comes_back else Status.FIXED)
    assert (group(ledger).marks.came_back_at is not None) is comes_back


def test_an_archived_group_stays_hidden_when_it_comes_back(ledger: Ledger) -> None:
    [first] = put(ledger)
    ledger.groups.archive(A, actor="ann", now=now())
    resolve(ledger, first)
    put(ledger)
    assert group(ledger).status is Status.ARCHIVED
    assert group(ledger).count == 1


def test_a_merge_of_what_is_open_into_what_is_resolved_is_no_return(ledger: Ledger) -> None:
    [a] = put(ledger, A)
    put(ledger, B)
    resolve(ledger, a)
    ledger.groups.merge(B, into=A)
    put(ledger, A)
    assert group(ledger).marks.came_back_at is None


def test_two_managers_meet_a_return_once(ledger_url: str, ledger: Ledger) -> None:
    [first] = put(ledger)
    resolve(ledger, first)
    other = open_ledger(ledger_url, rules=ReplayRules())
    try:
        put(other)
        put(ledger)
    finally:
        other.close()
    assert [entry.action for entry in story(ledger).history] == [CAME_BACK]


# --- many causes -------------------------------------------------------------------------


@contextlib.contextmanager
def statements() -> Iterator[list[str]]:
    """Those that are sent meanwhile."""
    seen: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def test_a_list_takes_as_many_statements_for_many_groups_as_for_one(ledger: Ledger) -> None:
    fingerprints = [uuid.uuid4().hex[:16] for _ in range(30)]
    ledger.ingest([an_arrival(fingerprint=each) for each in fingerprints])
    with statements() as for_one:
        ledger.groups.all(limit=1, now=now())
    with statements() as for_many:
        page = ledger.groups.all(limit=1000, now=now())
    assert len(for_many) == len(for_one)
    assert {each.fingerprint for each in page.groups} == set(fingerprints)
    assert all(each.count == 1 and len(each.sample_messages) == 1 for each in page.groups)


def test_a_batch_that_brings_nothing_back_is_looked_up_once(ledger: Ledger) -> None:
    put(ledger, A)
    put(ledger, B)
    with statements() as sent:
        ledger.ingest([an_arrival(fingerprint=each) for each in (A, B, A)])
    of_groups = [each for each in sent if "cleared_at" in each]
    assert len(of_groups) == 1
    assert of_groups[0].startswith("SELECT")
