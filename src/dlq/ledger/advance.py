"""One step of a job: prepare it, judge its canary, end it, or begin its next replays.

A step is one transaction under the lock of the job's row, so that several managers take turns
and none sends what another has sent. It sends nothing itself: what it has begun is handed over
by the caller, or, should that one die, by whoever sweeps.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    bindparam,
    exists,
    func,
    select,
    update,
)

from dlq.job import ItemStatus, JobOptions, JobState
from dlq.ledger.books import Claim
from dlq.ledger.canary import why_it_fails
from dlq.ledger.gate import Gate
from dlq.ledger.jobs import count_items, end, set_state
from dlq.ledger.keys import Keys
from dlq.ledger.moves import Locked, lock_free
from dlq.ledger.replays import Order, begin
from dlq.ledger.rules import ReplayRules
from dlq.ledger.schema import dead_letters, job_items, jobs, still_open
from dlq.pace import Limit, parse_rate
from dlq.states import IN_DLQ

SENT_AT_ONCE = 200
LOOKED_AT_ONCE = 100
"""Items looked at together; more than are wanted, since some may be gone."""
LOOKS = 20
"""A step holds locks: one that finds nothing but what is gone leaves the rest to the next."""
CANARY_SEEN_EVERY = dt.timedelta(seconds=1)
CANARY_UNSEEN = dt.timedelta(seconds=10)
POLL_S = 0.1
TURN_S = 0.05

_waiting = job_items.c.status == ItemStatus.WAITING.value


def advance(connection: Connection, job_id: str, *, rules: ReplayRules, now: dt.datetime) -> Claim:
    query = select(*jobs.c).where(jobs.c.job_id == job_id).with_for_update(skip_locked=True)
    row = connection.execute(query).mappings().first()
    if row is None:
        return Claim(wait_s=TURN_S)  # another manager is at it
    step = Step(connection, row, rules, now)
    claim = step.take()
    step.note(claim.waiting_for if not claim.begun else None)
    return claim


class Step:
    """A step of one locked job."""

    def __init__(
        self, connection: Connection, row: RowMapping, rules: ReplayRules, now: dt.datetime
    ) -> None:
        self._connection = connection
        self._row = row
        self._id: int = row["id"]
        self._options = JobOptions.model_validate_json(row["options"])
        self._rules = rules
        self._now = now
        self._keys = Keys(connection, row, self._options, now)
        self._mine = job_items.c.job_id == self._id
        self._left_out = 0  # items that turned out not to be sent, in this step

    def take(self) -> Claim:
        state = JobState(self._row["state"])
        if state is JobState.PREPARING:
            if not self._keys.read_more():
                set_state(self._connection, self._id, JobState.RUNNING)
            return Claim(wait_s=0.0)
        if state is not JobState.RUNNING:
            return Claim()
        if self._row["started_at"] is None:
            self._set(started_at=self._now)
        hold_until = self._row["hold_until"]
        if hold_until is not None and hold_until > self._now:
            wait_s = (hold_until - self._now).total_seconds()
            return Claim(wait_s=wait_s, waiting_for=self._row["waiting_for"])
        return self._judge() or self._send()

    def note(self, waiting_for: str | None) -> None:
        """Why nothing is sent just now, for those who look at the job."""
        if waiting_for != self._row["waiting_for"]:
            self._connection.execute(
                update(jobs)
                .where(jobs.c.id == self._id, jobs.c.state == JobState.RUNNING.value)
                .values(waiting_for=waiting_for)
            )

    def _set(self, **values: Any) -> None:
        self._connection.execute(update(jobs).where(jobs.c.id == self._id).values(**values))

    # --- the canary ---

    def _judge(self) -> Claim | None:
        """None: there is something to send."""
        if self._in_canary:
            canary = count_items(self._connection, self._id, job_items.c.canary)
            if canary[ItemStatus.WAITING]:
                return None
            if canary[ItemStatus.SENT] and not self._waited_enough():
                return Claim(wait_s=POLL_S, waiting_for=self._canary_told(canary))
            share = self._options.canary_share
            reason = why_it_fails(self._connection, self._id, canary, share)
            if reason is not None:
                end(self._connection, self._id, JobState.STOPPED, reason, self._now)
                return Claim()
            self._set(canary_passed=True)
            return Claim(wait_s=0.0)
        if self._connection.execute(select(exists().where(self._mine, _waiting))).scalar_one():
            return None
        if sent_count := self._count_sent():
            told = f"the outcomes of {sent_count} that were sent"
            return Claim(wait_s=POLL_S, waiting_for=told)
        reason = None if self._row["total"] else "nothing was as asked for"
        end(self._connection, self._id, JobState.FINISHED, reason, self._now)
        return Claim()

    @property
    def _in_canary(self) -> bool:
        return bool(self._options.canary_of(self._row["total"]) and not self._row["canary_passed"])

    def _count_sent(self, *conditions: ColumnElement[bool]) -> int:
        query = select(func.count()).select_from(job_items)
        sent = query.where(self._mine, job_items.c.status == ItemStatus.SENT.value, *conditions)
        return self._connection.execute(sent).scalar_one()

    def _waited_enough(self) -> bool:
        """For the canary's outcomes. A time in which nobody looked, because the managers were
        down or the job was paused, does not count: none could come."""
        since, seen_at = self._row["canary_since"], self._row["canary_seen_at"]
        if seen_at is None or self._now - seen_at > CANARY_UNSEEN:
            since = self._now
        if seen_at is None or self._now - seen_at > CANARY_SEEN_EVERY:
            self._set(canary_since=since, canary_seen_at=self._now)
        return bool(self._now - since > dt.timedelta(seconds=self._rules.canary_wait_s))

    def _canary_told(self, canary: dict[ItemStatus, int]) -> str:
        return f"the outcomes of its canary: {canary[ItemStatus.SENT]} are on their way"

    # --- sending ---

    def _send(self) -> Claim:
        claim = Claim()
        room = self._room(claim)
        for provider in self._providers() if room else ():
            gate = Gate(self._connection, provider, self._rules, self._now)
            wanted = min(room, gate.open_for(claim))
            rows = self._next(provider, wanted) if wanted else []
            if not rows:
                if wanted:
                    claim.blocked("the outcomes of those before", POLL_S)
                continue
            self._begin(rows, claim)
            gate.passed(len(rows))
            room -= len(rows)
            if room == 0:
                break
        if claim.begun:
            self._spend(len(claim.begun))
        if claim.begun or self._left_out:
            claim.wait_s = 0.0
        return claim

    def _room(self, claim: Claim) -> int:
        """How many may be sent now by the job's own bounds."""
        slot = dt.timedelta(seconds=self._rules.slot_s)
        on_their_way = self._count_sent(job_items.c.sent_at > self._now - slot)
        room = (self._options.concurrency or self._rules.concurrency) - on_their_way
        if room <= 0:
            claim.blocked(f"the outcomes of {on_their_way} that are on their way", POLL_S)
            return 0
        limit, next_at = self._limit(), self._row["next_at"]
        if limit is not None:
            room = min(room, limit.available(next_at, self._now))
            if room == 0:
                claim.blocked(f"its pace of {self._options.rate}", limit.wait_s(next_at, self._now))
        return min(room, SENT_AT_ONCE)

    def _limit(self) -> Limit | None:
        return None if self._options.rate is None else Limit(parse_rate(self._options.rate))

    def _spend(self, count: int) -> None:
        limit = self._limit()
        if limit is not None:
            self._set(next_at=limit.spend(self._row["next_at"], self._now, count))

    def _providers(self) -> list[str]:
        """By name. One look into the index each: DISTINCT would walk over all that waits."""
        name = job_items.c.error_type
        query = select(func.min(name)).where(*self._next_conditions())
        found: list[str] = []
        last = self._connection.execute(query).scalar()
        while last is not None:
            found.append(last)
            last = self._connection.execute(query.where(name > last)).scalar()
        return found

    def _next_conditions(self) -> list[ColumnElement[bool]]:
        """Items that may be sent as far as canary and order go."""
        found = [self._mine, _waiting]
        if self._in_canary:
            found.append(job_items.c.canary)
        return found

    def _one_at_a_time(self, key: str) -> ColumnElement[bool]:
        """Nothing before it with the same key is still to come back."""
        before = job_items.alias()
        query = (
            select(before.c.dead_letter_id)
            .where(before.c.job_id == self._id, before.c[key] == job_items.c[key])
            .where(before.c.dead_letter_id < job_items.c.dead_letter_id, still_open(before))
        )
        if self._in_canary:  # what is not of it does not go before it
            query = query.where(before.c.canary)
        return ~query.exists()

    def _next(self, provider: str, wanted: int) -> list[Locked]:
        """Lock the next of this provider; on the way, leave out what cannot be replayed."""
        query = (
            select(job_items.c.dead_letter_id)
            .where(*self._next_conditions(), job_items.c.error_type == provider)
            .order_by(job_items.c.dead_letter_id)
        )
        if self._options.ordered_by:
            query = query.where(self._one_at_a_time("order_key"))
        if self._options.skip_superseded:
            query = query.where(self._one_at_a_time("entity_key"))
        found: list[Locked] = []
        reached, limit = 0, wanted
        for _ in range(LOOKS):
            later = query.where(job_items.c.dead_letter_id > reached).limit(limit)
            ids = self._connection.execute(later).scalars().all()
            if not ids:
                break
            reached, left_out = ids[-1], self._left_out
            found += self._replayable(self._not_superseded(ids))
            # What is left out makes way for those of its key.
            if len(found) >= wanted or (len(ids) < limit and self._left_out == left_out):
                break
            limit = LOOKED_AT_ONCE
        return found[:wanted]

    def _not_superseded(self, ids: Sequence[int]) -> Sequence[int]:
        """Asked after they were chosen: the one before them of the same entity may have
        succeeded just now, which is what let them be chosen."""
        if not self._options.skip_superseded:
            return ids
        if self._keys.supersede():
            self._left_out += 1  # more successes to look at, before anything is sent
            return ()
        query = select(job_items.c.dead_letter_id).where(self._mine, _waiting)
        query = query.where(job_items.c.dead_letter_id.in_(ids))
        left = self._connection.execute(query.order_by(job_items.c.dead_letter_id)).scalars().all()
        self._left_out += len(ids) - len(left)
        return left

    def _replayable(self, ids: Sequence[int]) -> list[Locked]:
        if not ids:
            return []
        letters = dead_letters.c
        locked = lock_free(
            self._connection,
            letters.id.in_(ids) & letters.state.in_([state.value for state in IN_DLQ]),
        )
        rest = set(ids) - {row.id for row in locked}
        if rest:
            # What is merely locked by somebody else keeps its state, and its turn comes again.
            query = select(letters.id, letters.state).where(letters.id.in_(rest))
            lost = [
                {"row_id": row_id, "because": f"it is {state} already"}
                for row_id, state in self._connection.execute(query)
                if state not in IN_DLQ
            ]
            self._left_out += len(lost)
            if lost:
                self._connection.execute(
                    update(job_items)
                    .where(self._mine, job_items.c.dead_letter_id == bindparam("row_id"))
                    .values(
                        status=ItemStatus.SKIPPED.value,
                        reason=bindparam("because"),
                        done_at=self._now,
                    ),
                    lost,
                )
        return locked

    def _begin(self, rows: list[Locked], claim: Claim) -> None:
        order = Order(
            actor=self._row["actor"],
            max_retries=self._options.max_retries,
            routing_key=self._options.routing_key,
            job_id=self._row["job_id"],
        )
        begun = begin(self._connection, rows, order, now=self._now)
        by_id = {row.message_id: row.id for row in rows}
        self._connection.execute(
            update(job_items)
            .where(self._mine, job_items.c.dead_letter_id == bindparam("row_id"))
            .values(
                status=ItemStatus.SENT.value,
                reason=None,
                sent_at=self._now,
                replay_id=bindparam("sent_as"),
            ),
            [
                {"row_id": by_id[replay.message_id], "sent_as": replay.replay_id}
                for replay, _ in begun
            ],
        )
        claim.begun += begun
