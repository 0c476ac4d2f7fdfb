"""The demo's catalogue, plan, page and verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from parsel import Selector
from rich.console import Console

from dlq.demo.catalogue import CatalogueTrack, lookup_key, read_tracks
from dlq.demo.ending import Ending
from dlq.demo.plan import LEAST_TRACKS, MUSICBRAINZ_REQUESTS_PER_S, make_plan, scaled_limits
from dlq.demo.replaying import JOB, progress
from dlq.demo.site import page_html
from dlq.demo.story import run
from dlq.demo.telling import Teller
from dlq.errors import InvalidInput
from dlq.job import Choice, JobOptions
from dlq.query import parse
from dlq.settings import Settings

ENDING = Ending(
    captured=10,
    stored=10,
    resolved=7,
    remaining=3,
    answers_on_disk=7,
    lost_causes=3,
    remaining_categories=frozenset({"not_found"}),
)


def test_the_catalogue_has_all_tracks_with_ids_of_their_own() -> None:
    tracks = read_tracks()
    assert len(tracks) == 278
    assert len({track.track_id for track in tracks}) == 278


def test_search_ignores_case_and_punctuation() -> None:
    assert lookup_key("DEADMAU5 ", "Strobe (Live)") == lookup_key("deadmau5", "strobe live")


@pytest.mark.parametrize("count", [LEAST_TRACKS, 16, 60, 278])
def test_the_plan_has_every_kind_of_trouble(count: int) -> None:
    plan = make_plan(read_tracks(count))
    assert plan.unknown_to_spotify
    assert plan.unknown_to_musicbrainz
    assert plan.unknown_to_lastfm
    assert plan.garbled_by_musicbrainz
    assert plan.with_preview
    assert plan.unknown_to_musicbrainz.isdisjoint(plan.garbled_by_musicbrainz)
    assert 0 < plan.spotify_refuses_from < plan.spotify_refuses_until


def test_the_managers_pace_is_that_of_the_stand_in() -> None:
    limits = Settings.load(provider_limits=scaled_limits()).limits
    assert limits.named["musicbrainz"].rate_per_s == MUSICBRAINZ_REQUESTS_PER_S
    assert set(limits.named) == {"spotify", "musicbrainz", "lastfm", "audio_analysis"}


def test_the_job_is_one_that_the_manager_takes() -> None:
    options = {name: value for name, value in JOB.items() if name != "where"}
    assert JobOptions.model_validate(options).canary_of(500) == 10
    assert parse(Choice(where=JOB["where"]).where or "").states


def test_the_progress_says_what_is_done_how_fast_and_what_it_waits_for() -> None:
    job = dict.fromkeys(
        ("returned", "presumed", "skipped", "refused", "cancelled", "rate_per_s"), 0
    ) | {"total": 535, "done": 136, "succeeded": 133, "failed": 3, "eta_s": None}
    assert progress(job | {"waiting_for": None}) == "136 of 535 done: 133 succeeded, 3 failed"
    going = job | {"rate_per_s": 19.6, "eta_s": 20.4, "waiting_for": "the pace of musicbrainz"}
    assert progress(going) == (
        "136 of 535 done: 133 succeeded, 3 failed; 19.6/s, 20 s left; "
        "waits for the pace of musicbrainz"
    )


def test_the_page_escapes_what_it_lists() -> None:
    hostile = CatalogueTrack("<script>x</script>", 'a" onclick="b & c', "<b>")
    html = page_html(make_plan([hostile]))
    page = Selector(html)
    assert page.css("li.track .artist::text").get() == hostile.artist
    assert page.css("li.track .title::text").get() == hostile.title
    assert page.css("script") == page.css("b") == []


def test_the_story_is_true_only_if_everything_adds_up() -> None:
    assert all(holds for holds, _ in ENDING.claims())


@pytest.mark.parametrize(
    "wrong",
    [
        {"captured": 0, "stored": 0, "resolved": 0, "remaining": 0},
        {"stored": 9},
        {"resolved": 6},
        {"answers_on_disk": 6},
        {"remaining": 4, "resolved": 6, "answers_on_disk": 6},
        {"remaining_categories": frozenset({"rate_limit"})},
    ],
    ids=str,
)
def test_one_number_that_is_wrong_is_told(wrong: dict[str, int]) -> None:
    assert not all(holds for holds, _ in replace(ENDING, **wrong).claims())  # type: ignore[arg-type]


def test_hostile_titles_cannot_act_on_the_terminal() -> None:
    console = Console(record=True, width=120, force_terminal=True)
    cause = {"count": 1, "category": "bug", "error_type": "x", "title": "a\x1b[2J\x07[red]b\nc"}
    with console.capture() as captured:
        Teller(console).causes([cause])
    assert "\x1b[2J" not in captured.get()
    assert "\x07" not in captured.get()
    assert "[red]b c" in captured.get()


def test_too_few_tracks_and_a_used_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="--tracks: expected at least"):
        run(tracks=LEAST_TRACKS - 1)
    (tmp_path / "ledger.sqlite").touch()
    with pytest.raises(InvalidInput, match="Expected an empty folder"):
        run(folder=tmp_path)
