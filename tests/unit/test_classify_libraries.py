"""What the libraries of a pipeline raise, known without importing any of them."""

from __future__ import annotations

import traceback
import urllib.error
import xml.etree.ElementTree as ElementTree

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
