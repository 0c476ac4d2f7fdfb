"""Jobs as they are asked for and looked at."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from pydantic import ValidationError

from dlq.errors import InvalidInput
from dlq.job import (
    DEFAULT_CANARY,
    DEFAULT_CANARY_OVER,
    MAX_IDS,
    SETTLED,
    Choice,
    ItemStatus,
    Job,
    JobOptions,
    JobState,
)

T0 = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def _job(state: JobState = JobState.RUNNING, rate_per_s: float = 0.0, **counts: int) -> Job:
    by_status = dict.fromkeys(ItemStatus, 0) | {ItemStatus(k): n for k, n in counts.items()}
    return Job(
        job_id="j-1",
        state=state,
        actor="ann",
        choice=Choice(where="error_type:spotify"),
        options=JobOptions(),
        repeat_of=None,
        created_at=T0,
        start_at=T0,
        started_at=T0,
        finished_at=None,
        stop_reason=None,
        waiting_for=None,
        total=sum(by_status.values()),
        counts=by_status,
        canary=None,
        rate_per_s=rate_per_s,
    )


# --- options -----------------------------------------------------------------------------


def test_a_canary_is_the_default_over_a_hundred() -> None:
    options = JobOptions()
    assert options.canary_of(DEFAULT_CANARY_OVER) == 0
    assert options.canary_of(DEFAULT_CANARY_OVER + 1) == DEFAULT_CANARY
    assert JobOptions(canary=0).canary_of(10_000) == 0
    assert JobOptions(canary=5).canary_of(3) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": "fast"},
        {"rate": "0/s"},
        {"rate": "1/" + "9" * 400 + "s"},
        {"rate": "0.0000000000001/h"},
        {"concurrency": 0},
        {"concurrency": 1001},
        {"canary": -1},
        {"canary_share": 0},
        {"canary_share": 1.01},
        {"canary_share": float("nan")},
        {"limit": 0},
        {"limit": 10**30},
        {"max_retries": 0},
        {"routing_key": ""},
        {"routing_key": "k" * 256},
        {"skip_superseded": ""},
        {"ordered_by": "not a path"},
        {"unheard_of": 1},
    ],
)
def test_options_out_of_bounds_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValidationError, InvalidInput)):
        JobOptions.model_validate(wrong)


def test_options_survive_being_stored() -> None:
    options = JobOptions(rate="30/m", canary=3, ordered_by="payload.playlist_id", limit=7)
    assert JobOptions.model_validate_json(options.model_dump_json()) == options


# --- choices -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"where": ""},
        {"where": None, "message_ids": []},
        {"where": "error_type:spotify", "message_ids": ["m-1"]},
        {"where": "x" * 2001},
        {"message_ids": ["m"] * (MAX_IDS + 1)},
        {"ids": ["m-1"]},
    ],
)
def test_a_choice_is_either_a_filter_or_ids(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Choice.model_validate(wrong)


# --- progress ----------------------------------------------------------------------------


def test_every_status_is_settled_but_waiting_and_sent() -> None:
    assert {*ItemStatus} - {*SETTLED} == {ItemStatus.WAITING, ItemStatus.SENT}
    job = _job(waiting=1, sent=2, succeeded=3, failed=4, skipped=5, refused=6, cancelled=7)
    assert job.done_count == 25


def test_the_success_rate_is_of_replays_that_came_back() -> None:
    assert _job(waiting=5, sent=5, skipped=5).success_rate is None
    job = _job(succeeded=3, failed=1, returned=1, presumed=1, skipped=50, cancelled=9, refused=2)
    assert job.success_rate == 0.5


def test_the_time_left_is_told_only_when_it_can_be() -> None:
    assert _job(rate_per_s=2.0, waiting=6, sent=2, succeeded=4).eta_s() == 4.0
    assert _job(rate_per_s=0.0, waiting=6).eta_s() is None
    assert _job(rate_per_s=2.0, succeeded=6).eta_s() is None
    assert _job(JobState.PAUSED, rate_per_s=2.0, waiting=6).eta_s() is None
