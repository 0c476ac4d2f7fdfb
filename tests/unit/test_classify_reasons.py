"""The one line for people that comes with every diagnosis."""

from __future__ import annotations

import unicodedata

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from dlq.classify import diagnose, diagnose_text


def enrich_track() -> None:
    raise KeyError("4uLU6hMCjMI75M1A2tKUQC")


@pytest.mark.parametrize(
    ("error_type", "text", "reason"),
    [
        ("spotify", "429 Too Many Requests", "Spotify allows no more requests for now (HTTP 429)"),
        (
            "spotify",
            "429 Too Many Requests, retry after 30",
            "Spotify allows no more requests for now (HTTP 429), try again in 30 s",
        ),
        (
            "spotify",
            '{"error":{"status":401,"message":"The access token expired"}}',
            "Spotify refused the credentials (HTTP 401: The access token expired)",
        ),
        (
            "spotify",
            'HTTP 400 {"error":"invalid_grant","error_description":"Refresh token revoked"}',
            "Spotify refused the credentials (HTTP 400: Refresh token revoked)",
        ),
        ("musicbrainz", "HTTP 400: no", "MusicBrainz did not accept the request (HTTP 400)"),
        ("lastfm", "getaddrinfo ENOTFOUND x", "The host name could not be resolved"),
        ("lastfm", "[Errno 111] Connection refused", "The connection to Last.fm was refused"),
        (
            "general",
            "certificate has expired",
            "No secure connection to the service (TLS or its certificate)",
        ),
        ("general", "[Errno 28] No space left on device", "The disk is full"),
        ("general", "deadlock detected", "The database gave up the transaction: it met another"),
        (
            "general",
            "Read of https://a.example/tracks/17?k=v timed out after 30.5 s",
            "The service did not answer in time (Read of … timed out after … s)",
        ),
        (
            "general",
            "RabbitMQ dead-lettered it from queue 'q': rejected (once)",
            "A consumer rejected it; the broker does not say why",
        ),
        ("general", "oops\x1b[31m\u202e x", "Nothing known supports a cause (… x)"),
    ],
)
def test_a_reason_is_a_sentence_for_people(error_type: str, text: str, reason: str) -> None:
    assert diagnose_text(text, error_type=error_type).reason == reason


def test_a_bug_is_told_by_its_class_and_place() -> None:
    with pytest.raises(KeyError) as raised:
        enrich_track()
    assert diagnose(raised.value).reason == "Our program failed: KeyError in enrich_track"


def test_what_an_answer_says_is_quoted_without_ids() -> None:
    answer = requests.Response()
    answer.status_code, answer.url = 404, "https://api.spotify.com/v1/tracks/1"
    answer._content = b'{"error":{"status":404,"message":"No track 4uLU6hMCjMI75M1A2tKUQC here"}}'
    error = requests.HTTPError("404 Not Found", response=answer)
    assert diagnose(error).reason == (
        "Spotify does not have what was asked for (HTTP 404: No track … here)"
    )


def test_two_failures_of_one_cause_read_alike() -> None:
    said = {
        diagnose_text(f"Could not load /data/{n}/a.flac of artist 'No {n}' in {n} ms").reason
        for n in range(5)
    }
    assert len(said) == 1


@given(st.text(max_size=600), st.none() | st.text(max_size=80), st.none() | st.text(max_size=80))
def test_any_reason_is_one_short_printable_line(
    text: str, error_class: str | None, error_type: str | None
) -> None:
    found = diagnose_text(text, error_class=error_class, error_type=error_type)
    assert 0 < len(found.reason) <= 120
    assert not any(unicodedata.category(c)[0] == "C" for c in found.reason)
    assert "\n" not in found.reason
