"""One cause, one fingerprint, whatever the item; and a title that people recognise."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlq.classify import Diagnosis, diagnose, diagnose_text
from dlq.client import AsyncDLQClient, DLQClient, build
from dlq.client.core import Core
from dlq.client.failure import Failure
from dlq.client.receipt import Custody, Receipt
from dlq.decode import decode
from dlq.errors import SettingsError
from dlq.fingerprint import ALGORITHM_VERSION, Cause, cause_of, load_fingerprinter
from dlq.message import DLQMessage, encode
from dlq.settings import Settings

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


def dead_letter(
    text: str,
    trace: str | None,
    error_type: str = "general",
    payload: dict[str, Any] | None = None,
) -> DLQMessage:
    return DLQMessage(
        message_id="m",
        routing_key="general.enrichment.failed",
        timestamp=dt.datetime(2025, 10, 10, tzinfo=dt.UTC),
        retry_count=3,
        error_type=error_type,
        error_message=text,
        stack_trace=trace,
        source_service="test",
        payload=payload or {},
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
    assert one.title == "Spotify AttributeError (no attribute no_such_name) in mishandled"


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
        "Spotify 429 Too Many Requests in lookup",
        "Spotify ConnectionRefusedError (connection refused) in lookup",
        "Spotify KeyError in lookup",
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
    assert ALGORITHM_VERSION == 2
    trace = (
        'Traceback (most recent call last):\n  File "/app/pipelines/enrich.py", line 9, in go\n'
        "    get()\n    ^^^^^\nKeyError: 'tracks'\n"
    )
    assert [told("Connection timeout").fingerprint, told("x", stack_trace=trace).fingerprint] == [
        "50dd1dc999f14be0",
        "174622bb35702821",
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
    assert first.title == "ConnectError (connection refused) in lookup"
    assert first == second


# --- by the trace alone ------------------------------------------------------------------

APP = '  File "/app/pipelines/enrich.py", line {line}, in {function}\n    {source}\n'
SITE = "/venv/lib/python3.11/site-packages"
WORKER = (
    '  File "/app/worker/main.py", line 12, in handle\n    return step(*args)\n'
    "           ^^^^^^^^^^^^\n"
)
REQUESTS = (
    f'  File "{SITE}/requests/models.py", line 1021, in raise_for_status\n'
    "    raise HTTPError(http_error_msg, response=self)\n"
)
LOOKUP = APP.format(line=7, function="lookup_release", source="answer.raise_for_status()")
ERROR = "requests.exceptions.HTTPError: 404 Client Error: Not Found for url: http://a.example/1\n"


def traced(*frames: str, error: str = ERROR, **known: Any) -> Cause:
    """The cause told by a trace of these frames; the text is that of its last line."""
    trace = f"Traceback (most recent call last):\n{''.join(frames)}{error}"
    error_class, _, text = error.strip().partition(": ")
    return told(text, stack_trace=trace, error_class=error_class, **known)


SAME_BY_TRACE = {
    "a worker, asyncio and threads on the way in": (
        WORKER,
        '  File "/usr/lib/python3.11/asyncio/runners.py", line 190, in run\n    return x\n',
        '  File "/usr/lib/python3.11/concurrent/futures/thread.py", line 58, in run\n    x()\n',
        f'  File "{SITE}/anyio/to_thread.py", line 56, in run_sync\n    return await x\n',
        f'  File "{SITE}/trio/_core/_run.py", line 1, in run\n    raise runner.x\n',
        LOOKUP,
        REQUESTS,
    ),
    "retries around it": (
        f'  File "{SITE}/tenacity/__init__.py", line 475, in __call__\n    do = self.iter(x)\n',
        f'  File "{SITE}/backoff/_sync.py", line 105, in retry\n    ret = target(*args)\n',
        LOOKUP,
        REQUESTS,
    ),
    "a decorator of our own": (
        '  File "/app/pipelines/limits.py", line 3, in wrapper\n    return function(*args)\n',
        LOOKUP,
        REQUESTS,
    ),
    "another line": (LOOKUP.replace("line 7", "line 70"), REQUESTS),
    "Windows": (
        LOOKUP.replace("/app/pipelines/enrich.py", r"C:\Apps\pipelines\enrich.py"),
        REQUESTS.replace(SITE, r"C:\Python311\Lib\site-packages"),
    ),
    "installed as a package": (
        LOOKUP.replace("/app/pipelines", f"{SITE}/pipelines"),
        REQUESTS,
    ),
    "a release's own folder": (
        LOOKUP.replace("/app/pipelines", "/srv/releases/20261103T0911/pipelines"),
        REQUESTS,
    ),
    "a library with other insides": (
        LOOKUP,
        REQUESTS.replace("models.py", "_core/answers.py").replace("raise_for_status", "check"),
    ),
    "no code shown": (LOOKUP.replace("    answer.raise_for_status()\n", ""), REQUESTS),
    "Python 3.13": (
        LOOKUP + "    ~~~~~~~~~~~~~~~~~~~~~~~^^\n",
        REQUESTS,
    ),
    "Python 3.13 in colour": (
        LOOKUP.replace("line 7", "line \x1b[35m7\x1b[0m"),
        REQUESTS,
    ),
    "a lambda in between": (
        LOOKUP,
        APP.format(line=9, function="<lambda>", source="lambda: answer.raise_for_status()"),
        APP.format(line=9, function="<listcomp>", source="[x for x in y]"),
        REQUESTS,
    ),
    "generated code": (
        LOOKUP,
        '  File "<string>", line 3, in __init__\n',
        '  File "<frozen importlib._bootstrap>", line 1206, in _gcd_import\n',
        REQUESTS,
    ),
    "compiled code": (
        LOOKUP,
        '  File "asyncpg/protocol/protocol.pyx", line 205, in bind_execute\n',
        '  File "lib/sqlalchemy/engine/_result_cy.py", line 10, in one\n',
        REQUESTS,
    ),
}


@pytest.mark.parametrize("name", SAME_BY_TRACE)
def test_what_lies_around_the_failing_function_does_not_count(name: str) -> None:
    assert traced(*SAME_BY_TRACE[name]) == traced(WORKER, LOOKUP, REQUESTS)


def test_a_bug_that_is_wrapped_while_it_is_handled_stays_itself() -> None:
    bug = f"Traceback (most recent call last):\n{LOOKUP}IndexError: list index out of range\n"
    during = "\nDuring handling of the above exception, another exception occurred:\n\n"
    wrapped = f"{bug}{during}Traceback (most recent call last):\n{WORKER}enrich.Failed: 17\n"
    diagnosis = diagnose_text("list index out of range", error_class="IndexError")
    letters = [dead_letter("list index out of range", bug), dead_letter("17", wrapped)]
    assert len({cause_of(letter, diagnosis).fingerprint for letter in letters}) == 1


def test_what_wraps_a_failure_does_not_count() -> None:
    inner = f"Traceback (most recent call last):\n{LOOKUP}{REQUESTS}{ERROR}\n"
    above = "The above exception was the direct cause of the following exception:\n\n"
    during = "During handling of the above exception, another exception occurred:\n\n"
    retry = f"{SITE}/tenacity/__init__.py"
    header = "Traceback (most recent call last):\n"
    gave_up = (
        "tenacity.RetryError: RetryError[<Future at 0x7f2a state=finished raised HTTPError>]\n"
    )
    wrapped = [
        f"{inner}{above}{header}{WORKER}enrich.Failed: 17 failed\n",
        f"{inner}{during}{header}{WORKER}enrich.Failed: no: 17\n",
        f'{inner}{above}{header}  File "{retry}", line 1, in iter\n{gave_up}',
    ]
    causes = {
        told("404 Client Error", stack_trace=trace, http_status=404, error_type="general")
        for trace in (inner, *wrapped)
    }
    assert len(causes) == 1


def test_an_exception_without_words_says_nothing_also_when_it_is_wrapped() -> None:
    bare = f"Traceback (most recent call last):\n{LOOKUP}TimeoutError\n"
    above = "\nThe above exception was the direct cause of the following exception:\n\n"
    wrapped = f"{bare}{above}Traceback (most recent call last):\n{WORKER}enrich.Failed: x 17 y\n"
    causes = {
        told(text, stack_trace=trace, error_class=error_class)
        for text, trace, error_class in (
            ("TimeoutError", bare, "TimeoutError"),
            ("x 17 y", wrapped, "enrich.Failed"),
            ("x 23 z", wrapped.replace("17 y", "23 z"), "enrich.Failed"),
        )
    }
    assert len(causes) == 1


def test_notes_do_not_count() -> None:
    trace = f"Traceback (most recent call last):\n{LOOKUP}enrich.Odd: it is closed\n"
    noted = {
        told("it is closed", error_class="enrich.Odd", stack_trace=trace + note)
        for note in ("", "while on track 17\n", "while on track 23\nagain\n")
    }
    assert len(noted) == 1


def test_a_trace_cut_at_its_end_keeps_the_cause() -> None:
    whole = f"Traceback (most recent call last):\n{WORKER}{LOOKUP}{REQUESTS}{ERROR}"
    text = ERROR.strip().partition(": ")[2]
    known = {"error_class": "requests.exceptions.HTTPError", "http_status": 404}
    expected = told(text, stack_trace=whole, **known)
    for size in (len(whole) - 30, len(whole) - len(ERROR), len(whole) - len(ERROR) - 40):
        assert told(text, stack_trace=whole[:size], **known) == expected


def test_a_recursion_without_end_stops_anywhere_in_its_circle() -> None:
    frames = [
        APP.format(line=n, function=name, source=f"return {other}(x)")
        for n, (name, other) in enumerate([("even", "odd"), ("odd", "even")] * 6)
    ]
    texts = ("maximum recursion depth exceeded", "maximum recursion depth exceeded in comparison")
    causes = {
        traced(*frames[start:stop], error=f"RecursionError: {text}\n").fingerprint
        for (start, stop), text in zip(((0, 12), (1, 11)), texts, strict=True)
    }
    assert len(causes) == 1


HELPER = '  File "/app/pipelines/http.py", line 5, in get_json\n    answer.raise_for_status()\n'


def test_a_helper_that_could_be_anybodys_is_told_by_its_callers() -> None:
    def by(function: str, **how: str) -> Cause:
        source = how.get("source", "return get_json(url)")
        return traced(APP.format(line=3, function=function, source=source), HELPER, REQUESTS)

    assert by("lookup_release").title == "404 Not Found in lookup_release"
    assert by("lookup_release").fingerprint != by("lookup_artist").fingerprint
    # Machinery that calls whatever it is given is no caller.
    assert by("handle", source="return step(*args)") == by("work", source="await task")


DIFFERENT_BY_TRACE = {
    "function": (LOOKUP.replace("lookup_release", "lookup_artist"), REQUESTS),
    "module": (LOOKUP.replace("enrich.py", "charts.py"), REQUESTS),
}


@pytest.mark.parametrize("name", DIFFERENT_BY_TRACE)
def test_another_place_in_our_code_is_another_cause(name: str) -> None:
    other = traced(*DIFFERENT_BY_TRACE[name])
    assert other.fingerprint != traced(LOOKUP, REQUESTS).fingerprint


def test_without_frames_of_our_own_the_entry_into_the_library_counts() -> None:
    def by(function: str, inside: str) -> str:
        frames = (
            f'  File "{SITE}/spotipy/client.py", line 3, in {function}\n    return x\n',
            f'  File "{SITE}/spotipy/{inside}.py", line 3, in _call\n    return y\n',
        )
        return traced(*frames, error="spotipy.exceptions.Odd: no\n").fingerprint

    assert by("track", "client") == by("track", "transport")
    assert by("track", "client") != by("album", "client")


# --- reasons on one path -----------------------------------------------------------------

PLACE = APP.format(line=4, function="enrich_track", source="call(track)")


PYDANTIC = (
    "pydantic_core._pydantic_core.ValidationError: {} for {}\n{}\n  {} [type={}, input_value={}]"
)
TLS = "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {}"
AMQP = "pika.exceptions.ChannelClosedByBroker: (404, \"NOT_FOUND - no {} in vhost '/'\")"
AWS = "botocore.exceptions.ClientError: An error occurred ({}) when calling the GetObject operation"
NO_COLUMN = 'psycopg.errors.UndefinedColumn: column "{}" does not exist'
DUPLICATE = (
    'psycopg.errors.UniqueViolation: duplicate key value violates unique constraint "tracks_pkey"\n'
    "DETAIL:  Key (id)=({}) already exists."
)
NO_NUMBER = "Input should be a valid number"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("LastFMError: Last.fm error 10: no", "LastFMError: Last.fm error 29: no"),
        ("DeezerError: error 4: no", "DeezerError: error 800: no"),
        ("ApiError: the album is not for sale", "ApiError: the account is not verified"),
        (
            "AttributeError: 'NoneType' object has no attribute 'lower'",
            "AttributeError: 'NoneType' object has no attribute 'strip'",
        ),
        ("KeyError: 'track_id'", "KeyError: 'artist_id'"),
        (NO_COLUMN.format("bpm"), NO_COLUMN.format("tempo")),
        ("OSError: [Errno 28] No space left on device", "OSError: [Errno 5] Input/output error"),
        (AWS.format("SlowDown"), AWS.format("InternalError")),
        (AMQP.format("queue 'q'"), AMQP.format("exchange 'q'")),
        (
            TLS.format("certificate has expired (_ssl.c:1006)"),
            TLS.format("self-signed certificate (_ssl.c:1006)"),
        ),
        (
            PYDANTIC.format("1 validation error", "Track", "bpm", NO_NUMBER, "float_type", "'x'"),
            PYDANTIC.format(
                "1 validation error", "Track", "isrc", "Field required", "missing", "{}"
            ),
        ),
    ],
)
def test_another_reason_on_one_path_is_another_cause(one: str, other: str) -> None:
    causes = [traced(PLACE, error=f"{error}\n") for error in (one, other)]
    assert causes[0].fingerprint != causes[1].fingerprint


@pytest.mark.parametrize(
    "errors",
    [
        ("KeyError: '4uLU6hMCjMI75M1A2tKUQC'", "KeyError: 'Strobe'", "KeyError: 17"),
        (
            "AttributeError: 'str' object has no attribute 'get'",
            "AttributeError: 'list' object has no attribute 'get'",
        ),
        (
            "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xe9 in position 3: no end",
            "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 0: no start",
        ),
        (
            PYDANTIC.format("1 validation error", "Feed", "rows.3.bpm", NO_NUMBER, "float_type", 1),
            PYDANTIC.format(
                "2 validation errors", "Feed", "rows.7.bpm", NO_NUMBER, "float_type", 2
            ),
        ),
        (DUPLICATE.format("1"), DUPLICATE.format('Don\'t "Stop"')),
    ],
)
def test_other_values_in_one_reason_are_one_cause(errors: tuple[str, ...]) -> None:
    assert len({traced(PLACE, error=f"{error}\n").fingerprint for error in errors}) == 1


def test_a_key_counts_when_the_code_names_it() -> None:
    def missing(key: str, source: str) -> str:
        frame = APP.format(line=3, function="artist_of", source=source)
        return traced(frame, error=f"KeyError: '{key}'\n").fingerprint

    by_name = {missing(key, f'return track["{key}"]') for key in ("artists", "genres")}
    assert len(by_name) == 2
    assert len({missing(key, "return BY_GENRE[genre]") for key in ("techno", "trance")}) == 1


def test_a_message_is_read_by_the_code_that_raised_it() -> None:
    def raised(source: str, text: str) -> str:
        frame = APP.format(line=3, function="find_track", source=source)
        return traced(frame, error=f"enrich.NoMatch: {text}\n").fingerprint

    no_match = 'raise NoMatch(f"nothing found under {title}, gave up")'
    assert raised(no_match, "nothing found under strings of life, gave up") == raised(
        no_match, "nothing found under so what, gave up"
    )
    said = 'raise NoMatch(f"the catalogue said {message} about {title}")'
    assert raised(said, "the catalogue said it is closed about strings of life") == raised(
        said, "the catalogue said it is closed about so what"
    )
    assert raised(said, "the catalogue said it is closed about x") != raised(
        said, "the catalogue said you are not known about x"
    )


# --- other languages ---------------------------------------------------------------------

JAVA = """java.lang.IllegalStateException: job {id} failed
\tat com.acme.jobs.Runner.run(Runner.java:{line})
\tat java.base/java.lang.Thread.run(Thread.java:833)
Caused by: java.net.SocketTimeoutException: Read timed out
\tat java.base/sun.nio.ch.NioSocketImpl.timedRead(NioSocketImpl.java:283)
\tat com.acme.spotify.Client.{function}(Client.java:{line})
\t... 12 more
"""
NODE = """Error: request {id} failed
    at {function} (/srv/app/src/client.js:{line}:13)
    at async Promise.all (index 0)
    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)
"""
GO = """panic: runtime error: index out of range [{id}] with length 3

goroutine {line} [running]:
main.{function}({{0xc000012345, 0x3}})
\t/srv/app/client.go:{line} +0x1d
main.main()
\t/srv/app/main.go:9 +0x1d
"""


@pytest.mark.parametrize("trace", [JAVA, NODE, GO])
def test_traces_of_other_languages_give_the_place(trace: str) -> None:
    def cause(function: str, number: int) -> Cause:
        shown = trace.format(function=function, line=number, id=number * 7)
        return told(shown.splitlines()[0], stack_trace=shown)

    assert cause("lookupTrack", 3).fingerprint == cause("lookupTrack", 41).fingerprint
    assert cause("lookupTrack", 3).fingerprint != cause("lookupAlbum", 3).fingerprint
    assert cause("lookupTrack", 3).title.endswith(" in lookupTrack")


# --- own fingerprints --------------------------------------------------------------------


def with_fingerprint(text: str, fingerprint: str | None) -> DLQMessage:
    return dead_letter(text, None).model_copy(update={"fingerprint": fingerprint})


def test_an_own_fingerprint_is_the_whole_identity() -> None:
    def cause(text: str, fingerprint: str | None) -> Cause:
        return cause_of(with_fingerprint(text, fingerprint), diagnose_text(text))

    one, other = cause("429 Too Many Requests", "nightly"), cause("no such file", "nightly")
    assert one.fingerprint == other.fingerprint
    assert one.title == "429 Too Many Requests"
    assert one.parts == ("own fingerprint: nightly",)
    assert cause("429 Too Many Requests", "daily").fingerprint != one.fingerprint
    assert cause("429 Too Many Requests", None) == told("429 Too Many Requests")


def by_playlist(message: DLQMessage, diagnosis: Diagnosis) -> str | None:
    if diagnosis.error_type != "spotify":
        return None
    return f"playlist {message.payload.get('playlist')}"


def test_an_installations_fingerprinter_is_asked_first() -> None:
    fingerprinter = load_fingerprinter("tests.unit.test_fingerprint:by_playlist")
    message = with_fingerprint("no", "nightly")
    spotify = diagnose_text("no", error_type="spotify")
    general = diagnose_text("no")
    asked = cause_of(message, spotify, fingerprinter=fingerprinter)
    assert asked.parts == ("own fingerprint: playlist None",)
    assert cause_of(message, general, fingerprinter=fingerprinter) == cause_of(message, general)


@pytest.mark.parametrize("answer", [17, "", "  ", "x" * 256, b"bytes", ["a"], ZeroDivisionError])
def test_a_fingerprinter_that_goes_wrong_is_logged_once_and_the_usual_one_used(
    answer: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(message: DLQMessage, diagnosis: Diagnosis) -> Any:
        if isinstance(answer, type):
            raise answer("of mine")
        return answer

    monkeypatch.setattr("dlq.fingerprint.plugin._complaints._next_at_s", 0.0)
    message, diagnosis = dead_letter("no", None), diagnose_text("no")
    with caplog.at_level(logging.ERROR, "dlq.fingerprint"):
        for _ in range(5):
            cause = cause_of(message, diagnosis, fingerprinter=broken)
    assert cause == cause_of(message, diagnosis)
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("target", "told_of"),
    [
        ("", "package.module:function"),
        ("ours.causes", "package.module:function"),
        (":name", "package.module:function"),
        ("no_such_module_of_ours:name", "no_such_module_of_ours"),
        ("tests.unit.test_fingerprint:no_such_name", "no_such_name"),
        ("tests.unit.test_fingerprint:TRACKS", "list"),
    ],
)
def test_a_fingerprinter_that_cannot_be_loaded_is_told_as_a_setting(
    target: str, told_of: str
) -> None:
    with pytest.raises(SettingsError, match=told_of):
        load_fingerprinter(target)


def test_the_example_in_the_docs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = (Path(__file__).parents[2] / "docs" / "fingerprints.md").read_text()
    example = docs.partition("# ours/causes.py\n")[2].partition("```")[0]
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "__init__.py").touch()
    (tmp_path / "ours" / "causes.py").write_text(example)
    monkeypatch.syspath_prepend(str(tmp_path))
    name_of = load_fingerprinter("ours.causes:name_of")
    message = dead_letter("no", None).model_copy(update={"metadata": {"label": "warp"}})
    diagnosis = diagnose_text("no", error_type="feeds")
    assert name_of(message, diagnosis) == "feeds of warp: unknown"
    assert name_of(message, diagnose_text("no", error_type="spotify")) is None


def test_the_capturing_codes_fingerprint_arrives() -> None:
    def sent(fingerprint: Any, same_as: DLQMessage | None = None) -> DLQMessage:
        failure = Failure({}, ValueError("no"), fingerprint=fingerprint)
        letter = build.dead_letter(failure, source_service="test", same_as=same_as)
        return decode(encode(letter)).message

    assert sent("nightly").fingerprint == "nightly"
    assert sent(None).fingerprint is None
    assert sent("  ").fingerprint is None
    assert sent(17).fingerprint == "17"
    long, other = sent("x" * 300).fingerprint, sent("x" * 301).fingerprint
    assert long != other
    assert max(len(long or ""), len(other or "")) == 255
    again = build.failed_again(sent("nightly"), ValueError("again"), 1)
    assert again.fingerprint == "nightly"
    assert sent(None, same_as=again).fingerprint == "nightly"
    assert sent("daily", same_as=again).fingerprint == "daily"


def test_every_way_to_publish_takes_a_fingerprint(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = Settings(spool_dir=tmp_path)
    published: list[Failure] = []

    class Stand(Core):
        def publishing(self, failures: Sequence[Failure]) -> Any:
            published.extend(failures)
            return self.done(len(failures))

        def done(self, count: int) -> Any:
            yield from ()
            return [Receipt("m", Custody.CONFIRMED)] * count

    monkeypatch.setattr("dlq.client.base.Core", Stand)
    with DLQClient(settings) as client:
        client.publish_to_dlq({}, ValueError("no"), fingerprint="called")
        client.publish_batch([{"item": {}, "error": "no", "fingerprint": "in a batch"}])
        with client.capture(fingerprint="captured", reraise=False):
            raise ValueError("no")

    async def by_async() -> None:
        async with AsyncDLQClient(settings) as client:
            await client.publish_to_dlq({}, ValueError("no"), fingerprint="awaited")

    asyncio.run(by_async())
    assert [failure.fingerprint for failure in published] == [
        "called", "in a batch", "captured", "awaited",
    ]  # fmt: skip


# --- hostile text ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "piece",
    [
        "'",
        '"',
        "«",
        "a.",
        "1.",
        "a-",
        "/a",
        "a@",
        "0:",
        "for A ",
        "track ",
        '{"',
        "[",
        "(a",
        "=",
        "error ",
        "\n",
        "\\",
        "%",
        "aA",
        "é",
        "at a",
        "  at a.b",
        " - ",
        "for a - ",
        "[SQL: ",
        "::",
        "input_value=",
        "x://",
        "\nHINT: ",
        '"message":"',
        "Caused by: ",
        "\tat x(",
        "\x1b[",
        "An error occurred (",
        "1 validation error for a\n",
        '  File "a", line 1, in b\n',
        "Traceback (most recent call last):\n",
        "  + Exception Group Traceback\n",
        "  | ",
    ],
)
def test_of_hostile_text_a_bounded_part_is_read(piece: str) -> None:
    """How long the rest is does not matter. What is read ends, or the suite's time limit does."""

    def cause(chars: int, *, in_message: bool, header: str | None) -> Cause:
        text = piece * (chars // len(piece))
        trace = None if header is None else header + text
        return cause_of(dead_letter(text if in_message else "x", trace), diagnose_text("x"))

    frame = f'  File "/a/b.py", line 1, in f\n    raise X(f"{(piece * 280)[:280]}")\n'
    trace = f"Traceback (most recent call last):\n{frame}X: "
    for in_message, header in ((True, None), (True, trace), (False, "")):
        short = cause(120_000, in_message=in_message, header=header)
        assert short == cause(240_000, in_message=in_message, header=header)


@given(st.text(max_size=400), st.text(max_size=400))
def test_any_text_gives_a_cause(text: str, trace: str) -> None:
    header = "Traceback (most recent call last):\n"
    for stack_trace in (trace, header + trace, f"{header}{WORKER}    {trace}\nE: {text}"):
        cause = told(text, stack_trace=stack_trace)
        assert all(part.isprintable() and len(part) <= 200 for part in cause.parts)
        assert cause.title.isprintable()
