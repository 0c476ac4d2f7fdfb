"""The form of a policy file: every key, its meaning and its bounds; pure.

All scalars arrive as text (`source.py`). `docs/policies.md` explains the same keys.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from dlq.classify import CATEGORIES, Category
from dlq.policy.decision import Facts
from dlq.policy.problems import did_you_mean, expected
from dlq.policy.spans import parse_span, show_span
from dlq.policy.windows import WEEK_MIN, Span, merged, outside, parse_window

MAX_RULES = 200
MAX_VALUES = 1000
MAX_BUDGET = 100
MAX_WINDOWS = 50
CAP_S = 6 * 3600
NO_RULE = "none"
"""What decided when no rule matched; no rule may be called so."""


# --- scalars -----------------------------------------------------------------------------


def _budget(value: object) -> int:
    what = f"a whole number of tries from 1 to {MAX_BUDGET}"
    if not isinstance(value, str) or not re.fullmatch(r"[+-]?\d{1,9}", value, re.ASCII):
        raise expected(what, value)
    if not 1 <= int(value) <= MAX_BUDGET:
        raise expected(what, value, ' For no tries at all write "retry: never".')
    return int(value)


def _version(value: object) -> int:
    if value != "1":
        raise expected("1, the only version there is", value)
    return 1


def _flag(value: object) -> bool:
    if value not in ("true", "false"):
        raise expected("true or false", value)
    return value == "true"


def _rule_name(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 80 or not value.isprintable():
        raise expected("a name of 1 to 80 printable characters on one line", value)
    if value == NO_RULE:
        raise expected("another name, for this one means that no rule matched", value)
    return value


def _word(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise expected("a word or a list of words", value)
    return value


def _category(value: object) -> Category:
    word = _word(value)
    if word not in list(Category):
        what = f"a category ({', '.join(CATEGORIES)})"
        raise expected(what, word, did_you_mean(word, CATEGORIES))
    return Category(word)


def _timezone(value: object) -> ZoneInfo:
    name = value if isinstance(value, str) else ""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # not there, not a name, a folder of them
        what = 'a name of the IANA time zone database such as "Europe/Berlin"'
        raise expected(what, value, did_you_mean(name, available_timezones())) from None


def _one_or_more(value: Any) -> Any:
    """A single value stands for a list of one."""
    if value == []:
        raise expected("at least one value", value, " Leave the key out, or fill the list.")
    return value if isinstance(value, list) else [value]


Seconds = Annotated[int, BeforeValidator(parse_span)]
Budget = Annotated[int, BeforeValidator(_budget)]
Flag = Annotated[bool, BeforeValidator(_flag)]
CategoryWord = Annotated[Category, BeforeValidator(_category)]
Words = Annotated[
    frozenset[Annotated[str, BeforeValidator(_word)]] | None,
    Field(max_length=MAX_VALUES),
    BeforeValidator(_one_or_more),
]
Windows = Annotated[
    tuple[Annotated[tuple[Span, ...], BeforeValidator(parse_window)], ...] | None,
    Field(max_length=MAX_WINDOWS),
    BeforeValidator(_one_or_more),
]


# --- mappings ----------------------------------------------------------------------------


class Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Match(Form):
    """Which dead letters a rule is for: all that is given must match; nothing is everything."""

    category: Annotated[frozenset[CategoryWord] | None, BeforeValidator(_one_or_more)] = None
    provider: Words = None  # error_type
    service: Words = None  # source_service
    group: Words = None  # fingerprint

    def covers(self, facts: Facts) -> bool:
        return all(
            wanted is None or value in wanted
            for wanted, value in (
                (self.category, facts.category),
                (self.provider, facts.error_type),
                (self.service, facts.source_service),
                (self.group, facts.fingerprint),
            )
        )

    def includes(self, other: Match) -> bool:
        """Whether it matches all that `other` matches."""
        pairs: tuple[tuple[frozenset[str] | None, frozenset[str] | None], ...] = (
            (self.category, other.category),
            (self.provider, other.provider),
            (self.service, other.service),
            (self.group, other.group),
        )
        return all(
            mine is None or (theirs is not None and mine >= theirs) for mine, theirs in pairs
        )


class _Rule(Form):
    name: Annotated[str, BeforeValidator(_rule_name)]
    match: Match = Match()


class _TimedRule(_Rule):
    quiet: Windows = None  # nothing is sent within
    only: Windows = None  # nothing is sent outside

    @field_validator("quiet")
    @classmethod
    def _leaves_time(cls, windows: tuple[tuple[Span, ...], ...]) -> tuple[tuple[Span, ...], ...]:
        if merged(span for window in windows for span in window) == ((0, WEEK_MIN),):
            raise ValueError(
                "no time is left: the windows cover the whole week. Shorten one, or write "
                '"retry: never".'
            )
        return windows

    @field_validator("only")
    @classmethod
    def _one_kind(cls, windows: Any, info: ValidationInfo) -> Any:
        if info.data.get("quiet") is not None:
            raise ValueError('expected either "quiet" or "only", got both. Remove one of them.')
        return windows

    @property
    def quiet_spans(self) -> tuple[Span, ...]:
        """The minutes of the week in which nothing is sent, merged."""
        if self.only is not None:
            return outside(span for window in self.only for span in window)
        return merged(span for window in self.quiet or () for span in window)


class Backoff(_TimedRule):
    """Tries after growing pauses, with full jitter."""

    retry: Literal["backoff"]
    base_s: Seconds = Field(60, alias="base")  # bound of the first pause; doubles
    cap_s: Seconds = Field(  # the bound never exceeds it
        alias="cap", default_factory=lambda given: max(CAP_S, given.get("base_s", 0))
    )
    budget: Budget = 6
    honour_retry_after: Flag = True

    @field_validator("cap_s")
    @classmethod
    def _not_below_base(cls, cap_s: int, info: ValidationInfo) -> int:
        base_s = info.data.get("base_s", 0)
        if cap_s < base_s:
            raise ValueError(
                f"expected at least the base, {show_span(base_s)}, got {show_span(cap_s)}. "
                "Raise cap, or lower base."
            )
        return cap_s


class Cooldown(_TimedRule):
    """Tries after fixed pauses, as many as there are."""

    retry: Literal["cooldown"]
    after_s: Annotated[
        tuple[Seconds, ...], Field(max_length=MAX_BUDGET), BeforeValidator(_one_or_more)
    ] = Field(alias="after")


class WhenMended(_TimedRule):
    """Tries once somebody says that the provider's credentials are mended."""

    retry: Literal["when_mended"]
    budget: Budget = 6


class Never(_Rule):
    """A person may; the clock does not."""

    retry: Literal["never"]


Rule: TypeAlias = Backoff | Cooldown | WhenMended | Never
RULE_FORMS: dict[str, type[Rule]] = {
    "backoff": Backoff,
    "cooldown": Cooldown,
    "when_mended": WhenMended,
    "never": Never,
}


class PolicyFile(Form):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    version: Annotated[int, BeforeValidator(_version)]
    timezone: Annotated[ZoneInfo, BeforeValidator(_timezone)] = ZoneInfo("UTC")
    rules: tuple[Annotated[Rule, Field(discriminator="retry")], ...] = Field(max_length=MAX_RULES)
