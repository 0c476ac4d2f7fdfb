"""How fast a provider may be asked; pure.

A `Limit` is what a provider allows. Its bucket is kept as one instant, the theoretical arrival
time of the generic cell rate algorithm: all managers share it as one column. A provider that
says "too many" is slowed down at once and let recover step by step (additive increase,
multiplicative decrease), as a share of its limit.

Source: ITU-T I.371, "Generic cell rate algorithm"; RFC 5681 for the increase and decrease.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from dlq.errors import InvalidInput

UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0}
MAX_RATE_PER_S = 10_000.0
MIN_RATE_PER_S = 1 / 86_400
"""One a day. Far below it, instants would leave the calendar."""
MAX_BURST = 10_000
EVERY_OTHER = "*"

DECREASE = 0.5
"""What remains of the share when a provider says "too many"."""
DECREASE_GAP = dt.timedelta(seconds=5)
"""Refusals that come within it are about the same stream of requests, and slow down once."""
FRESH_FOR = dt.timedelta(minutes=1)
"""A refusal that is older says nothing about now, but for its `Retry-After`."""
INCREASE = 0.1
INCREASE_AFTER = dt.timedelta(seconds=10)
LEAST_SHARE = 1 / 16
MAX_HOLD = dt.timedelta(days=1)
"""The longest `Retry-After` that is believed; Spotify is known to ask for most of a day."""

_RATE = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*/\s*(\d{0,6})\s*([smh])\s*")


@dataclass(frozen=True, slots=True)
class Limit:
    """`rate_per_s` on average, and at most `burst` at once after a pause."""

    rate_per_s: float
    burst: int = 1

    def shared(self, share: float) -> Limit:
        """The limit while only a share of it is used."""
        return Limit(self.rate_per_s * share, self.burst)

    def __str__(self) -> str:
        """As 1/s, 0.5/s or 1,500/s."""
        rate = self.rate_per_s
        return f"{rate:,.0f}/s" if rate >= 100 else f"{rate:.3g}/s"

    @property
    def interval(self) -> dt.timedelta:
        return dt.timedelta(seconds=1 / self.rate_per_s)

    @property
    def _tolerance(self) -> dt.timedelta:
        # What is due within a tenth of a second goes together: nobody commits a thousand
        # times a second to send evenly.
        at_once = max(self.burst, math.floor(self.rate_per_s * 0.1))
        return (at_once - 1) * self.interval

    def available(self, next_at: dt.datetime | None, now: dt.datetime) -> int:
        """How many may go now."""
        ahead = max(next_at or now, now) - now
        room = self._tolerance - ahead
        return 0 if room < dt.timedelta() else math.floor(room / self.interval) + 1

    def spend(self, next_at: dt.datetime | None, now: dt.datetime, count: int) -> dt.datetime:
        """The bucket's instant after `count` have gone; more than `available` is a debt that
        those who come later wait for."""
        return max(next_at or now, now) + count * self.interval

    def wait_s(self, next_at: dt.datetime | None, now: dt.datetime) -> float:
        """Seconds until one may go."""
        if next_at is None:
            return 0.0
        return max((next_at - now - self._tolerance).total_seconds(), 0.0)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limit of each provider, by error_type; `others` for any that is not named."""

    named: Mapping[str, Limit] = field(default_factory=dict)
    others: Limit = Limit(10.0, 10)
    headroom: float = 0.0
    """Share of each rate that is left unused: what is sent evenly does not arrive evenly."""

    def of(self, provider: str) -> Limit:
        return self.named.get(provider, self.others).shared(1 - self.headroom)


def share_at(share: float, slowed_at: dt.datetime | None, now: dt.datetime) -> float:
    """The share of its limit that a provider is asked for, at `now`.

    Args:
        share: what it was set to at `slowed_at`.
    """
    if slowed_at is None:
        return 1.0
    steps = max(math.floor((now - slowed_at) / INCREASE_AFTER), 0)
    return min(share + steps * INCREASE, 1.0)


def slowed_share(share: float) -> float:
    return max(share * DECREASE, LEAST_SHARE)


def parse_rate(text: str) -> float:
    """`1/s`, `30/m`, `5/10s`, `1000/h`: replays a second.

    Raises: InvalidInput.
    """
    found = _RATE.fullmatch(text)
    if found is not None:
        count, units, unit = found.groups()
        seconds = int(units or 1) * UNIT_S[unit]
        rate = float(count) / seconds if seconds else 0.0
        if MIN_RATE_PER_S <= rate <= MAX_RATE_PER_S:
            return rate
    raise InvalidInput(
        "Expected a rate as 1/s, 30/m, 5/10s or 1000/h (from one a day up to "
        f"{MAX_RATE_PER_S:g} a second), got {text[:60]!r}."
    )


def parse_limits(text: str) -> dict[str, Limit]:
    """`spotify=10/s:20, musicbrainz=1/s`: rate and, after a colon, burst, by error_type.

    Raises: InvalidInput: names the entry.
    """
    limits: dict[str, Limit] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = entry.partition("=")
        rate, _, burst = (part.strip() for part in value.partition(":"))
        if not equals or not name.strip() or not (burst or "1").isdecimal():
            raise InvalidInput(
                f"Expected provider=rate or provider=rate:burst, as spotify=10/s:20, "
                f"got {entry[:80]!r}."
            )
        count = int((burst or "1")[:6])
        if not 1 <= count <= MAX_BURST:
            raise InvalidInput(f"Expected a burst of 1 to {MAX_BURST}, got {entry[:80]!r}.")
        limits[name.strip()] = Limit(parse_rate(rate), count)
    return limits
