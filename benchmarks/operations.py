"""What people and machines ask of the ledger, with other parameters each time."""

from __future__ import annotations

import datetime as dt
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from benchmarks.filling import Remembered
from benchmarks.measuring import SAMPLES, Timing, timing
from benchmarks.music import artists, words
from dlq.job import Choice, JobOptions, NewJob
from dlq.keeping import Keep
from dlq.ledger.base import Ledger
from dlq.ledger.cause_book import Sort, Status
from dlq.query import Filter, parse
from dlq.states import IN_DLQ, Outcome

Call = Callable[[], object]
Make = Callable[[], Call]

ACTOR = "benchmark"
AT_DEPTH = "page by error_type:spotify, OFFSET a tenth of the rows"
BY_CURSOR = "page by cursor, in the middle"
SEARCH_NAME = "search: an artist's name"
GROUP_LIST = "group list"
STATS = "stats"

PAGE = 100
QUANTILES = (0.5, 0.9, 0.99)
CLAIMED = 1000
CLAIM_SAMPLES = 20
CLAIM_TIMEOUT_S = 30.0
DELETES_OF = 20
"""At most one in so many is deleted by the measurement."""
BY_COLUMNS = (
    "error_type:spotify",
    "error_type:musicbrainz",
    "category:timeout",
    "category:rate_limit error_type:spotify",
    "http_status>=500",
    "service:playlist-sync",
    "retry_count>3 category:network",
    "error_class:ReadTimeout",
)
COMMON = (
    *("timeout", "timed", "429", "error", "spotify", "connection", "requests", "track", "failed"),
    *("worker", "love", "night", "remix", "retries", "enrichment", "mixesdb", "http", "client"),
)
CLAIMS = (
    "error_type:spotify",
    "error_type:lastfm",
    "category:rate_limit",
    "category:network,timeout",
)


@dataclass
class Known:
    """What a person who asks knows of the ledger: some of its messages, how many it holds, and
    when it is."""

    ledger: Ledger
    rows: int
    now: dt.datetime
    remembered: list[Remembered]
    rng: random.Random
    groups: list[str] = field(default_factory=list)
    cursor: str = ""

    def __post_init__(self) -> None:
        everything = self.ledger.groups.all(limit=10_000, now=self.now)
        self.groups = [group.fingerprint for group in everything.groups]
        self.cursor = self.ledger.scroll(Filter(), limit=1).next_cursor or ""

    @property
    def depth(self) -> int:
        """A tenth of the ledger."""
        return self.rows // 10

    def one(self) -> Remembered:
        return self.rng.choice(self.remembered)

    def cursor_inside(self) -> str:
        """As `scroll` gives it half-way: with the number of the row where a page ended."""
        return re.sub(r"\d+$", str(int(self.rows * self.rng.uniform(0.3, 0.7))), self.cursor)

    def artist(self) -> str:
        """Neither of the most famous nor of those that hardly come."""
        return self.rng.choice(artists()[20:500])


def reads(known: Known) -> dict[str, Make]:
    """By name: what makes the next call."""
    return _pages(known) | _searches(known) | _figures(known)


def _pages(known: Known) -> dict[str, Make]:
    ledger, rng = known.ledger, known.rng
    spotify = parse("error_type:spotify")

    def first_page() -> Call:
        limit, newest_first = rng.randint(50, PAGE), rng.random() < 0.5
        return partial(ledger.scroll, Filter(), limit=limit, newest_first=newest_first)

    def at_depth() -> Call:
        offset = int(known.depth * rng.uniform(0.95, 1))
        return partial(ledger.page, spotify, limit=PAGE, offset=offset)

    def one() -> Call:
        message_id = known.one().message_id
        return lambda: (ledger.get(message_id), ledger.history(message_id))

    return {
        "first page": first_page,
        "page by a filter": _search(known, lambda: rng.choice(BY_COLUMNS)),
        AT_DEPTH: at_depth,
        BY_CURSOR: lambda: partial(
            ledger.scroll, Filter(), limit=PAGE, cursor=known.cursor_inside()
        ),
        "page by cursor and filter, in the middle": lambda: partial(
            ledger.scroll, parse(rng.choice(BY_COLUMNS)), limit=PAGE, cursor=known.cursor_inside()
        ),
        "count by a filter": lambda: partial(ledger.count, parse(rng.choice(BY_COLUMNS))),
        "one dead letter with its history": one,
    }


def _searches(known: Known) -> dict[str, Make]:
    rng = known.rng

    def two_words() -> str:
        return f'"{rng.choice(words()[50:400])} {rng.choice(words()[50:400])}"'

    searched: dict[str, Callable[[], str]] = {
        "search: an id of one message": lambda: known.one().request_id,
        SEARCH_NAME: lambda: f'"{known.artist()}"',
        "search: a common word (timeout, 429 …)": lambda: rng.choice(COMMON),
        "search: two words of titles, as a phrase": two_words,
        "search: a name within a provider": lambda: f'error_type:lastfm "{known.artist()}"',
        "search: what is nowhere": lambda: f"absent{rng.getrandbits(40):x}",
        'payload.artist_name:"…"': lambda: f'payload.artist_name:"{known.artist()}"',
    }
    return {name: _search(known, text) for name, text in searched.items()}


def _search(known: Known, text: Callable[[], str]) -> Make:
    def make() -> Call:
        newest_first = known.rng.random() < 0.5
        return partial(known.ledger.scroll, parse(text()), limit=PAGE, newest_first=newest_first)

    return make


def _figures(known: Known) -> dict[str, Make]:
    ledger, rng, now = known.ledger, known.rng, known.now
    statuses, sorts = (Status.OPEN, Status.ACKNOWLEDGED), tuple(Sort)
    keep, within = Keep(dt.timedelta(days=30)), dt.timedelta(days=7)

    def group_list() -> Call:
        sort, offset = rng.choice(sorts), rng.choice((0, 0, 25))
        shown = partial(ledger.groups.all, statuses=statuses, states=IN_DLQ, now=now)
        return partial(shown, sort=sort, limit=50, offset=offset)

    def moment() -> dt.datetime:
        return now + dt.timedelta(seconds=rng.random())

    return {
        GROUP_LIST: group_list,
        "group detail": lambda: partial(ledger.groups.get, rng.choice(known.groups), now=now),
        STATS: lambda: ledger.stats,
        "ages, for the metrics": lambda: partial(ledger.ages, QUANTILES, moment()),
        "outlook of retention": lambda: partial(
            ledger.retention.outlook, keep, now=moment(), within=within
        ),
    }


# --- what changes it ---------------------------------------------------------------------


def claims(known: Known) -> tuple[Timing, Timing]:
    """Making a job of 1,000, and beginning all its replays; each is brought back afterwards."""
    steps = [_claim(known, CLAIMS[n % len(CLAIMS)]) for n in range(CLAIM_SAMPLES)]
    made, claimed = zip(*steps, strict=True)
    return Timing(tuple(sorted(made))), Timing(tuple(sorted(claimed)))


def _claim(known: Known, where: str) -> tuple[float, float]:
    """Milliseconds of both."""
    jobs = known.ledger.jobs
    options = JobOptions(concurrency=CLAIMED, canary=0, limit=min(CLAIMED, known.rows // 10))
    new = NewJob(Choice(where=where, message_ids=()), options, actor=ACTOR)
    began = time.perf_counter()
    job = jobs.create(new, now=_now())
    created = time.perf_counter()
    _claim_all(known.ledger, job.job_id, job.total)
    claimed = time.perf_counter()
    known.ledger.close_overdue(_now() + dt.timedelta(seconds=1), CLAIMED, Outcome.RETURNED)
    jobs.advance(job.job_id, now=_now())  # it ends
    return 1000 * (created - began), 1000 * (claimed - created)


def _claim_all(ledger: Ledger, job_id: str, wanted: int) -> None:
    """As a manager does: what has to wait a moment is asked for again."""
    deadline = time.monotonic() + CLAIM_TIMEOUT_S
    count = 0
    while count < wanted:
        claim = ledger.jobs.advance(job_id, now=_now())
        count += len(claim.begun)
        if claim.begun or claim.wait_s == 0.0:
            continue
        if claim.wait_s is None or time.monotonic() + claim.wait_s > deadline:
            why = claim.waiting_for or "nothing is left"
            raise RuntimeError(f"expected {wanted} replays to begin, got {count}: {why}")
        time.sleep(claim.wait_s)


def deletes(known: Known) -> Timing:
    count = min(SAMPLES, known.rows // DELETES_OF, len(known.remembered))
    chosen = known.rng.sample(known.remembered, count)
    for one in chosen:
        known.remembered.remove(one)
    calls = (partial(known.ledger.delete, one.message_id, actor=ACTOR) for one in chosen)
    return timing(calls, count)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
