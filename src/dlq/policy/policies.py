"""The rules in force: which one decides for a dead letter, and what; pure and immutable."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import random
from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

from dlq.policy.decision import Decision, Facts, Kind
from dlq.policy.form import NO_RULE, Never, Rule
from dlq.policy.schedule import Plan, plan
from dlq.policy.spans import show_span
from dlq.policy.windows import QuietHours
from dlq.states import Outcome


class Policies:
    """Checked rules, the first that matches decides. Made by `load_policies`."""

    def __init__(self, rules: Iterable[Rule], zone: ZoneInfo) -> None:
        self._rules = tuple((rule, _quiet_hours(rule, zone)) for rule in rules)
        meaning = json.dumps(self.as_dict(), sort_keys=True)
        self._digest = hashlib.sha256(meaning.encode()).hexdigest()

    @property
    def digest(self) -> str:
        """SHA-256 of the meaning: other spellings of the same rules have the same."""
        return self._digest

    @property
    def rule_names(self) -> tuple[str, ...]:
        return tuple(rule.name for rule, _ in self._rules)

    def as_dict(self) -> dict[str, Any]:
        """The rules in one spelling, for JSON: every key given, times in seconds."""
        return {"version": 1, "rules": [_meaning(rule, quiet) for rule, quiet in self._rules]}

    def decide(self, facts: Facts, *, now: dt.datetime, random: random.Random) -> Decision:
        """Whether, and when, the dead letter is replayed by itself.

        Args:
            now: aware; no replay is set before it, nor into quiet hours.
            random: the source of the jitter.
        """
        rule, quiet = self._rule_for(facts)
        if rule is None:
            why = f"no rule matches {facts.category} of {_shown(facts.error_type)}"
            return Decision(Kind.NEVER, NO_RULE, None, why)
        if isinstance(rule, Never):
            why = f"{_shown(facts.category)} is never replayed by itself"
            return Decision(Kind.NEVER, rule.name, None, why)
        if facts.last_outcome is Outcome.PRESUMED:
            why = "somebody took it without a report; a person must say what became of it"
            return Decision(Kind.WAIT, rule.name, None, why)
        return _decision(plan(rule, facts, now, random), rule, facts, now, quiet)

    def held_until(self, facts: Facts, now: dt.datetime) -> dt.datetime | None:
        """When the quiet hours end that this letter is in now; None: it may go now."""
        _, quiet = self._rule_for(facts)
        free_at = quiet.free_from(now) if quiet else now
        return free_at if free_at > now else None

    def _rule_for(self, facts: Facts) -> tuple[Rule | None, QuietHours | None]:
        return next((each for each in self._rules if each[0].match.covers(facts)), (None, None))


def _decision(
    made: Plan, rule: Rule, facts: Facts, now: dt.datetime, quiet: QuietHours | None
) -> Decision:
    if facts.failed_count >= made.budget:
        why = f"{facts.failed_count} of {made.budget} tries failed"
        return Decision(Kind.PARK, rule.name, None, why)
    if made.due_at is None:
        why = f"waits until the credentials of {_shown(facts.error_type)} are mended"
        return Decision(Kind.WAIT, rule.name, None, why)
    at = due_at = max(now, made.due_at).astimezone(dt.UTC)
    if quiet:
        at = quiet.free_from(due_at)
    wait_s = (at - now).total_seconds()
    why = (
        f"{rule.name}: try {facts.failed_count + 1} of {made.budget}, "
        f"{'at once' if wait_s < 1 else f'after {show_span(wait_s)}'}"
        f"{', when the quiet hours end' if at > due_at else ''}"
    )
    return Decision(Kind.REPLAY, rule.name, at, why)


def _shown(word: str) -> str:
    """A word that came from outside, printable and on one line."""
    return " ".join("".join(c if c.isprintable() else " " for c in word).split())


def _quiet_hours(rule: Rule, zone: ZoneInfo) -> QuietHours | None:
    spans = () if isinstance(rule, Never) else rule.quiet_spans
    return QuietHours(spans, zone) if spans else None


def _meaning(rule: Rule, quiet: QuietHours | None) -> dict[str, Any]:
    match = rule.match.model_dump(exclude_none=True, mode="json")
    timed = {"quiet": quiet.shown(), "timezone": quiet.zone.key} if quiet else {}
    own = rule.model_dump(exclude={"match", "quiet", "only"}, mode="json")
    return {**own, "match": {key: sorted(match[key]) for key in match}, **timed}
