"""How long dead letters are kept, by what kind of failure they are; pure.

It is written `30d,rate_limit=14d,bug=off`: for all, then for single categories.
"""

from __future__ import annotations

import datetime as dt
import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from dlq.classify import CATEGORIES
from dlq.errors import InvalidInput

FOR_EVER = ("off", "0")
SHORTEST = dt.timedelta(hours=1)
"""Less is taken for a slip: `30s` where `30d` was meant would empty the DLQ."""
LONGEST = dt.timedelta(days=3650)

REST_FACTOR = 3.0
"""How much longer than its last step whoever deletes in bulk stays away from the ledger."""
LEAST_REST_S = 0.01
MOST_REST_S = 5.0

_UNITS = {"h": dt.timedelta(hours=1), "d": dt.timedelta(days=1), "w": dt.timedelta(weeks=1)}
_SPAN = re.compile(r"([0-9]{1,5})([hdw])")


class Loss(StrEnum):
    """Why something was let go."""

    DLQ = "dlq"  # too long in the DLQ
    RESOLVED = "resolved"  # resolved long enough ago
    HISTORY = "history"  # emptied long enough ago: nothing is left of it


@dataclass(frozen=True, slots=True)
class Keep:
    """How long, by category; None: for ever."""

    others: dt.timedelta | None
    by_category: Mapping[str, dt.timedelta | None] = field(default_factory=dict)

    def of(self, category: str | None) -> dt.timedelta | None:
        """category: None: not known (any more)."""
        return self.others if category is None else self.by_category.get(category, self.others)

    def spans(self) -> Iterator[dt.timedelta]:
        """Those that end, each once, the shortest first."""
        found = {self.others, *self.by_category.values()} - {None}
        yield from sorted(span for span in found if span is not None)


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """How long: in the DLQ, once resolved, and what is left after the content is gone."""

    dlq: Keep
    resolved: Keep
    history: Keep


def parse_keep(text: str) -> Keep:
    """`30d`, `off`, or `30d,rate_limit=14d,bug=off`: the first is for all that are not named.

    Raises: InvalidInput: names the entry.
    """
    first, *named = [part.strip() for part in text.split(",")]
    if "=" in first:
        raise InvalidInput(
            f"Expected the span for all categories first, as 30d,{first[:60]}, got {text[:80]!r}."
        )
    by_category: dict[str, dt.timedelta | None] = {}
    for entry in named:
        name, equals, span = (part.strip() for part in entry.partition("="))
        if not equals:
            raise InvalidInput(f"Expected category=span, as rate_limit=14d, got {entry[:60]!r}.")
        category = _category(name)
        if category in by_category:
            raise InvalidInput(f"Expected each category once, got {category} twice.")
        by_category[category] = _span(span)
    return Keep(_span(first), by_category)


def show_span(span: dt.timedelta) -> str:
    """`30 days`, `1 day`, `36 hours`."""
    count, rest = divmod(span, dt.timedelta(days=1))
    unit = "day"
    if rest:
        count, unit = span // dt.timedelta(hours=1), "hour"
    return f"{count} {unit}{'' if count == 1 else 's'}"


def rest_s(took_s: float) -> float:
    """How long to leave the ledger alone after a step that took so long: others, ingest before
    all, have most of its time however slow it is."""
    return min(max(took_s * REST_FACTOR, LEAST_REST_S), MOST_REST_S)


def _span(text: str) -> dt.timedelta | None:
    if text.casefold() in FOR_EVER:
        return None
    found = _SPAN.fullmatch(text.casefold())
    if found is not None:
        span = int(found[1]) * _UNITS[found[2]]
        if SHORTEST <= span <= LONGEST:
            return span
    raise InvalidInput(
        "Expected a span as 12h, 30d or 2w, from 1h to 3650d, or off to keep for ever, "
        f"got {text[:60]!r}."
    )


def _category(text: str) -> str:
    name = text.casefold()
    if name in CATEGORIES:
        return str(name)
    meant = difflib.get_close_matches(name, CATEGORIES, n=1)
    hint = f" Did you mean {meant[0]}?" if meant else ""
    raise InvalidInput(
        f"Expected one of the categories {', '.join(CATEGORIES)}, got {text[:60]!r}.{hint}"
    )
