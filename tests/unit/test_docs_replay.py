"""The numbers and names on the page about replays are those of the code."""

from __future__ import annotations

import datetime as dt
import re

from dlq.circuit import PROVIDER_FAULTS
from dlq.cli.batch import MOST_AT_ONCE
from dlq.deaths import STRIPPED_HEADERS, STRIPPED_PREFIXES
from dlq.job import (
    DEFAULT_CANARY,
    DEFAULT_CANARY_OVER,
    DEFAULT_CANARY_SHARE,
    LIVE,
    JobState,
)
from dlq.ledger.replays import MAX_REFUSALS
from dlq.manager.runner import FULL_FOR, SCHEDULE_FULL_FOR
from dlq.message import WireMessage, replay_of
from dlq.pace import (
    DECREASE,
    DECREASE_GAP,
    FRESH_FOR,
    INCREASE,
    INCREASE_AFTER,
    LEAST_SHARE,
    MAX_HOLD,
    Limit,
)
from dlq.settings import Settings
from dlq.states import Outcome
from tests.support.pages import blocks, read, table_rows

PAGE = "docs/replay.md"
COUNTS = {1: "one", 2: "two", 3: "three", 30: "thirty"}


def prose() -> str:
    """The page on one line, so that a sentence may be broken anywhere."""
    return " ".join(read(PAGE).split())


def says(*sentences: str) -> None:
    text = prose()
    for sentence in sentences:
        assert sentence in text


def test_the_picture_has_every_state_of_a_job_and_the_ends_are_ends() -> None:
    picture = next(b.text for b in blocks(PAGE, "mermaid") if "stateDiagram" in b.text)
    drawn = re.findall(r"^ +(\S+) --> (\w+)", picture, re.MULTILINE)
    named = {state for move in drawn for state in move} - {"[*]"}
    assert named == set(JobState)
    assert {start for start, _ in drawn} - {"[*]"} == set(LIVE)


def test_the_pace_table_is_that_of_the_settings() -> None:
    settings = Settings.load()
    table = read(PAGE).partition("## Pace")[2].partition("\n\n- ")[0]
    rows = {re.findall(r"`(.+?)`", row[0])[0]: row[1:] for row in table_rows(table)[1:]}
    limits = {**settings.limits.named, "*": settings.limits.others}
    assert rows == {name: _row(name, limit, settings) for name, limit in limits.items()}


def _row(name: str, limit: Limit, settings: Settings) -> list[str]:
    rate = settings.limits.of("other" if name == "*" else name).rate_per_s
    return [f"{limit.rate_per_s:g}/s", str(limit.burst), f"{rate:g}/s"]


def test_the_numbers_of_the_pace_are_those_of_the_code() -> None:
    assert (DECREASE, LEAST_SHARE, INCREASE) == (0.5, 1 / 16, 0.1)
    assert (FRESH_FOR.total_seconds(), MAX_HOLD.days) == (60, 1)
    steps = -(-(1 - LEAST_SHARE) // INCREASE)
    says(
        "halves the share of the limit that is used, down to 1/16",
        f"within {DECREASE_GAP.seconds} seconds of the last halving",
        "those older than a minute say nothing",
        f"by a tenth of the limit every {INCREASE_AFTER.seconds} seconds",
        f"from 1/16 to all of it in {steps * INCREASE_AFTER.seconds:.0f} seconds",
        "holds the provider until then, for a day at most",
        f"`DLQ_PACE_HEADROOM`, {Settings.load().pace_headroom:g}",
    )


def test_the_defaults_of_jobs_circuits_and_budget_are_those_of_the_settings() -> None:
    settings = Settings.load()
    says(
        f"Up to {MOST_AT_ONCE} ids on the command line go out at once",
        f"With fewer than {DEFAULT_CANARY_OVER + 1} there is no canary by default",
        f"A canary of {DEFAULT_CANARY} goes first",
        f"{DEFAULT_CANARY_SHARE:.0%} must",
        f"`DLQ_REPLAY_CONCURRENCY` ({settings.replay_concurrency})",
        f"`DLQ_REPLAY_SLOT_S` ({settings.replay_slot_s:.0f} seconds)",
        f"`DLQ_CANARY_WAIT_S` ({settings.canary_wait_s / 60:.0f} minutes)",
        f"`DLQ_CIRCUIT_FAILURES` ({settings.circuit_failures})",
        f"`DLQ_CIRCUIT_COOLDOWN_S` ({settings.circuit_cooldown_s:.0f})",
        f"`DLQ_REPLAY_BUDGET` ({settings.replay_budget})",
        f"`DLQ_RETRY_MAX_LENGTH`, {settings.retry_max_length:,}",
        f"a job tries again after {COUNTS[FULL_FOR.seconds]} seconds",
        f"what goes by itself after {COUNTS[SCHEDULE_FULL_FOR.seconds]}, as often as it takes",
        f"refused by the broker, {COUNTS[MAX_REFUSALS]} times",
    )
    assert (settings.retry_ttl_ms, settings.replay_grace_s) == (24 * 3_600_000, 3600)


def test_the_circuit_counts_the_categories_that_the_page_names() -> None:
    counted = re.search(r"fail in a row with (.+?) open its circuit", prose())
    assert counted is not None
    assert set(re.findall(r"`(\w+)`", counted[1])) == PROVIDER_FAULTS


def test_the_outcomes_are_all_there() -> None:
    table = read(PAGE).partition("## Outcomes")[2]
    assert {row[0].strip("`") for row in table_rows(table)[1:5]} == set(Outcome)


def test_the_headers_are_those_that_a_replay_has_and_has_not() -> None:
    taken, added = (
        {name.lower().rstrip("*") for name in re.findall(r"`([\w*-]+)`", row[1])}
        for row in table_rows(read(PAGE))[-2:]
    )
    assert taken == {*STRIPPED_PREFIXES, *STRIPPED_HEADERS, "expiration"}
    wire = WireMessage(body=b"{}", routing_key="spotify.enrichment.failed", headers={"x": 1})
    sent = replay_of(
        wire,
        routing_key="spotify.enrichment.retry",
        message_id="1",
        replay_id="2",
        number=1,
        max_retries=3,
        replayed_at=dt.datetime.now(dt.UTC),
    )
    assert added == set(sent.headers) - {"x"}
