"""What the libraries of a pipeline raise, known without importing any of them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import plistlib
import sqlite3
import tarfile
import tomllib
import traceback
import urllib.error
import wave
import xml.etree.ElementTree as ElementTree
import zlib
from collections.abc import Callable

import asyncpg
import botocore.exceptions
import httpx
import musicbrainzngs
import pika.exceptions
import psycopg
import pylast
import pytest
import redis.exceptions
import spotipy
import sqlalchemy.exc

from dlq.classify import diagnose, diagnose_text


def _aws(status: int, code: str, operation: str = "GetObject") -> Exception:
    answer = {
        "Error": {"Code": code, "Message": "no"},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {"retry-after": "4"}},
    }
    made: Exception = botocore.exceptions.ClientError(answer, operation)
    return made


def _spotify(status: int, message: str, reason: str | None = None) -> Exception:
    url = "https://api.spotify.com/v1/tracks/x"
    text = f"{url}:\n {message}"
    made: Exception = spotipy.SpotifyException(status, -1, text, reason=reason, headers={})
    return made


def _musicbrainz(status: int, text: str) -> Exception:
    error = urllib.error.HTTPError("http://x", status, text, {}, None)  # type: ignore[arg-type]
    error.close()
    made: Exception = musicbrainzngs.ResponseError(cause=error)
    return made


def _lastfm(code: int | str, text: str) -> Exception:
    return pylast.WSError(LASTFM, code, text)


def _alchemy(original: Exception) -> Exception:
    made = sqlalchemy.exc.DBAPIError.instance("SELECT 1", {}, original, psycopg.Error)
    assert isinstance(made, Exception)
    return made


LASTFM = pylast.LastFMNetwork("key", "secret")

ERRORS: list[tuple[str, Exception]] = [
    # botocore
    ("rate_limit", _aws(400, "ThrottlingException")),
    ("rate_limit", _aws(503, "SlowDown")),
    ("auth", _aws(400, "ExpiredToken")),
    ("auth", _aws(403, "SignatureDoesNotMatch")),
    ("auth", botocore.exceptions.NoCredentialsError()),
    ("timeout", _aws(400, "RequestTimeout")),
    ("timeout", botocore.exceptions.ReadTimeoutError(endpoint_url="http://x")),
    ("network", botocore.exceptions.EndpointConnectionError(endpoint_url="http://x")),
    ("not_found", _aws(404, "NoSuchKey")),
    ("server_error", _aws(500, "InternalError")),
    ("invalid_data", _aws(400, "SomethingNobodyListed")),
    ("invalid_data", botocore.exceptions.ParamValidationError(report="Missing: Bucket")),
    # spotipy
    ("rate_limit", _spotify(429, "Max Retries", "too many 429 error responses")),
    ("server_error", _spotify(429, "Max Retries", "too many 500 error responses")),
    ("timeout", _spotify(429, "Max Retries", "too many 504 error responses")),
    ("auth", _spotify(401, "The access token expired")),
    ("auth", spotipy.SpotifyOauthError("error: invalid_client", error="invalid_client")),
    ("not_found", _spotify(404, "Resource not found")),
    ("server_error", _spotify(502, "Bad gateway.")),
    # musicbrainzngs
    ("rate_limit", _musicbrainz(503, "Your requests are exceeding the allowable rate limit")),
    ("invalid_data", _musicbrainz(400, "Bad Request")),
    ("invalid_data", musicbrainzngs.ResponseError(cause=ElementTree.ParseError("x"))),
    ("network", musicbrainzngs.NetworkError(cause=ConnectionResetError(104, "reset"))),
    ("timeout", musicbrainzngs.NetworkError(cause=TimeoutError("timed out"))),
    ("auth", musicbrainzngs.AuthenticationError(cause=None)),
    ("bug", musicbrainzngs.UsageError("set a user agent")),
    ("bug", musicbrainzngs.InvalidIncludeError("Bad includes", "songs is not a valid include")),
    ("auth", musicbrainzngs.UsageError("authorization required; use auth(user, pass) first")),
    # pylast
    ("rate_limit", _lastfm("29", "Rate limit exceeded")),
    ("auth", _lastfm("9", "Invalid session key")),
    ("server_error", _lastfm(502, "Connection to the API failed with HTTP code 502")),
    ("timeout", pylast.NetworkError(LASTFM, httpx.ReadTimeout("x"))),
    ("network", pylast.NetworkError(LASTFM, httpx.ConnectError("x"))),
    ("invalid_data", pylast.MalformedResponseError(LASTFM, ElementTree.ParseError("x"))),
    # redis
    ("auth", redis.exceptions.AuthenticationError("invalid username-password pair")),
    ("auth", redis.exceptions.NoPermissionError("this user has no permissions")),
    ("timeout", redis.exceptions.TimeoutError("Timeout reading from socket")),
    ("timeout", redis.exceptions.LockError("Unable to acquire lock within the time specified")),
    ("network", redis.exceptions.ConnectionError("Error 111 connecting to x. Refused.")),
    ("server_error", redis.exceptions.BusyLoadingError("Redis is loading the dataset")),
    ("server_error", redis.exceptions.ReadOnlyError("You can't write against a read only replica")),
    ("resource", redis.exceptions.OutOfMemoryError("command not allowed")),
    ("resource", redis.exceptions.MaxConnectionsError("Too many connections")),
    ("not_found", redis.exceptions.NoScriptError("No matching script. Please use EVAL.")),
    ("not_found", redis.exceptions.ResponseError("NOSCRIPT No matching script.")),
    ("server_error", redis.exceptions.ResponseError("BUSY Redis is busy running a script.")),
    ("bug", redis.exceptions.ResponseError("unknown command 'FOO'")),
    # databases
    ("network", asyncpg.InterfaceError("connection is closed")),
    ("bug", asyncpg.InterfaceError("cannot perform operation: another operation is in progress")),
    ("auth", asyncpg.InvalidPasswordError("password authentication failed")),
    ("timeout", asyncpg.QueryCanceledError("canceling statement")),
    ("server_error", asyncpg.SerializationError("could not serialize access")),
    ("invalid_data", asyncpg.UniqueViolationError("duplicate key")),
    ("bug", asyncpg.UndefinedTableError('relation "x" does not exist')),
    ("auth", psycopg.OperationalError('connection failed: FATAL:  role "x" does not exist')),
    (
        "not_found",
        psycopg.OperationalError('connection failed: FATAL: database "x" does not exist'),
    ),
    ("server_error", psycopg.OperationalError("FATAL:  the database system is starting up")),
    ("resource", psycopg.OperationalError("FATAL:  sorry, too many clients already")),
    ("timeout", psycopg.errors.ConnectionTimeout("connection timeout expired")),
    ("timeout", _alchemy(psycopg.errors.QueryCanceled("canceling statement"))),
    ("server_error", _alchemy(psycopg.errors.DeadlockDetected("deadlock detected"))),
    ("auth", _alchemy(psycopg.errors.InsufficientPrivilege("permission denied for table x"))),
    ("network", _alchemy(psycopg.OperationalError("server closed the connection"))),
    ("not_found", sqlalchemy.exc.NoResultFound("No row was found when one was required")),
    ("bug", sqlalchemy.exc.InvalidRequestError('Entity has no property "x"')),
    # pika
    ("auth", pika.exceptions.ConnectionClosedByBroker(403, "ACCESS_REFUSED")),
    ("network", pika.exceptions.ConnectionClosedByBroker(320, "CONNECTION_FORCED - shutdown")),
    (
        "timeout",
        pika.exceptions.ChannelClosedByBroker(
            406, "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out"
        ),
    ),
    (
        "bug",
        pika.exceptions.ChannelClosedByBroker(406, "PRECONDITION_FAILED - unknown delivery tag 1"),
    ),
    ("resource", pika.exceptions.NackError([])),
    ("not_found", pika.exceptions.UnroutableError([])),
    ("network", pika.exceptions.ChannelWrongStateError("Channel is closed.")),
]


@pytest.mark.parametrize(
    ("category", "error"),
    ERRORS,
    ids=[f"{c}-{type(e).__name__}-{n}" for n, (c, e) in enumerate(ERRORS)],
)
def test_the_exceptions_of_libraries(category: str, error: Exception) -> None:
    found = diagnose(error)
    assert found.category == category, found.rule


NOT_IN_WORDS = {"NetworkError", "WSError", "ResponseError"}
"""What these hold is not in their text, or not all of it."""


def test_their_texts_are_understood_alike() -> None:
    for category, error in ERRORS:
        name = type(error).__name__
        if name not in NOT_IN_WORDS:
            qualified = f"{type(error).__module__}.{type(error).__qualname__}"
            trace = "".join(traceback.format_exception(error))
            found = diagnose_text(str(error), error_class=qualified, stack_trace=trace)
            assert found.category == category, (qualified, str(error), found.rule)


def test_what_aws_says_of_the_wait_is_read() -> None:
    found = diagnose(_aws(400, "ThrottlingException"))
    assert (found.retry_after_s, found.rule) == (4.0, "class:ThrottlingException")


class SpotifyRateLimited(Exception):
    pass


def test_a_class_that_says_rate_limit_stands_whatever_it_was_raised_from() -> None:
    error = SpotifyRateLimited("wait")
    error.__cause__ = _spotify(503, "Service unavailable")
    assert diagnose(error).category == "rate_limit"


# --- readers of files and media ----------------------------------------------------------

JUNK = b"junk" * 200
READERS: list[Callable[[], object]] = [
    lambda: wave.Wave_read(io.BytesIO(JUNK)),
    lambda: tarfile.TarFile(fileobj=io.BytesIO(JUNK)),
    lambda: zlib.decompress(JUNK),
    lambda: zlib.decompress(zlib.compress(JUNK)[:-5]),
    lambda: gzip.decompress(JUNK),
    lambda: gzip.decompress(gzip.compress(JUNK)[:-9]),
    lambda: lzma.decompress(JUNK),
    lambda: bz2.decompress(JUNK),
    lambda: plistlib.loads(JUNK),
    lambda: tomllib.loads("a = "),
]


def _raised(call: Callable[[], object]) -> Exception:
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("expected an error")


@pytest.mark.parametrize("read", READERS)
def test_what_a_reader_refuses_is_invalid_data(read: Callable[[], object]) -> None:
    found = diagnose(_raised(read))
    assert found.category == "invalid_data", found.rule


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("aifc.Error", "not an AIFF or AIFF-C file"),
        ("sunau.Error", "unknown encoding"),
        ("PIL.UnidentifiedImageError", "cannot identify image file <_io.BytesIO object>"),
        ("mutagen.id3._util.ID3NoHeaderError", "'a.mp3' doesn't start with an ID3 tag"),
        ("mutagen.flac.FLACNoHeaderError", ""),
        ("audioread.ffdec.UnsupportedError", ""),
        ("ffmpeg._run.Error", "ffmpeg error (see stderr output for detail)"),
        ("zstandard.ZstdError", "zstd decompress error: Unknown frame descriptor"),
        ("pyarrow.lib.ArrowInvalid", "Parquet magic bytes not found in footer"),
        ("pypdf.errors.PdfReadError", "EOF marker not found"),
        ("OSError", "Unable to open file (file signature not found)"),
    ],
)
def test_readers_are_known_by_name(name: str, text: str) -> None:
    assert diagnose_text(text, error_class=name).category == "invalid_data"


# --- what only leans to a bug ------------------------------------------------------------


@pytest.mark.parametrize(
    ("category", "text"),
    [
        ("not_found", "no track called 'Timeout' by Invalid"),
        ("not_found", 'the catalogue has no label named "Forbidden"'),
        ("not_found", "artist 'x' not found"),
        ("bug", "unknown encoding: klingon"),
        ("bug", "<ContextVar name='session' at 0x7f3a>"),
        ("bug", ""),
    ],
)
def test_of_a_lookup_error_the_words_decide(category: str, text: str) -> None:
    assert diagnose(LookupError(text)).category == category


def test_an_index_or_a_key_stays_a_bug_whatever_it_says() -> None:
    assert diagnose(KeyError("not found")).category == "bug"
    assert diagnose(IndexError("no such track")).category == "bug"


@pytest.mark.parametrize("value", [{}, [1], object()])
def test_an_object_that_a_driver_cannot_bind_is_a_bug(value: object) -> None:
    with sqlite3.connect(":memory:") as db:
        found = diagnose(_raised(lambda: db.execute("SELECT ?", (value,))))
    db.close()
    assert (found.category, found.rule) == ("bug", "words:error binding parameter")
    adapting = psycopg.ProgrammingError("cannot adapt type 'dict' using placeholder '%s'")
    assert diagnose(adapting).category == "bug"


def test_a_column_that_sqlite_does_not_have_is_a_bug() -> None:
    with sqlite3.connect(":memory:") as db:
        db.execute("CREATE TABLE plays (id)")
        found = diagnose(_raised(lambda: db.execute("INSERT INTO plays (n) VALUES (1)")))
    db.close()
    assert found.category == "bug", found.rule


def test_the_status_that_a_client_gave_up_at_is_reported() -> None:
    found = diagnose(_spotify(429, "Max Retries", "too many 503 error responses"))
    assert (found.http_status, found.rule) == (503, "status:503")
    cause = "ResponseError('too many 502 error responses')"
    wrapped = f"Max retries exceeded with url: /v1/x (Caused by {cause})"
    assert diagnose_text(wrapped, http_status=429).http_status == 502
