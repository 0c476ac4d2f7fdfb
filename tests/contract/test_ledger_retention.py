"""What the ledger lets go of, on both databases: by age, and at somebody's word."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections import Counter
from collections.abc import Sequence

import pytest
import time_machine

from dlq.classify import Category
from dlq.errors import InvalidInput, NotFound
from dlq.job import Choice, JobOptions, JobState, NewJob
from dlq.keeping import Loss, RetentionRules, parse_keep, rest_s
from dlq.ledger import ReplayRules, open_ledger
from dlq.ledger.base import AuditEntry, Ledger
from dlq.ledger.retention_book import MOST_AT_ONCE, AgeOutlook
from dlq.outcome import OutcomeReport
from dlq.query import parse
from dlq.states import Outcome, State
from tests.support.ledger import (
    an_arrival,
    brought_back,
    failed_again,
    recorded,
    replaying,
    stored,
)

NOW = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
WEEK = 7 * DAY
ALL = "state:all"


def rules(dlq: str = "30d", resolved: str = "7d", history: str = "90d") -> RetentionRules:
    return RetentionRules(parse_keep(dlq), parse_keep(resolved), parse_keep(history))


def swept(ledger: Ledger, kept: RetentionRules | None = None, now: dt.datetime = NOW) -> list[int]:
    """Returns: how many were let go in the DLQ, of the resolved, and of what was emptied."""
    counts = Counter(dict.fromkeys(Loss, 0))
    with time_machine.travel(now, tick=False):
        for step in ledger.retention.sweep(kept or rules(), now=now):
            counts[step.loss] += step.count
    return [counts[loss] for loss in Loss]


def at(instant: dt.datetime) -> time_machine.travel:
    return time_machine.travel(instant, tick=False)


def stored_at(ledger: Ledger, instant: dt.datetime, **fields: object) -> str:
    with at(instant):
        return stored(ledger, **fields)


def resolved_at(ledger: Ledger, instant: dt.datetime, **fields: object) -> str:
    with at(instant):
        message_id = stored(ledger, **fields)
        assert recorded(ledger, succeeded(message_id, replaying(ledger, message_id)))
    return message_id


def succeeded(message_id: str, replay_id: str) -> OutcomeReport:
    return OutcomeReport(
        message_id=message_id,
        replay_id=replay_id,
        outcome=Outcome.SUCCEEDED,
        at=NOW,
        worker="w",
    )


def deleted_at(ledger: Ledger, instant: dt.datetime, **fields: object) -> str:
    with at(instant):
        message_id = stored(ledger, **fields)
        ledger.delete(message_id, actor="ann")
    return message_id


def is_gone(ledger: Ledger, message_id: str) -> bool:
    try:
        ledger.get(message_id)
    except NotFound:
        return True
    return False


# --- in the DLQ --------------------------------------------------------------------------


def test_what_was_in_the_dlq_for_too_long_is_emptied_and_its_history_tells(ledger: Ledger) -> None:
    old = stored_at(ledger, NOW - 30 * DAY)
    young = stored_at(ledger, NOW - 30 * DAY + dt.timedelta(seconds=1))
    assert swept(ledger) == [1, 0, 0]
    assert is_gone(ledger, old)
    assert not is_gone(ledger, young)
    last = ledger.history(old)[-1]
    assert (last.actor, last.from_state, last.to_state, last.at) == (
        "retention",
        State.PENDING,
        None,
        NOW,
    )
    assert last.reason == "expired after 30 days in the DLQ"
    stats = ledger.stats()
    assert stats.in_dlq == stats.by_state[State.PENDING] == ledger.count(parse("")) == 1
    assert swept(ledger) == [0, 0, 0]


def test_a_late_duplicate_of_what_expired_does_not_bring_it_back(ledger: Ledger) -> None:
    old = stored_at(ledger, NOW - 31 * DAY)
    swept(ledger)
    ledger.ingest([an_arrival(old)])
    assert is_gone(ledger, old)


@pytest.mark.parametrize("failed_at", [dt.datetime(1970, 1, 1, tzinfo=dt.UTC), NOW + 3000 * DAY])
def test_a_producers_clock_neither_shortens_nor_lengthens_the_time(
    ledger: Ledger, failed_at: dt.datetime
) -> None:
    old = stored_at(ledger, NOW - 31 * DAY, failed_at=failed_at)
    young = stored_at(ledger, NOW - DAY, failed_at=failed_at)
    swept(ledger)
    assert not is_gone(ledger, young)
    assert is_gone(ledger, old)


def test_time_counts_from_when_the_newest_replay_came_back(ledger: Ledger) -> None:
    failing = stored_at(ledger, NOW - 40 * DAY)
    returned = stored_at(ledger, NOW - 40 * DAY)
    untouched = stored_at(ledger, NOW - 40 * DAY)
    long_ago = stored_at(ledger, NOW - 50 * DAY)
    with at(NOW - 35 * DAY):
        replay_id = replaying(ledger, long_ago)
        ledger.ingest([failed_again(long_ago, replay_id)])
    with at(NOW - 2 * DAY):
        replay_id = replaying(ledger, failing)
        # That worker's clock is decades off.
        ancient = dt.datetime(1990, 1, 1, tzinfo=dt.UTC)
        ledger.ingest([failed_again(failing, replay_id, failed_at=ancient)])
        replaying(ledger, returned)
    with at(NOW - DAY):
        assert brought_back(ledger, NOW - DAY, 10) == 1
    assert swept(ledger) == [2, 0, 0]
    assert [is_gone(ledger, i) for i in (failing, returned, untouched, long_ago)] == [
        False,
        False,
        True,
        True,
    ]
    assert swept(ledger, now=NOW + 28 * DAY + dt.timedelta(hours=1)) == [1, 0, 0]
    assert is_gone(ledger, failing)


def test_what_is_in_a_workers_hands_never_expires(ledger: Ledger) -> None:
    message_id = stored_at(ledger, NOW - 40 * DAY)
    with at(NOW - 39 * DAY):
        replaying(ledger, message_id)
    assert swept(ledger) == [0, 0, 0]
    assert ledger.get(message_id).state is State.REPLAYING


def test_each_category_has_its_own_time(ledger: Ledger) -> None:
    def stored_of(category: str, age_days: int) -> str:
        instant = NOW - age_days * DAY
        return stored_at(ledger, instant, category=category, fingerprint=category[0] * 16)

    older = {name: stored_of(name, 400) for name in ("bug", "timeout")}
    old = {name: stored_of(name, 20) for name in ("rate_limit", "bug", "timeout")}
    assert swept(ledger, rules("30d,rate_limit=14d,bug=off")) == [2, 0, 0]
    assert is_gone(ledger, old["rate_limit"])
    assert is_gone(ledger, older["timeout"])
    assert ledger.history(old["rate_limit"])[-1].reason == "expired after 14 days in the DLQ"
    assert not is_gone(ledger, old["timeout"])
    assert not is_gone(ledger, older["bug"])
    assert swept(ledger, rules("off")) == [0, 0, 0]


def test_a_category_that_an_operator_corrected_is_the_one_that_counts(ledger: Ledger) -> None:
    message_id = stored_at(ledger, NOW - 20 * DAY, category="unknown")
    kept = rules("30d,invalid_data=14d")
    assert swept(ledger, kept) == [0, 0, 0]
    ledger.groups.correct(ledger.get(message_id).group, Category.INVALID_DATA)
    assert swept(ledger, kept) == [1, 0, 0]


def test_more_than_one_batch_of_several_causes_goes_in_small_steps(ledger: Ledger) -> None:
    with at(NOW - 31 * DAY):
        ledger.ingest([an_arrival(fingerprint=f"{n % 7:016x}") for n in range(300)])
    stored_at(ledger, NOW)
    steps = list(ledger.retention.sweep(rules(), now=NOW))
    assert sum(step.count for step in steps) == 300
    assert max(step.count for step in steps) <= MOST_AT_ONCE
    assert ledger.stats().in_dlq == 1


def test_causes_with_a_single_old_one_share_a_step(ledger: Ledger) -> None:
    with at(NOW - 31 * DAY):
        ledger.ingest([an_arrival(fingerprint=f"{n:016x}") for n in range(40)])
    steps = [s for s in ledger.retention.sweep(rules(), now=NOW) if s.loss is Loss.DLQ]
    assert [step.count for step in steps] == [40]


# --- resolved, and what is left ----------------------------------------------------------


def test_what_was_resolved_goes_a_week_later(ledger: Ledger) -> None:
    old = resolved_at(ledger, NOW - WEEK)
    young = resolved_at(ledger, NOW - WEEK + dt.timedelta(seconds=1))
    assert swept(ledger) == [0, 1, 0]
    assert is_gone(ledger, old)
    assert not is_gone(ledger, young)
    assert ledger.history(old)[-1].reason == "expired 7 days after it was resolved"
    assert ledger.replays(old)[-1].outcome is Outcome.SUCCEEDED
    assert ledger.stats().by_state[State.RESOLVED] == 1


def test_resolved_ones_are_kept_by_category_however_many_lie_before(ledger: Ledger) -> None:
    with at(NOW - 20 * DAY):
        ids = [
            r.message_id for r in ledger.ingest([an_arrival(category="bug") for _ in range(120)])
        ]
        ledger.record_outcomes([succeeded(i, replaying(ledger, i)) for i in ids])
    old = resolved_at(ledger, NOW - 19 * DAY, category="timeout", fingerprint="c" * 16)
    assert swept(ledger, rules(resolved="7d,bug=60d")) == [0, 1, 0]
    assert is_gone(ledger, old)
    assert ledger.stats().by_state[State.RESOLVED] == 120


def test_nothing_is_left_once_the_history_is_old(ledger: Ledger) -> None:
    old = deleted_at(ledger, NOW - 90 * DAY)
    young = deleted_at(ledger, NOW - 89 * DAY)
    assert swept(ledger) == [0, 0, 1]
    with pytest.raises(NotFound):
        ledger.history(old)
    assert ledger.history(young)
    # Only now its id is free again.
    with at(NOW):
        assert ledger.ingest([an_arrival(old)])[0].message_id == old
    assert not is_gone(ledger, old)


def test_replays_and_edits_go_with_the_history(ledger: Ledger) -> None:
    message_id = resolved_at(ledger, NOW - 200 * DAY)
    assert swept(ledger, now=NOW - 100 * DAY) == [0, 1, 0]
    assert ledger.replays(message_id)
    assert swept(ledger) == [0, 0, 1]
    assert ledger.replays(message_id) == []
    assert swept(ledger) == [0, 0, 0]


def test_history_is_kept_by_category(ledger: Ledger) -> None:
    bug = deleted_at(ledger, NOW - 100 * DAY, category="bug", fingerprint="d" * 16)
    deleted_at(ledger, NOW - 100 * DAY, category="timeout", fingerprint="e" * 16)
    assert swept(ledger, rules(history="90d,bug=off")) == [0, 0, 1]
    assert ledger.history(bug)


def test_a_job_goes_before_the_dead_letters_that_it_names(ledger: Ledger) -> None:
    with at(NOW - 200 * DAY):
        ids = [r.message_id for r in ledger.ingest([an_arrival() for _ in range(120)])]
        choice = NewJob(Choice(where="state:dlq"), JobOptions(canary=0), "ann")
        over = ledger.jobs.create(choice, now=NOW - 200 * DAY).job_id
        lasting = ledger.jobs.create(choice, now=NOW - 200 * DAY).job_id
        ledger.jobs.cancel(over, actor="ann", now=NOW - 200 * DAY)
        ledger.jobs.pause(lasting)
        for message_id in ids:
            ledger.delete(message_id, actor="ann")
    assert swept(ledger) == [0, 0, 0]
    with pytest.raises(NotFound):
        ledger.jobs.get(over)
    assert ledger.jobs.get(lasting).total == 120
    assert len(ledger.jobs.items(lasting, limit=1000)) == 120
    with at(NOW):
        ledger.jobs.cancel(lasting, actor="ann", now=NOW)
    assert swept(ledger, now=NOW + 91 * DAY) == [0, 0, 120]
    assert ledger.jobs.counts()[JobState.CANCELLED] == 0
    with pytest.raises(NotFound):
        ledger.history(ids[0])


def test_the_audit_is_history_too(ledger: Ledger) -> None:
    for days in [100] * 250 + [10]:
        ledger.audit(AuditEntry("ann", "delete", "m", "ok", at=NOW - days * DAY))
    swept(ledger)
    assert [entry.at for entry in ledger.audits()] == [NOW - 10 * DAY]
    swept(ledger, rules(history="off"), now=NOW + 1000 * DAY)
    assert len(ledger.audits()) == 1


# --- ingest goes on ----------------------------------------------------------------------


class Ingesting:
    """Takes in small batches as fast as it can, on a thread of its own."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.commits = 0

    def __enter__(self) -> Ingesting:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._ledger.ingest([an_arrival() for _ in range(10)])
            self.commits += 1


def test_ingest_goes_on_while_a_thousand_expire(ledger: Ledger) -> None:
    with at(NOW - 31 * DAY):
        ledger.ingest([an_arrival() for _ in range(1000)])
    between: list[int] = []
    expired = 0
    with Ingesting(ledger) as ingesting:
        began, seen = time.monotonic(), 0
        for step in ledger.retention.sweep(rules(), now=NOW):
            expired += step.count
            time.sleep(rest_s(time.monotonic() - began))
            between.append(ingesting.commits - seen)
            began, seen = time.monotonic(), ingesting.commits
    assert expired == 1000
    assert ledger.stats().in_dlq == 10 * ingesting.commits
    # It commits between any few steps, and as a rule between any two.
    assert _longest_run_of_zeros(between) <= 3, between
    assert sum(1 for count in between if count) > 0.8 * len(between), between


def _longest_run_of_zeros(counts: Sequence[int]) -> int:
    longest = run = 0
    for count in counts:
        run = 0 if count else run + 1
        longest = max(longest, run)
    return longest


def test_two_managers_share_a_sweep_and_count_each_loss_once(ledger_url: str) -> None:
    ledgers = [open_ledger(ledger_url, rules=ReplayRules()) for _ in range(2)]
    with at(NOW - 31 * DAY):
        ids = [r.message_id for r in ledgers[0].ingest([an_arrival() for _ in range(500)])]
    counts = [0, 0]

    def sweep(number: int) -> None:
        for step in ledgers[number].retention.sweep(rules(), now=NOW):
            counts[number] += step.count

    threads = [threading.Thread(target=sweep, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    counts[0] += sum(step.count for step in ledgers[0].retention.sweep(rules(), now=NOW))
    assert sum(counts) == 500
    assert ledgers[0].stats().in_dlq == 0
    assert [entry.actor for entry in ledgers[0].history(ids[7])] == ["ingest", "retention"]
    for ledger in ledgers:
        ledger.close()


# --- what comes next ---------------------------------------------------------------------


def looked_ahead(ledger: Ledger, keep: str = "30d", within: dt.timedelta = WEEK) -> AgeOutlook:
    return ledger.retention.outlook(parse_keep(keep), now=NOW, within=within)


def test_nothing_is_lost_from_an_empty_ledger_or_one_that_keeps_for_ever(ledger: Ledger) -> None:
    assert looked_ahead(ledger).next_loss_at is None
    stored_at(ledger, NOW - 400 * DAY)
    assert looked_ahead(ledger, "off").next_loss_at is None


def test_the_outlook_names_the_first_loss_and_counts_those_that_are_near(ledger: Ledger) -> None:
    for days in (28, 26, 24, 5):
        stored_at(ledger, NOW - days * DAY)
    assert looked_ahead(ledger) == AgeOutlook(NOW + 2 * DAY, 3)
    assert looked_ahead(ledger, within=DAY) == AgeOutlook(NOW + 2 * DAY, 0)
    stored_at(ledger, NOW - 10 * DAY, category="bug", fingerprint="b" * 16)
    assert looked_ahead(ledger, "30d,bug=11d").next_loss_at == NOW + DAY


def test_what_came_back_is_not_at_risk(ledger: Ledger) -> None:
    message_id = stored_at(ledger, NOW - 40 * DAY)
    with at(NOW - DAY):
        ledger.ingest([failed_again(message_id, replaying(ledger, message_id))])
    seen = looked_ahead(ledger)
    assert seen.at_risk_count == 0
    assert seen.next_loss_at is not None
    assert NOW + WEEK <= seen.next_loss_at <= NOW + 29 * DAY


# --- purge -------------------------------------------------------------------------------


def purged(ledger: Ledger, where: str) -> int:
    chosen = parse(where)
    survey = ledger.retention.survey(chosen, now=NOW)
    return ledger.retention.purge(survey.row_ids, chosen.states, actor="ann", now=NOW)


def test_a_survey_tells_what_a_filter_chooses(ledger: Ledger) -> None:
    spotify = [stored(ledger) for _ in range(3)]
    stored(ledger, error_type="lastfm", category="auth", fingerprint="c" * 16, title="Denied")
    survey = ledger.retention.survey(parse("state:dlq"), now=NOW)
    assert survey.total == len(survey.row_ids) == 4
    assert survey.by_state == {State.PENDING: 4}
    assert survey.by_error_type == {"spotify": 3, "lastfm": 1}
    assert survey.by_category == {"rate_limit": 3, "auth": 1}
    assert [(g.title, g.category, g.count) for g in survey.groups] == [
        ("HTTPError: 429", "rate_limit", 3),
        ("Denied", "auth", 1),
    ]
    assert survey.groups[0].group == ledger.get(spotify[0]).group
    assert survey.message_ids[:3] == tuple(spotify)
    assert ledger.stats().in_dlq == 4


def test_a_purge_empties_what_was_chosen_and_nothing_that_came_later(ledger: Ledger) -> None:
    chosen = parse("error_type:spotify")
    spotify, lastfm = stored(ledger), stored(ledger, error_type="lastfm")
    survey = ledger.retention.survey(chosen, now=NOW)
    late = stored(ledger)
    assert ledger.retention.purge(survey.row_ids, chosen.states, actor="ann", now=NOW) == 1
    assert [is_gone(ledger, i) for i in (spotify, lastfm, late)] == [True, False, False]
    last = ledger.history(spotify)[-1]
    assert (last.actor, last.to_state, last.reason) == ("ann", None, "purged")
    assert ledger.stats().by_error_type == {"lastfm": 1, "spotify": 1}


def test_words_in_the_message_choose_too(ledger: Ledger) -> None:
    hit = stored(ledger, error_message="the moon is gone")
    miss = stored(ledger, error_message="the sun is gone")
    assert purged(ledger, "moon") == 1
    assert is_gone(ledger, hit)
    assert not is_gone(ledger, miss)


def test_what_changed_between_the_count_and_the_purge_is_left(ledger: Ledger) -> None:
    chosen = parse("state:dlq")
    ids = [stored(ledger) for _ in range(3)]
    survey = ledger.retention.survey(chosen, now=NOW)
    replaying(ledger, ids[0])
    ledger.delete(ids[1], actor="bob")
    assert ledger.retention.purge(survey.row_ids, chosen.states, actor="ann", now=NOW) == 1
    assert ledger.get(ids[0]).state is State.REPLAYING
    assert ledger.history(ids[1])[-1].actor == "bob"


def test_what_is_resolved_may_be_purged(ledger: Ledger) -> None:
    done, waiting = resolved_at(ledger, NOW), stored(ledger)
    assert purged(ledger, "state:resolved") == 1
    assert is_gone(ledger, done)
    assert not is_gone(ledger, waiting)


@pytest.mark.parametrize("where", ["state:replaying", ALL, "state:dlq -state:dlq"])
def test_other_states_are_refused(ledger: Ledger, where: str) -> None:
    with pytest.raises(InvalidInput, match="Only what is pending, scheduled, parked or resolved"):
        ledger.retention.survey(parse(where), now=NOW)


def test_a_survey_goes_through_more_than_one_look(ledger: Ledger) -> None:
    ledger.ingest([an_arrival() for _ in range(2100)])
    survey = ledger.retention.survey(parse("state:dlq"), now=NOW)
    assert survey.total == len(set(survey.row_ids)) == survey.by_state[State.PENDING] == 2100
    assert len(survey.message_ids) == 100


def test_counts_by_hour_are_forgotten_while_the_dead_letters_stay(ledger: Ledger) -> None:
    message_id = stored_at(ledger, NOW - 20 * DAY)
    ledger.retention.forget_hours(NOW - 8 * DAY)
    assert not is_gone(ledger, message_id)
    assert ledger.stats().in_dlq == 1
