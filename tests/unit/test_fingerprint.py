"""One cause, one fingerprint, whatever the item; and a title that people recognise."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlq.classify import diagnose, diagnose_text
from dlq.fingerprint import ALGORITHM_VERSION, Cause, cause_of
from dlq.message import DLQMessage

SOURCE = """
class SpotifyException(Exception):
    def __init__(self, status, text):
        super().__init__(text)
        self.http_status = status

def lookup(track):
    if track.get("deep"):
        return again(track, track["deep"])
    return fetch(track)

def search(track):
    return fetch(track)

def fetch(track):
    {padding}
    if "status" in track:
        raise SpotifyException(track["status"], f"no {{track['id']}} for {{track['artist']}}")
    if "port" in track:
        raise ConnectionRefusedError(111, f"Connection refused: 10.0.0.1:{{track['port']}}")
    return track["missing " + track["id"]]

def again(track, depth):
    return again(track, depth - 1) if depth else fetch(track)

def wrapped(track):
    try:
        return lookup(track)
    except Exception as error:
        raise RuntimeError(f"enrichment of {{track['id']}} failed") from error

def mishandled(track):
    try:
        return lookup(track)
    except Exception as error:
        return error.no_such_name

def grouped(*tracks):
    failures = []
    for track in tracks:
        try:
            lookup(track)
        except Exception as error:
            failures.append(error)
    raise ExceptionGroup("several failed", failures)
"""


class Pipeline:
    """A module of somebody's pipeline, installed somewhere."""

    def __init__(self, folder: Path, padding: str = "pass") -> None:
        self.path = folder / "enrich_spotify.py"
        folder.mkdir(parents=True, exist_ok=True)
        self.path.write_text(SOURCE.format(padding=padding))
        self.names: dict[str, Any] = {"__name__": "enrich_spotify"}
        exec(compile(self.path.read_text(), str(self.path), "exec"), self.names)

    def failure(self, function: str, *tracks: dict[str, Any]) -> BaseException:
        try:
            self.names[function](*tracks)
        except Exception as error:
            return error
        pytest.fail("the fault was not raised")


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path / "pipelines")


def dead_letter(text: str, trace: str | None, error_type: str = "general") -> DLQMessage:
    return DLQMessage(
        message_id="m",
        routing_key="general.enrichment.failed",
        timestamp=dt.datetime(2025, 10, 10, tzinfo=dt.UTC),
        retry_count=3,
        error_type=error_type,
        error_message=text,
        stack_trace=trace,
        source_service="test",
        payload={},
    )


def printed(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def captured(error: BaseException) -> Cause:
    return cause_of(dead_letter(str(error), printed(error)), diagnose(error))


def told(text: str, **known: Any) -> Cause:
    return cause_of(dead_letter(text, known.get("stack_trace")), diagnose_text(text, **known))


TRACKS = [
    {"id": "4uLU6hMCjMI75M1A2tKUQC", "artist": "Deadmau5"},
    {"id": "0VjIjW4GlUZAMYd2vXMi3b", "artist": "The Weeknd"},
    {"id": "7", "artist": 'Don\'t "You" & <b>\n'},
]


# --- the same ----------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"status": 429}, {"status": 404}, {"port": 1}])
@pytest.mark.parametrize("function", ["lookup", "wrapped", "mishandled", "search"])
def test_other_items_are_the_same_cause(
    pipeline: Pipeline, function: str, more: dict[str, int]
) -> None:
    causes = set()
    for number, track in enumerate(TRACKS):
        item = {**track, **({"port": 40_000 + number} if "port" in more else more)}
        causes.add(captured(pipeline.failure(function, item)).fingerprint)
    assert len(causes) == 1


def test_other_lines_and_installation_paths_are_the_same_cause(tmp_path: Path) -> None:
    folders = ("app/pipelines", "releases/2025-11-24/pipelines", "x y/pipelines")
    causes = {
        captured(
            Pipeline(tmp_path / folder, padding="pass" + "\n    pass" * number).failure(
                "lookup", {**TRACKS[0], "status": 429}
            )
        )
        for number, folder in enumerate(folders, start=1)
    }
    assert len(causes) == 1


def test_the_depth_of_a_recursion_does_not_count(pipeline: Pipeline) -> None:
    causes = {
        captured(pipeline.failure("lookup", {**TRACKS[0], "deep": depth})) for depth in (2, 5, 200)
    }
    assert len(causes) == 1


def test_the_way_in_does_not_count_beyond_the_innermost_frames(pipeline: Pipeline) -> None:
    track = {**TRACKS[0], "status": 500}
    direct = printed(pipeline.failure("lookup", track))
    deeper = direct.replace(
        "Traceback (most recent call last):\n",
        "Traceback (most recent call last):\n"
        '  File "/usr/lib/python3.11/runpy.py", line 86, in _run_code\n    exec(code)\n'
        '  File "/venv/lib/python3.11/site-packages/celery/app/trace.py", line 1, in task\n',
    )
    assert told("x", stack_trace=direct) == told("x", stack_trace=deeper)


def test_a_group_is_the_same_in_any_order(pipeline: Pipeline) -> None:
    one, other = {**TRACKS[0], "status": 429}, {**TRACKS[1]}
    first = captured(pipeline.failure("grouped", one, other))
    second = captured(pipeline.failure("grouped", other, one))
    assert first.fingerprint == second.fingerprint


def test_a_trace_cut_at_its_start_keeps_the_cause(pipeline: Pipeline) -> None:
    error = pipeline.failure("lookup", {**TRACKS[0], "deep": 60})
    whole = captured(error)
    for size in (1200, 1500, 1800):
        cut = cause_of(dead_letter(str(error), printed(error)[-size:]), diagnose(error))
        assert cut.title == whole.title


def test_a_trace_cut_within_a_frame_names_no_half_function() -> None:
    trace = 'Traceback (most recent call last):\n  File "/app/a.py", line 1, in run\n    go()\n'
    cut = trace + '  File "/app/b.py", line 7, in enrich_tr'
    assert told("x", stack_trace=cut) == told("x", stack_trace=trace)


@pytest.mark.parametrize(
    "texts",
    [
        ["No result for 'Strobe'", 'No result for "Don\'t You Worry Child"', "No result for ''"],
        ["track 4uLU6hMCjMI75M1A2tKUQC failed", "track 0VjIjW4GlUZAMYd2vXMi3b failed"],
        ["took 12.5 s", "took 300 ms", "took 7 seconds"],
        ["host 10.0.0.1:5672 went away", "host 192.168.1.77:40001 went away"],
        ["mail a.b@example.com bounced", "mail someone@else.org bounced"],
        ["at 2025-10-10T12:30:45Z it broke", "at 2024-01-01 00:00:00.123+02:00 it broke"],
        ["GET https://a.example/x?q=1 broke", "GET https://b.example/long/path?z=%20 broke"],
        ["cannot read /data/a b.flac".replace(" b", "b"), "cannot read /mnt/music/x/y.mp3"],
        ["<Track object at 0x7f3d7316ab60>", "<Track object at 0x7f3d7316b380>"],
        ["id 550e8400-e29b-41d4-a716-446655440000", "id 019ab5c2-7f00-7abc-8def-0123456789ab"],
        ["artist=Deadmau5, title=Strobe: no", "artist=The Weeknd, title=Starboy: no"],
        ["Nothing for Deadmau5 - Strobe", "Nothing for The Weeknd - Blinding Lights (Remix)"],
        ["bad item {'a': 'x', 'b': 'y'}", "bad item {'a': 'z'}"],
    ],
)
def test_without_a_trace_the_levelled_message_is_the_cause(texts: list[str]) -> None:
    assert len({told(text) for text in texts}) == 1


# --- another -----------------------------------------------------------------------------


def test_another_status_function_class_or_provider_is_another_cause(pipeline: Pipeline) -> None:
    track = TRACKS[0]
    failures = [
        pipeline.failure("lookup", {**track, "status": 429}),
        pipeline.failure("lookup", {**track, "status": 500}),
        pipeline.failure("lookup", {**track, "status": 503}),
        pipeline.failure("search", {**track, "status": 429}),
        pipeline.failure("lookup", {**track, "port": 1}),
        pipeline.failure("lookup", track),
        pipeline.failure("mishandled", {**track, "status": 429}),
    ]
    assert len({captured(error).fingerprint for error in failures}) == len(failures)
    spotify = told("429 Too Many Requests", error_type="spotify")
    assert spotify.fingerprint != told("429 Too Many Requests", error_type="lastfm").fingerprint


def test_another_message_without_a_trace_is_another_cause() -> None:
    assert told("cannot open the file").fingerprint != told("cannot close the file").fingerprint


def test_a_bug_in_a_handler_is_known_by_the_handler(pipeline: Pipeline) -> None:
    one = captured(pipeline.failure("mishandled", {**TRACKS[0], "status": 429}))
    other = captured(pipeline.failure("mishandled", {**TRACKS[0], "port": 9}))
    assert one == other
    assert one.title == "Spotify AttributeError in mishandled"


# --- titles ------------------------------------------------------------------------------


def test_titles_are_recognised(pipeline: Pipeline) -> None:
    track = TRACKS[0]
    titles = {
        captured(pipeline.failure("lookup", {**track, "status": 429})).title,
        captured(pipeline.failure("lookup", {**track, "port": 1})).title,
        captured(pipeline.failure("wrapped", track)).title,
        told("Invalid API key", error_type="lastfm", http_status=403).title,
        told('{"error":10,"message":"Invalid API key"}', error_type="lastfm").title,
        told("Rate limit: 1 request per second", error_type="musicbrainz").title,
        told("Rate limit exceeded: 429 Too Many Requests").title,
        told("[Errno 111] Connection refused", error_class="httpx.ConnectError").title,
        told("", error_class="my.app.Odd").title,
        told("").title,
    }
    assert titles == {
        "Spotify 429 Too Many Requests in fetch",
        "Spotify ConnectionRefusedError (Connection refused) in fetch",
        "Spotify RuntimeError in fetch",
        "Last.fm 403 Forbidden",
        "Last.fm: Invalid API key (10)",
        "MusicBrainz: Rate limit: … request per second",
        "429 Too Many Requests",
        "ConnectError (connection refused)",
        "Odd",
        "unknown failure without a message",
    }


def test_a_title_holds_no_values_of_the_single_case(pipeline: Pipeline) -> None:
    for function in ("lookup", "wrapped"):
        for more in ({}, {"status": 404}, {"port": 54_321}):
            title = captured(pipeline.failure(function, {**TRACKS[0], **more})).title
            assert "4uLU6" not in title
            assert "Deadmau5" not in title
            assert "54321" not in title


def test_a_lambda_or_script_is_named_by_what_is_around_it() -> None:
    trace = (
        'Traceback (most recent call last):\n  File "/app/run.py", line 1, in <module>\n    go()\n'
        '  File "/app/run.py", line 2, in <lambda>\nValueError: x\n'
    )
    assert told("x", stack_trace=trace).title == "ValueError (x) in run"


@given(
    st.text(max_size=300),
    st.none() | st.text(max_size=60),
    st.text(max_size=40),
    st.none() | st.integers(100, 700),
)
def test_a_title_is_one_printable_line(
    text: str, error_class: str | None, function: str, status: int | None
) -> None:
    trace = f'Traceback (most recent call last):\n  File "/a/b.py", line 1, in {function}\nE: x\n'
    cause = told(text, error_class=error_class, stack_trace=trace, http_status=status)
    assert 0 < len(cause.title) <= 120
    assert cause.title.isprintable()
    assert not any(c in cause.title for c in "\n\r\t\x00\x1b\u202e\u200b\u2028\ufeff")
    assert len(cause.fingerprint) == 16
    assert int(cause.fingerprint, 16) >= 0


# --- stability ---------------------------------------------------------------------------


def test_the_fingerprint_is_the_same_in_every_process() -> None:
    program = (
        "from tests.unit.test_fingerprint import told; "
        "print(told('429 for Deadmau5 - Strobe', error_type='spotify').fingerprint)"
    )
    root = Path(__file__).parents[2]
    answers = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{root}/src:{root}"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1


def test_fingerprints_change_only_with_the_algorithm_version() -> None:
    assert ALGORITHM_VERSION == 1
    trace = (
        'Traceback (most recent call last):\n  File "/app/pipelines/enrich.py", line 9, in go\n'
        "    get()\n    ^^^^^\nKeyError: 'tracks'\n"
    )
    assert [told("Connection timeout").fingerprint, told("x", stack_trace=trace).fingerprint] == [
        "b97b63a00869b579",
        "511cd68f6a8c9da8",
    ]


def test_exceptions_of_libraries_are_known_by_our_own_frames() -> None:
    def lookup(url: str) -> None:
        httpx.get(url)

    def failure(url: str) -> BaseException:
        try:
            lookup(url)
        except httpx.HTTPError as error:
            return error
        pytest.fail("the fault was not raised")

    first = captured(failure("http://127.0.0.1:1/musicbrainz"))
    second = captured(failure("http://127.0.0.1:2/other"))
    assert first.title == "ConnectError (Connection refused) in lookup"
    assert first == second
