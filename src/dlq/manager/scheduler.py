"""The scheduler asks the retry policies about each failure, and claims what has come due.

Nothing is sent while nobody takes replays: what is due waits until a worker is there.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
from collections.abc import Callable

from dlq.ledger.base import Ledger
from dlq.ledger.books import Claim, Due, Planned
from dlq.policy import Decision, Kind, Policies

logger = logging.getLogger(__name__)

AT_ONCE = 500
ROUNDS = 20
INTERVAL = dt.timedelta(seconds=1)


class Scheduler:
    """`policies` None: automatic retry is off.

    Args:
        worker_is_there: whether somebody takes replays; None: not known.
        jitter: the source of the policies' jitter.
    """

    def __init__(
        self,
        ledger: Ledger,
        policies: Policies | None,
        *,
        worker_is_there: Callable[[], bool | None],
        jitter: random.Random | None = None,
    ) -> None:
        self._ledger = ledger
        self._policies = policies
        self._worker_is_there = worker_is_there
        self._jitter = jitter or random.Random()  # noqa: S311 - spreads load, guards nothing
        self._adopted = False
        self._next_at: dt.datetime | None = None
        self._held_until: dt.datetime | None = None

    def hold(self, until: dt.datetime) -> None:
        """Send nothing before that instant."""
        self._held_until = until

    def claims(self, now: dt.datetime) -> list[Claim]:
        """Decide on what is undecided, and begin what is due; at most once a second."""
        if self._next_at is not None and self._next_at - INTERVAL <= now < self._next_at:
            return []
        self._adopt()
        if self._policies is None:
            self._next_at = now + INTERVAL
            return []
        self._decide(self._policies, now)
        claims = []
        held = self._held_until is not None and now < self._held_until
        if not held and self._worker_is_there():
            due = self._ledger.schedule.due(now, limit=AT_ONCE)
            claims = [self._claim(self._policies, name, due[name], now) for name in due]
        # While something is due it is asked for again as soon as its pace allows.
        waits = [claim.wait_s for claim in claims if claim.wait_s is not None]
        self._next_at = now + min([dt.timedelta(seconds=s) for s in waits], default=INTERVAL)
        self._next_at = min(self._next_at, now + INTERVAL)
        return claims

    def _adopt(self) -> None:
        if self._adopted:
            return
        digest = self._policies.digest if self._policies else None
        if self._ledger.schedule.adopt(digest):
            logger.info("Retry policies: %s", digest[:12] if digest else "automatic retry is off")
        self._adopted = True

    def _decide(self, policies: Policies, now: dt.datetime) -> None:
        for _ in range(ROUNDS):
            undecided = self._ledger.schedule.undecided(AT_ONCE)
            planned = [
                Planned(due, policies.decide(due.facts, now=now, random=self._jitter))
                for due in undecided
            ]
            self._ledger.schedule.plan(planned, now=now)
            if len(undecided) < AT_ONCE:
                return

    def _claim(self, policies: Policies, provider: str, due: list[Due], now: dt.datetime) -> Claim:
        """Those that the policies still let go now; the others are decided on anew."""
        free: list[tuple[Due, str]] = []
        others: list[Planned] = []
        for one in due:
            decision = policies.decide(one.facts, now=now, random=self._jitter)
            held_until = policies.held_until(one.facts, now)
            if decision.kind is Kind.REPLAY and held_until is not None:
                why = f"{decision.rule}: waits until the quiet hours end"
                others.append(Planned(one, Decision(Kind.REPLAY, decision.rule, held_until, why)))
            elif decision.kind is Kind.REPLAY:
                free.append((one, decision.rule))
            else:
                others.append(Planned(one, decision))
        self._ledger.schedule.plan(others, now=now)
        return self._ledger.schedule.claim(provider, free, now=now) if free else Claim()
