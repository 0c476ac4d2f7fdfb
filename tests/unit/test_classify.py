"""Failures as they really happen, and what they are taken for."""

from __future__ import annotations

import asyncio
import errno
import http.client
import json
import queue
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType
from typing import Any, NoReturn

import aiohttp
import httpx
import pika.exceptions
import psycopg
import psycopg_pool
import pydantic
import pytest
import requests
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st
from scrapy.spidermiddlewares.httperror import HttpError
from twisted.internet import error as twisted_error

from dlq.classify import CATEGORIES, Category, Diagnosis, diagnose, diagnose_text

# --- a server that answers wrongly -------------------------------------------------------

ANSWERS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "musicbrainz-busy": (
        503,
        {},
        b'{"error": "Your requests are exceeding the allowable rate limit. Please see ..."}',
    ),
    "quota-403": (403, {}, b'{"error": {"status": 403, "message": "API rate limit exceeded"}}'),
    "no-requests-left": (503, {"X-RateLimit-Remaining": "0"}, b"<html>busy</html>"),
    "retry-in-30": (429, {"Retry-After": "30"}, b'{"error": {"status": 429}}'),
    "retry-at": (429, {"Retry-After": "Wed, 21 Oct 2099 07:28:00 GMT"}, b""),
    "retry-odd": (429, {"Retry-After": "soon"}, b""),
    "oauth-invalid-client": (400, {}, b'{"error":"invalid_client"}'),
    "lastfm-10": (403, {}, b'{"error":10,"message":"Invalid API key"}'),
    "lastfm-29": (200, {}, b'{"error":29,"message":"Rate Limit Exceeded"}'),
    "lastfm-6": (404, {}, b'<lfm status="failed"><error code="6">Artist not found</error></lfm>'),
    "lastfm-11": (500, {}, b'{"error":11,"message":"Service Offline"}'),
    "html-instead-of-json": (200, {"Content-Type": "text/html"}, b"<html>hello</html>"),
}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = self.path.strip("/").partition("?")[0]
        if name == "hang":
            self.server.released.wait(10)  # type: ignore[attr-defined]
        elif name == "drop":
            self.connection.shutdown(socket.SHUT_RDWR)
        elif name == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"only this")
        else:
            status = int(name) if name.isdigit() else 0
            self._answer(*ANSWERS.get(name, (status, {}, b"")))

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for header, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    httpd.released = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.released.set()  # type: ignore[attr-defined]
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@pytest.fixture(scope="module")
def refused() -> Iterator[str]:
    """A port that is taken and not listened on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def with_requests(url: str, timeout_s: float = 5.0) -> None:
    requests.get(url, timeout=timeout_s).raise_for_status()


def with_httpx(url: str, timeout_s: float = 5.0) -> None:
    httpx.get(url, timeout=timeout_s).raise_for_status()


def with_aiohttp(url: str, timeout_s: float = 5.0) -> None:
    async def fetch() -> None:
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as answer:
            answer.raise_for_status()
            await answer.read()

    asyncio.run(fetch())


def with_urllib(url: str, timeout_s: float = 5.0) -> None:
    with urllib.request.urlopen(url, timeout=timeout_s) as answer:
        answer.read()


CLIENTS = [with_requests, with_httpx, with_aiohttp, with_urllib]
Client = Callable[..., None]


def raised_by(action: Callable[..., Any], *args: Any, **kwargs: Any) -> BaseException:
    """The exception as a handler sees it, with its traceback and chain."""
    try:
        action(*args, **kwargs)
    except BaseException as error:
        if type(error) is urllib.error.HTTPError:
            error.close()
        return error
    pytest.fail("the fault was not raised")


def raising(error: BaseException) -> BaseException:
    def action() -> NoReturn:
        raise error

    return raised_by(action)


# --- HTTP --------------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("status", "category"),
    [
        (400, "invalid_data"),
        (401, "auth"),
        (403, "auth"),
        (404, "not_found"),
        (408, "timeout"),
        (409, "invalid_data"),
        (410, "not_found"),
        (413, "invalid_data"),
        (415, "invalid_data"),
        (422, "invalid_data"),
        (429, "rate_limit"),
        (500, "server_error"),
        (502, "server_error"),
        (503, "server_error"),
        (504, "timeout"),
        (522, "timeout"),
        (599, "server_error"),
    ],
)
def test_an_http_status_decides_with_every_client(
    server: str, client: Client, status: int, category: str
) -> None:
    found = diagnose(raised_by(client, f"{server}/{status}"))
    assert (found.category, found.http_status) == (category, status)
    assert found.rule == f"status:{status}"


@pytest.mark.parametrize("client", [with_requests, with_httpx])
@pytest.mark.parametrize(
    ("answer", "category"),
    [
        ("musicbrainz-busy", "rate_limit"),
        ("quota-403", "rate_limit"),
        ("no-requests-left", "rate_limit"),
        ("oauth-invalid-client", "auth"),
    ],
)
def test_the_words_and_headers_of_an_answer_refine_its_status(
    server: str, client: Client, answer: str, category: str
) -> None:
    found = diagnose(raised_by(client, f"{server}/{answer}"))
    assert found.category == category
    assert found.http_status == ANSWERS[answer][0]


@pytest.mark.parametrize("client", [with_requests, with_httpx])
@pytest.mark.parametrize(
    ("answer", "category", "code"),
    [
        ("lastfm-10", "auth", 10),
        ("lastfm-6", "not_found", 6),
        ("lastfm-11", "server_error", 11),
    ],
)
def test_the_number_of_lastfm_says_more_than_its_status(
    server: str, client: Client, answer: str, category: str, code: int
) -> None:
    found = diagnose(raised_by(client, f"{server}/{answer}"), error_type="lastfm")
    assert (found.category, found.rule) == (category, f"lastfm:{code}")


@pytest.mark.parametrize("client", CLIENTS)
def test_retry_after_is_read_in_seconds(server: str, client: Client) -> None:
    found = diagnose(raised_by(client, f"{server}/retry-in-30"))
    assert found.retry_after_s == 30.0


@pytest.mark.parametrize("client", CLIENTS)
def test_retry_after_is_read_as_a_date_and_bounded(server: str, client: Client) -> None:
    found = diagnose(raised_by(client, f"{server}/retry-at"))
    assert found.retry_after_s == 31 * 24 * 3600.0


def test_a_retry_after_that_cannot_be_read_is_left_out(server: str) -> None:
    found = diagnose(raised_by(with_requests, f"{server}/retry-odd"))
    assert (found.category, found.retry_after_s) == ("rate_limit", None)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_refused_connection_is_network(refused: str, client: Client) -> None:
    found = diagnose(raised_by(client, refused))
    assert (found.category, found.http_status, found.transient) == ("network", None, True)


@pytest.mark.parametrize("client", CLIENTS)
def test_an_answer_that_does_not_come_is_a_timeout(server: str, client: Client) -> None:
    assert diagnose(raised_by(client, f"{server}/hang", timeout_s=0.2)).category == "timeout"


@pytest.mark.parametrize("client", CLIENTS)
def test_a_connection_dropped_by_the_peer_is_network(server: str, client: Client) -> None:
    assert diagnose(raised_by(client, f"{server}/drop")).category == "network"


@pytest.mark.parametrize("client", CLIENTS)
def test_an_answer_cut_short_is_network(server: str, client: Client) -> None:
    assert diagnose(raised_by(client, f"{server}/cut")).category == "network"


@pytest.mark.parametrize("client", CLIENTS)
def test_a_host_without_address_is_network(client: Client) -> None:
    assert diagnose(raised_by(client, "http://nowhere.invalid/")).category == "network"


@pytest.mark.parametrize("client", CLIENTS)
def test_tls_against_a_server_without_it_is_network(server: str, client: Client) -> None:
    secure = server.replace("http:", "https:")
    assert diagnose(raised_by(client, secure)).category == "network"


def test_html_where_json_was_expected_is_invalid_data(server: str) -> None:
    url = f"{server}/html-instead-of-json"

    async def fetch() -> None:
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            await answer.json()

    for action in (
        lambda: requests.get(url, timeout=5).json(),
        lambda: httpx.get(url).json(),
        lambda: asyncio.run(fetch()),
    ):
        assert diagnose(raised_by(action)).category == "invalid_data"


def test_a_body_that_was_not_read_stays_unread(server: str) -> None:
    with requests.get(f"{server}/musicbrainz-busy", timeout=5, stream=True) as answer:
        error = raised_by(answer.raise_for_status)
        assert diagnose(error).category == "server_error"
        assert b"allowable rate limit" in answer.content


def test_a_scrapy_http_error_is_read_by_its_response() -> None:
    from scrapy.http import Response

    response = Response("https://musicbrainz.org/ws/2/", status=503, body=b"rate limit")
    found = diagnose(raising(HttpError(response)))
    assert (found.error_type, found.category) == ("musicbrainz", "rate_limit")


# --- other real exceptions ---------------------------------------------------------------


class _Track(pydantic.BaseModel):
    bpm: float


def _sqlite(statement: str, *more: str) -> None:
    connection = sqlite3.connect(":memory:")
    try:
        for one in (statement, *more):
            connection.execute(one)
    finally:
        connection.close()


def _sqlalchemy(statement: str) -> None:
    engine = sqlalchemy.create_engine("sqlite://")
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(statement))
    finally:
        engine.dispose()


def _recurse() -> int:
    return _recurse() + 1


def _late() -> None:
    async def slow() -> None:
        await asyncio.sleep(5)

    async def limited() -> None:
        async with asyncio.timeout(0.01):
            await slow()

    asyncio.run(limited())


def _full() -> None:
    small: queue.Queue[int] = queue.Queue(maxsize=1)
    small.put_nowait(1)
    small.put_nowait(2)


def _unbound() -> None:
    if time.monotonic() < 0:
        value = 1
    print(value)  # noqa: T201


def _unknown_name() -> None:
    undefined_name  # type: ignore[name-defined]  # noqa: B018, F821


ACTIONS: list[tuple[str, Callable[[], Any]]] = [
    ("bug", lambda: dict[str, int]()["tracks"]),
    ("bug", lambda: [][3]),
    ("bug", lambda: None.artist),  # type: ignore[attr-defined]
    ("bug", lambda: len(3)),  # type: ignore[arg-type]
    ("bug", lambda: 1 / 0),
    ("bug", lambda: __import__("no_such_module_at_all")),
    ("bug", _recurse),
    ("bug", _unbound),
    ("bug", _unknown_name),
    ("bug", lambda: next(iter(()))),
    ("bug", lambda: compile("x = ", "item", "exec")),
    ("bug", lambda: _sqlite("SELECT * FROM nothing")),
    ("invalid_data", lambda: json.loads("<html>")),
    ("invalid_data", lambda: b"\xff".decode()),
    ("invalid_data", lambda: float("fast")),
    ("invalid_data", lambda: int("12a")),
    ("invalid_data", lambda: _Track.model_validate({"bpm": "timeout"})),
    ("invalid_data", lambda: ElementTree.fromstring("<lfm>")),
    ("invalid_data", lambda: _sqlite("CREATE TABLE t (a NOT NULL)", "INSERT INTO t VALUES (NULL)")),
    ("invalid_data", lambda: _sqlalchemy("SELECT json('{')")),
    ("not_found", lambda: open("/no/such/track.flac")),  # noqa: PTH123, SIM115
    ("resource", lambda: open("/dev/full", "w", buffering=1).write("x\n")),  # noqa: PTH123, SIM115
    ("resource", lambda: bytearray(2**62)),
    ("resource", _full),
    ("timeout", _late),
    ("timeout", lambda: subprocess.run(["sleep", "5"], timeout=0.02, check=True)),
    ("network", lambda: socket.getaddrinfo("nowhere.invalid", 80)),
    (
        "network",
        lambda: psycopg.connect("host=127.0.0.1 port=1 user=x dbname=x", connect_timeout=2),
    ),
]


@pytest.mark.parametrize(("category", "action"), ACTIONS)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_python_and_libraries_raise(category: str, action: Callable[[], Any]) -> None:
    assert diagnose(raised_by(action)).category == category


class SpotifyException(Exception):
    __module__ = "spotipy.exceptions"

    def __init__(self, http_status: int, msg: str, reason: str = "", retry: str = "") -> None:
        super().__init__(f"http status: {http_status}, code: -1 - {msg}, reason: {reason}")
        self.http_status, self.reason = http_status, reason
        self.headers = {"Retry-After": retry} if retry else {}


class WSError(Exception):
    """The shape of pylast's."""

    __module__ = "pylast"

    def __init__(self, status: str, details: str) -> None:
        super().__init__(details)
        self.status = status


class ResponseError(Exception):
    """The shape of musicbrainzngs's: what happened is in `cause`."""

    __module__ = "musicbrainzngs.musicbrainz"

    def __init__(self, cause: Exception) -> None:
        super().__init__(f"caused by: {cause}")
        self.cause = cause


class TrackNotFound(KeyError):
    pass


class ProviderRateLimited(Exception):
    pass


def _database(sqlstate: str) -> psycopg.Error:
    return psycopg.errors.lookup(sqlstate)("says PostgreSQL")


def _twisted(name: str) -> Exception:
    made: Exception = getattr(twisted_error, name)()
    return made


ERRORS: list[tuple[str, str, BaseException]] = [
    ("spotify", "rate_limit", SpotifyException(429, "Max Retries", "too many 429 error responses")),
    ("spotify", "auth", SpotifyException(401, "The access token expired")),
    ("spotify", "not_found", SpotifyException(404, "Non existing id")),
    ("lastfm", "rate_limit", WSError("29", "Rate limit exceeded")),
    ("lastfm", "auth", WSError("26", "Suspended API key")),
    ("lastfm", "not_found", WSError("6", "The artist you supplied could not be found")),
    ("lastfm", "auth", WSError("13", "Invalid method signature supplied")),
    ("lastfm", "server_error", WSError("16", "The service is temporarily unavailable")),
    ("musicbrainz", "network", ResponseError(ConnectionResetError(104, "reset by peer"))),
    ("general", "not_found", TrackNotFound("4uLU6hMCjMI75M1A2tKUQC")),
    ("general", "rate_limit", ProviderRateLimited("wait")),
    ("general", "resource", OSError(errno.ENOSPC, "No space left on device")),
    ("general", "resource", OSError(errno.EDQUOT, "Disk quota exceeded")),
    ("general", "resource", OSError(errno.EMFILE, "Too many open files")),
    ("general", "resource", MemoryError()),
    ("general", "resource", RuntimeError("can't start new thread")),
    ("general", "resource", RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")),
    ("general", "auth", PermissionError(errno.EACCES, "Permission denied", "/data/a.flac")),
    ("general", "network", BrokenPipeError(errno.EPIPE, "Broken pipe")),
    ("general", "network", OSError(errno.EHOSTUNREACH, "No route to host")),
    ("general", "network", ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")),
    ("general", "network", ssl.SSLCertVerificationError(1, "certificate verify failed")),
    ("general", "network", http.client.RemoteDisconnected("Remote end closed connection")),
    ("general", "network", http.client.IncompleteRead(b"", 100)),
    ("general", "network", _twisted("DNSLookupError")),
    ("general", "network", _twisted("ConnectionRefusedError")),
    ("general", "timeout", _twisted("TCPTimedOutError")),
    ("general", "timeout", OSError(errno.ETIMEDOUT, "Connection timed out")),
    ("general", "timeout", sqlite3.OperationalError("database is locked")),
    ("general", "timeout", sqlalchemy.exc.TimeoutError("QueuePool limit of size 5 overflow 10")),
    ("general", "timeout", requests.ConnectionError("HTTPConnectionPool: Read timed out.")),
    ("general", "network", pika.exceptions.StreamLostError("Transport indicated EOF")),
    ("general", "network", pika.exceptions.AMQPConnectionError()),
    ("general", "auth", pika.exceptions.ProbableAuthenticationError(403, "ACCESS_REFUSED")),
    ("general", "not_found", pika.exceptions.ChannelClosedByBroker(404, "NOT_FOUND - no queue")),
    ("general", "invalid_data", pika.exceptions.ChannelClosedByBroker(406, "PRECONDITION_FAILED")),
    ("general", "timeout", psycopg_pool.PoolTimeout("couldn't get a connection after 30 sec")),
    ("general", "resource", psycopg_pool.TooManyRequests("the pool has 9 requests waiting")),
    ("general", "network", _database("08006")),
    ("general", "auth", _database("28P01")),
    ("general", "auth", _database("42501")),
    ("general", "server_error", _database("40P01")),
    ("general", "server_error", _database("40001")),
    ("general", "timeout", _database("57014")),
    ("general", "timeout", _database("55P03")),
    ("general", "resource", _database("53300")),
    ("general", "invalid_data", _database("23505")),
    ("general", "bug", _database("42P01")),
    ("general", "invalid_data", requests.exceptions.InvalidURL("no host")),
    ("general", "invalid_data", ValueError("bpm is negative")),
    ("general", "rate_limit", ValueError("Rate limit exceeded")),
    ("general", "bug", TypeError("get() got an unexpected keyword argument 'timeout'")),
    ("general", "bug", AttributeError("'Spot' object has no attribute 'rate_limit'")),
    ("general", "bug", AssertionError()),
    ("general", "bug", NotImplementedError("timeout")),
    ("general", "unknown", RuntimeError("enrichment failed")),
    ("general", "unknown", Exception()),
    ("general", "unknown", KeyboardInterrupt()),
    ("general", "unknown", asyncio.CancelledError()),
]


@pytest.mark.parametrize(
    ("error_type", "category", "error"), ERRORS, ids=[f"{c}-{e!r}"[:70] for _, c, e in ERRORS]
)
def test_exceptions_by_class_code_and_words(
    error_type: str, category: str, error: BaseException
) -> None:
    found = diagnose(error)
    assert (found.error_type, found.category) == (error_type, category)


def test_spotipys_retry_after_is_read() -> None:
    assert diagnose(SpotifyException(429, "x", retry="7")).retry_after_s == 7.0


# --- chains ------------------------------------------------------------------------------


def _from(outer: BaseException, inner: BaseException) -> BaseException:
    def action() -> NoReturn:
        raise outer from inner

    return raised_by(action)


def _while_handling(inner: BaseException, outer: BaseException) -> BaseException:
    def action() -> NoReturn:
        try:
            raise inner
        except BaseException:
            raise outer  # noqa: B904

    return raised_by(action)


REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")


def test_a_wrapper_that_tells_nothing_is_what_it_wraps() -> None:
    for wrapped in (
        _from(RuntimeError("enrichment failed"), REFUSED),
        _while_handling(REFUSED, RuntimeError("enrichment failed")),
        _from(RuntimeError("a"), _from(RuntimeError("b"), REFUSED)),
    ):
        found = diagnose(wrapped)
        assert (found.category, found.error_class) == ("network", "RuntimeError")


def test_an_explicit_cause_beats_the_words_around_it() -> None:
    found = diagnose(_from(RuntimeError("authentication failed"), SpotifyException(429, "slow")))
    assert (found.category, found.http_status) == ("rate_limit", 429)


def test_a_bug_in_a_handler_is_a_bug() -> None:
    found = diagnose(_while_handling(REFUSED, KeyError("error")))
    assert (found.category, found.http_status) == ("bug", None)


def test_a_bug_that_was_foreseen_is_what_it_was_renamed_to() -> None:
    assert diagnose(_from(ValueError("answer lacks tracks"), KeyError("t"))).category == (
        "invalid_data"
    )
    assert diagnose(_from(RuntimeError("enrichment failed"), KeyError("t"))).category == "bug"


def test_a_suppressed_context_is_no_evidence() -> None:
    def action() -> NoReturn:
        try:
            raise REFUSED
        except OSError:
            raise RuntimeError("enrichment failed") from None

    assert diagnose(raised_by(action)).category == "unknown"


def test_a_group_is_its_hardest_member() -> None:
    members = [RuntimeError("enrichment failed"), SpotifyException(429, "x", retry="9"), KeyError()]
    found = diagnose(ExceptionGroup("unhandled errors", members))
    assert (found.category, found.http_status, found.retry_after_s) == ("rate_limit", 429, 9.0)
    assert found.error_class == "ExceptionGroup"


def test_an_exception_among_the_arguments_is_found() -> None:
    assert diagnose(RuntimeError("gave up", REFUSED)).category == "network"


def test_a_cycle_of_causes_ends() -> None:
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first
    assert diagnose(first).category == "unknown"


def test_a_chain_of_thousands_ends() -> None:
    error: Exception = RuntimeError("the root")
    for _ in range(5000):
        outer = RuntimeError("wrapped")
        outer.__cause__ = error
        error = outer
    assert diagnose(error).category == "unknown"


def test_a_printed_chain_of_thousands_ends_and_keeps_its_root() -> None:
    one = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\n'
    link = "\nThe above exception was the direct cause of the following exception:\n\n"
    chain = link.join([f"{one}KeyError: 1", *[f"{one}ConnectionResetError", f"{one}E: x"] * 3000])
    assert diagnose_text("x", stack_trace=chain).category == "network"


# --- words -------------------------------------------------------------------------------

TEXTS = [
    ("rate_limit", 429, "Rate limit exceeded: 429 Too Many Requests"),
    ("rate_limit", None, "Rate limit: 1 request per second"),
    ("rate_limit", None, "ThrottlingException: slow down"),
    ("rate_limit", 403, "403 Forbidden: rate limit exceeded"),
    ("rate_limit", 429, '{"error": {"status": 429, "message": "API rate limit exceeded"}}'),
    ("rate_limit", 429, "Max retries exceeded (ResponseError('too many 429 error responses'))"),
    ("rate_limit", None, "Your monthly quota is used up"),
    ("auth", None, "Invalid client credentials"),
    ("auth", None, '{"error":"invalid_grant","error_description":"Refresh token revoked"}'),
    ("auth", 401, "HTTP 401"),
    ("auth", None, 'FATAL: password authentication failed for user "dlq"'),
    ("auth", None, "Invalid API key - You must be granted a valid key"),
    ("auth", 407, "Tunnel connection failed: 407 Proxy Authentication Required"),
    ("timeout", None, "Connection timeout"),
    ("timeout", None, "canceling statement due to statement timeout"),
    ("timeout", 504, "upstream answered with status code 504"),
    ("network", None, "DNS resolution failed"),
    ("network", None, "connect ECONNREFUSED 127.0.0.1:5672"),
    ("network", None, "[SSL: CERTIFICATE_VERIFY_FAILED] unable to get local issuer"),
    ("network", None, "[Errno -2] Name or service not known"),
    ("network", None, "Cannot connect to host api.spotify.com:443 ssl:default"),
    ("not_found", 404, "HTTP Error 404: Not Found"),
    ("not_found", None, "No match for 'Strobe' by 'Deadmau5'"),
    ("not_found", None, "track 404 not found"),
    ("server_error", 503, "HTTP 503 Service Unavailable"),
    ("server_error", 502, "502 Bad Gateway"),
    ("server_error", None, "deadlock detected"),
    ("server_error", 500, "<Response [500]>"),
    ("resource", None, "[Errno 28] No space left on device"),
    ("resource", None, "sorry, too many clients already"),
    ("invalid_data", None, "Expecting value: line 1 column 1 (char 0)"),
    ("invalid_data", None, "Unexpected token < in JSON at position 0"),
    ("invalid_data", None, "Error opening 'a.mp3': Format not recognised."),
    ("invalid_data", None, 'duplicate key value violates unique constraint "pk"'),
    ("invalid_data", 422, "422 Unprocessable Entity"),
    ("bug", None, "'NoneType' object has no attribute 'timeout'"),
    ("bug", None, "list index out of range"),
    ("bug", None, "No module named 'rate_limit'"),
    ("malformed", None, "Malformed dead letter: the body is not UTF-8 (byte 3)"),
    ("timeout", None, "RabbitMQ dead-lettered it from queue 'q': expired (once)"),
    ("resource", None, "RabbitMQ dead-lettered it from queue 'q': maxlen (once)"),
    ("unknown", None, "RabbitMQ dead-lettered it from queue 'timeouts': rejected (once)"),
    ("unknown", None, "RabbitMQ dead-lettered it from queue 'q': delivery_limit (20 times)"),
    ("unknown", None, "track 404 not processed"),
    ("unknown", None, "took 429 ms"),
    ("unknown", None, "processed 500 of 503 tracks"),
    ("unknown", None, "returned 404 tracks"),
    ("unknown", None, "Could not enrich track 'Timeout' by \"Access Denied\""),
    ("unknown", None, "Failed: artist=Rate Limit, title=Not Found"),
    ("unknown", None, "GET https://example.com/?q=rate+limit+exceeded gave up"),
    ("unknown", None, "something odd happened"),
    ("unknown", None, ""),
]


@pytest.mark.parametrize(("category", "status", "text"), TEXTS)
def test_words_alone(category: str, status: int | None, text: str) -> None:
    found = diagnose_text(text)
    assert (found.category, found.http_status) == (category, status)


def test_words_count_in_an_exception_that_nobody_knows_too() -> None:
    for category, status, text in TEXTS:
        found = diagnose(Exception(text))
        assert (found.category, found.http_status) == (category, status), text


@pytest.mark.parametrize(
    ("code", "category"),
    [
        *((code, "auth") for code in (4, 9, 10, 13, 14, 26)),
        (29, "rate_limit"),
        (6, "not_found"),
        *((code, "server_error") for code in (8, 11, 16)),
        *((code, "invalid_data") for code in (2, 3, 5, 7)),
    ],
)
@pytest.mark.parametrize(
    "form",
    [
        '{{"error":{},"message":"x","links":[]}}',
        '<lfm status="failed"><error code="{}">x</error></lfm>',
        "Last.fm error {}: x",
    ],
)
def test_lastfm_codes_in_every_notation(code: int, category: str, form: str) -> None:
    found = diagnose_text(form.format(code), error_type="lastfm")
    assert (found.category, found.rule) == (category, f"lastfm:{code}")


def test_a_number_is_not_lastfms_where_another_provider_failed() -> None:
    assert diagnose_text('{"error":29}', error_type="spotify").category == "unknown"


def test_retry_after_in_words() -> None:
    assert diagnose_text("429 Too Many Requests, retry after: 12 s").retry_after_s == 12.0
    assert diagnose_text("404 Not Found, retry after: 12").retry_after_s is None


def test_a_status_that_is_given_is_believed() -> None:
    found = diagnose_text("gave up", http_status=503)
    assert (found.category, found.http_status) == ("server_error", 503)
    assert diagnose_text("gave up", http_status=200).category == "unknown"


def test_a_class_that_is_given_counts_with_its_parents() -> None:
    for name, category in (
        ("ModuleNotFoundError", "bug"),
        ("UnicodeDecodeError", "invalid_data"),
        ("httpx.ReadTimeout", "timeout"),
        ("requests.exceptions.ConnectionError", "network"),
        ("my.app.QuotaExceededError", "rate_limit"),
    ):
        found = diagnose_text("?", error_class=name)
        assert (found.category, found.error_class) == (category, name)


def test_the_chain_is_read_from_a_traceback() -> None:
    trace = (
        "Traceback (most recent call last):\n"
        '  File "/app/spotify_client.py", line 10, in get\n    connect()\n    ^^^^^^^^^\n'
        "ConnectionRefusedError: [Errno 111] Connection refused\n\n"
        "The above exception was the direct cause of the following exception:\n\n"
        "Traceback (most recent call last):\n"
        '  File "/app/main.py", line 3, in run\n    get()\n'
        "RuntimeError: enrichment failed\n"
    )
    found = diagnose_text("enrichment failed", stack_trace=trace)
    assert found == Diagnosis(
        error_type="spotify",
        category=Category.NETWORK,
        error_class="RuntimeError",
        http_status=None,
        retry_after_s=None,
        transient=True,
        rule="class:ConnectionRefusedError",
        reason="The connection to Spotify was refused",
    )


def test_an_exception_and_its_printed_traceback_are_diagnosed_alike() -> None:
    import traceback

    for error in (
        _from(RuntimeError("enrichment failed"), REFUSED),
        _while_handling(REFUSED, KeyError("error")),
        _from(ValueError("answer lacks tracks"), KeyError("t")),
        raising(ExceptionGroup("several", [ValueError("bpm"), TimeoutError()])),
    ):
        trace = "".join(traceback.format_exception(error))
        assert diagnose_text(str(error), stack_trace=trace).category == diagnose(error).category


# --- the provider ------------------------------------------------------------------------


def enrich_spotify() -> None:
    raise KeyError("tracks")


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("https://api.spotify.com/v1/search", "spotify"),
        ("https://accounts.spotify.com/api/token", "spotify"),
        ("https://musicbrainz.org/ws/2/artist", "musicbrainz"),
        ("https://ws.audioscrobbler.com/2.0/", "lastfm"),
        ("https://notspotify.com/", "general"),
        ("https://example.com/?next=spotify.com", "general"),
    ],
)
def test_the_provider_is_known_by_the_host_that_was_asked(url: str, provider: str) -> None:
    answer = requests.Response()
    answer.status_code, answer.url = 500, url
    from_requests = raised_by(answer.raise_for_status)
    from_httpx = httpx.ConnectError("refused", request=httpx.Request("GET", url))
    assert diagnose(from_requests).error_type == provider
    assert diagnose(from_httpx).error_type == provider


def test_the_provider_is_known_by_code_path_words_and_hints() -> None:
    assert diagnose(raised_by(enrich_spotify)).error_type == "spotify"
    assert diagnose(RuntimeError("Last.fm said no")).error_type == "lastfm"
    assert diagnose_text("librosa could not load it").error_type == "audio_analysis"
    assert diagnose_text("an essential thing").error_type == "general"
    assert diagnose(RuntimeError("no"), hints="failed: musicbrainz").error_type == "musicbrainz"
    assert diagnose(RuntimeError("no")).error_type == "general"


def test_a_provider_that_is_given_wins() -> None:
    assert diagnose(raised_by(enrich_spotify), error_type="beatport").error_type == "beatport"
    assert diagnose_text("spotify", error_type="beatport").error_type == "beatport"


# --- never harm --------------------------------------------------------------------------


class Broken(Exception):
    """Everything that can be asked of it fails."""

    def __str__(self) -> str:
        raise ValueError("no text")

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(f"no {name}")


class Odd(Exception):
    """Nothing in it is what it should be."""

    status_code = "4x9"
    status = object()
    http_status = True
    headers = 7
    errno = "no"
    request = response = pool = ("url", 3)
    exceptions = 5
    reason = b"\xff"

    def __str__(self) -> str:
        return "\ud800\x00" * 3000


def test_broken_exceptions_are_diagnosed_as_unknown() -> None:
    for error in (Broken(), Odd(), raising(Broken())):
        assert diagnose(error).category == "unknown"
    assert diagnose(_from(RuntimeError("failed"), Broken())).category == "unknown"


@given(
    st.text(max_size=400),
    st.none() | st.text(max_size=80),
    st.none() | st.text(max_size=400),
    st.none() | st.integers(),
)
def test_any_text_is_diagnosed(
    message: str, error_class: str | None, trace: str | None, status: int | None
) -> None:
    found = diagnose_text(message, error_class=error_class, stack_trace=trace, http_status=status)
    assert found.category in CATEGORIES
    assert found.error_type


@given(st.lists(st.text() | st.integers() | st.binary() | st.none(), max_size=4))
def test_any_exception_is_diagnosed(args: list[Any]) -> None:
    for kind in (Exception, OSError, KeyError, urllib.error.URLError, requests.HTTPError):
        error = kind(*args) if kind is not urllib.error.URLError else kind(str(args))
        assert diagnose(error).category in CATEGORIES


def calls_of(work: Callable[[], object]) -> int:
    """How many functions `work` calls, Python's and C's."""
    count = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def test_diagnosing_takes_few_steps() -> None:
    error = raised_by(enrich_spotify)
    odd = "something odd happened while we were at it " * 4
    diagnose(error)  # the rules are read once

    assert calls_of(lambda: diagnose(error)) < 2000
    assert calls_of(lambda: diagnose_text(odd)) < 500


@pytest.mark.parametrize(
    "unit", ["a", '"', "File ", "artist=", "http://", "Traceback", "  | ", "404 ", "error "]
)
def test_of_a_hostile_text_a_bounded_part_is_read(unit: str) -> None:
    short, long = unit * 20_000, unit * 200_000

    assert diagnose_text(long, stack_trace=long) == diagnose_text(short, stack_trace=short)
    steps_of_short = calls_of(lambda: diagnose_text(short, stack_trace=short))
    assert calls_of(lambda: diagnose_text(long, stack_trace=long)) <= 2 * steps_of_short


def test_categories_are_those_of_the_table_in_its_order() -> None:
    assert [str(c) for c in CATEGORIES] == [
        *("rate_limit", "auth", "timeout", "network", "not_found", "server_error"),
        *("resource", "invalid_data", "bug", "malformed", "unknown"),
    ]


def test_transient_are_those_that_time_alone_may_mend() -> None:
    kinds = {
        "429 Too Many Requests": True,
        "Connection timeout": True,
        "DNS resolution failed": True,
        "502 Bad Gateway": True,
        "No space left on device": True,
        "401 Unauthorized": False,
        "404 Not Found": False,
        "422 Unprocessable Entity": False,
        "list index out of range": False,
        "something odd": False,
    }
    assert {text: diagnose_text(text).transient for text in kinds} == kinds
