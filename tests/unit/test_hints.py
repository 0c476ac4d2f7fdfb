"""What is advised for a group: the runbook's word, and what replays have shown."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from dlq.classify import CATEGORIES, Category
from dlq.hints import RUNBOOK, Facts, advice_for, hint, steps, worked_before

SPOTIFY = Facts(category="rate_limit", error_type="spotify", fingerprint="3f1c" * 4, in_dlq=89)


def told(**changes: Any) -> str:
    return hint(dataclasses.replace(SPOTIFY, **changes))


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_runbook_knows_every_category(category: Category) -> None:
    facts = dataclasses.replace(SPOTIFY, category=category.value, error_type="another")
    assert (category, "") in RUNBOOK
    assert hint(facts) == RUNBOOK[category, ""].do
    assert 1 <= hint(facts).count(". ") + 1 <= 2
    assert len(steps(facts)) >= 3


def test_a_category_that_nobody_knows_is_unknown() -> None:
    assert advice_for("of its own", "spotify") is RUNBOOK[Category.UNKNOWN, ""]


def test_every_sentence_is_one_line() -> None:
    for advice in RUNBOOK.values():
        for text in (advice.do, advice.look, *advice.steps):
            assert text == text.strip()
            assert "\n" not in text
        assert advice.do.endswith(".")
        assert advice.look.endswith(".")


# --- the four patterns of the runbook ----------------------------------------------------


def test_spotify_rate_limits_wait_for_the_window() -> None:
    assert "30 seconds" in told()
    assert "batches" in told()
    assert any("delay between Spotify calls" in step for step in steps(SPOTIFY))


def test_musicbrainz_is_asked_once_a_second_by_one_process() -> None:
    facts = dataclasses.replace(SPOTIFY, error_type="musicbrainz")
    assert "one request a second" in hint(facts)
    assert any("clock" in step for step in steps(facts))
    assert "--rate 30/m" in steps(facts)[-1]


def test_credentials_are_corrected_before_anything_is_replayed() -> None:
    facts = dataclasses.replace(SPOTIFY, category="auth")
    assert hint(facts).startswith("Correct the credentials first")
    told_steps = steps(facts)
    assert "SPOTIFY_CLIENT_ID" in told_steps[0]
    assert "api_keys" in told_steps[1]
    assert "dlq providers mended spotify" in told_steps[3]


@pytest.mark.parametrize("category", ["network", "timeout"])
def test_network_faults_are_looked_for_where_the_pipeline_runs(category: str) -> None:
    facts = dataclasses.replace(SPOTIFY, category=category)
    assert steps(facts)[0].endswith("curl -I https://api.spotify.com")
    assert steps(facts)[1].endswith("nslookup api.spotify.com")


def test_the_replay_is_of_this_group_and_tried_dry_first() -> None:
    last = steps(SPOTIFY)[-1]
    assert f"--where group:{SPOTIFY.fingerprint} " in last
    assert "--dry-run" in last


def test_a_producers_words_cannot_become_a_command() -> None:
    facts = dataclasses.replace(SPOTIFY, category="auth", error_type="$(reboot)", fingerprint="a;b")
    assert any("mended '$(reboot)'" in step for step in steps(facts))
    assert "--where 'group:a;b'" in steps(facts)[-1]


# --- what worked before ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("succeeded", "failed", "said"),
    [
        (96, 4, "Replays of it succeeded in 96 of 100 tries: replay it."),
        (1, 0, "Replays of it succeeded in 1 of 1 try: replay it."),
        (8, 2, "Replays of it succeeded in 8 of 10 tries: replay it."),
        (7, 3, "Replays of it succeeded in 7 of 10 tries: replay a few first."),
        (0, 2, "Replays of it succeeded in 0 of 2 tries."),
        (0, 40, "All 40 replays of it failed again: fix the cause first."),
    ],
)
def test_replays_so_far_are_counted(succeeded: int, failed: int, said: str) -> None:
    facts = dataclasses.replace(SPOTIFY, succeeded=succeeded, failed=failed)
    assert worked_before(facts) == said
    assert said in hint(facts)


def test_where_replays_never_help_nobody_is_told_to_replay() -> None:
    text = told(failed=40)
    assert text.startswith("All 40 replays")
    assert "then replay" not in text


def test_replays_that_came_back_unworked_show_that_a_worker_is_missing() -> None:
    assert "start a worker" in told(returned=3)
    assert "worker" not in told(returned=3, succeeded=1)


def test_what_is_left_of_a_fixed_group_is_to_be_replayed() -> None:
    assert "fixed in 1.4.2: replay what is left" in told(fixed_in="1.4.2")
    assert "fixed: replay what is left" in told(fixed_in="")
    assert "fixed" not in told(fixed_in="1.4.2", in_dlq=0)


def test_what_came_back_says_so_first() -> None:
    assert told(has_come_back=True, succeeded=96).startswith("It came back")
