"""Sixty and more causes as providers, brokers and databases word them: each is one group of
its own and one category, whatever the item, the host, the id or the time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from dlq.classify import diagnose_text
from dlq.classify.levelling import levelled
from dlq.fingerprint import Cause, cause_of
from dlq.fingerprint.item_values import (
    MAX_CONTAINERS,
    MAX_TEXT_CHARS,
    MAX_VALUES,
    STAND_IN,
    without_values,
)
from tests.unit.test_fingerprint import dead_letter

ITEMS = (
    {
        "id": "4uLU6hMCjMI75M1A2tKUQC",
        "mbid": "550e8400-e29b-41d4-a716-446655440000",
        "artist": "Deadmau5",
        "title": "Strobe",
        "ms": "312",
        "s": "30.5",
        "port": "40001",
        "ip": "10.0.0.7",
        "host": "api-1.eu.example.com",
        "path": "/data/audio/strobe.flac",
        "at": "2025-10-10T12:30:45Z",
        "n": "7",
    },
    {
        "id": "0VjIjW4GlUZAMYd2vXMi3b",
        "mbid": "019ab5c2-7f00-7abc-8def-0123456789ab",
        "artist": "Swedish House Mafia",
        "title": "Don't You Worry Child",
        "ms": "9",
        "s": "5",
        "port": "5672",
        "ip": "192.168.17.204",
        "host": "api-2.us.example.com",
        "path": "/mnt/music/a/b/c.mp3",
        "at": "2026-01-31 00:00:00.123+02:00",
        "n": "1234567",
    },
    {
        "id": "7ouMYWpwJ422jRcDASZB7P",
        "mbid": "ffffffff-ffff-4fff-bfff-ffffffffffff",
        "artist": "Rate Limit",
        "title": "Timeout",
        "ms": "1200",
        "s": "0.25",
        "port": "443",
        "ip": "172.16.0.1",
        "host": "localhost",
        "path": "/x/y.wav",
        "at": "1999-12-31T23:59:59Z",
        "n": "404",
    },
)

CAUSES = [
    # rate_limit
    ("spotify", "rate_limit", "429 Client Error: Too Many Requests for url: https://{host}/{id}"),
    ("spotify", "rate_limit", "API rate limit exceeded, retry after {n} s"),
    ("spotify", "rate_limit", "http status: 429, code:-1 - https://{host}/v1/{id}: Max Retries"),
    ("musicbrainz", "rate_limit", "503: exceeding the allowable rate limit ({ip})"),
    ("musicbrainz", "rate_limit", "Rate limit: {n} requests per second"),
    ("lastfm", "rate_limit", '{{"error":29,"message":"Rate limit exceeded for {ip}"}}'),
    ("general", "rate_limit", "quota exceeded for project {id}, resets at {at}"),
    ("general", "rate_limit", "ThrottlingException: request {mbid} was throttled"),
    # auth
    ("spotify", "auth", "401 Client Error: Unauthorized for url: https://{host}/v1/tracks/{id}"),
    ("spotify", "auth", "Invalid client credentials (request {mbid})"),
    ("spotify", "auth", '{{"error":"invalid_grant","error_description":"revoked {at}"}}'),
    ("spotify", "auth", "The access token expired at {at}: token has expired"),
    ("lastfm", "auth", '<lfm status="failed"><error code="10">Invalid key {id}</error></lfm>'),
    ("lastfm", "auth", "Last.fm error 26: Suspended API key {id}"),
    ("general", "auth", 'FATAL: password authentication failed for user "{artist}"'),
    ("general", "auth", "permission denied for schema {n}"),
    ("general", "auth", "403 Forbidden: {path}"),
    # timeout
    ("general", "timeout", "Connection timeout after {s} s"),
    ("general", "timeout", "Read timed out. (read timeout={n})"),
    ("general", "timeout", "canceling statement due to statement timeout after {ms} ms"),
    ("general", "timeout", "504 Gateway Timeout from {host}"),
    ("general", "timeout", "database is locked ({path})"),
    ("musicbrainz", "timeout", "lookup of {mbid} timed out after {s} seconds"),
    ("general", "timeout", "deadline exceeded: {ms} ms"),
    # network
    ("general", "network", "[Errno 111] Connect call failed ('{ip}', {port})"),
    ("general", "network", "DNS resolution failed for {host}"),
    ("general", "network", "connection reset by {ip}:{port}"),
    ("general", "network", "Broken pipe while sending {n} bytes to {host}:{port}"),
    ("general", "network", "certificate verify failed for {host}"),
    ("general", "network", "No route to host {ip}"),
    ("general", "network", "Server disconnected after {n} bytes"),
    ("general", "network", "IncompleteRead({n} bytes read, {ms} more expected)"),
    ("general", "network", "could not connect to server at {ip}, port {port}"),
    # not_found
    ("spotify", "not_found", "404 Not Found: https://{host}/v1/tracks/{id}"),
    ("spotify", "not_found", "non existing id: {id}"),
    ("musicbrainz", "not_found", 'No match for "{title}" by "{artist}"'),
    ("musicbrainz", "not_found", "release {mbid} does not exist"),
    ("lastfm", "not_found", '{{"error":6,"message":"Track not found"}}'),
    ("general", "not_found", "[Errno 2] No such file or directory: '{path}'"),
    ("general", "not_found", "410 Gone: {host}"),
    # server_error
    ("spotify", "server_error", "502 Bad Gateway (request {mbid})"),
    ("spotify", "server_error", "500 Server Error: Internal for url: https://{host}/{id}"),
    ("musicbrainz", "server_error", "HTTP 503 Service Unavailable, {at}"),
    ("lastfm", "server_error", '{{"error":11,"message":"Service Offline since {at}"}}'),
    ("general", "server_error", "deadlock detected: process {n} waits for {port}"),
    ("general", "server_error", "could not serialize access, transaction {n}"),
    # resource
    ("general", "resource", "[Errno 28] No space left on device: '{path}'"),
    ("general", "resource", "[Errno 24] Too many open files: '{path}'"),
    ("audio_analysis", "resource", "Unable to allocate {n} MiB for an array"),
    ("general", "resource", "sorry, too many clients already ({n})"),
    ("general", "resource", "RabbitMQ dead-lettered it from queue 'q': maxlen ({n} times)"),
    # invalid_data
    ("spotify", "invalid_data", "400 Bad Request: https://{host}/v1/search?q={id}"),
    ("general", "invalid_data", "Expecting value: line {n} column {ms} (char {port})"),
    ("general", "invalid_data", "could not convert string to float: '{title}'"),
    ("general", "invalid_data", "'utf-8' codec can't decode byte 0xff in position {n}"),
    ("general", "invalid_data", 'duplicate key value violates constraint "{id}" ({ms})'),
    ("audio_analysis", "invalid_data", "Error opening '{path}': Format not recognised."),
    ("general", "invalid_data", "422 Unprocessable Entity: field {n}"),
    # bug
    ("general", "bug", "'NoneType' object has no attribute '{title}'"),
    ("general", "bug", "list index out of range"),
    ("general", "bug", "No module named '{artist}'"),
    ("general", "bug", "division by zero"),
    ("general", "bug", "get() got an unexpected keyword argument 'timeout'"),
    # malformed, unknown
    ("general", "malformed", "Malformed dead letter: the body is not UTF-8 (byte {n})"),
    ("general", "unknown", "RabbitMQ dead-lettered it from queue 'q': rejected ({n} times)"),
    ("general", "unknown", "enrichment of {id} gave up after {s} s"),
    ("general", "unknown", "worker {mbid} stopped at {at}"),
]


def grouped(error_type: str, text: str) -> Cause:
    diagnosis = diagnose_text(text, error_type=error_type)
    return cause_of(dead_letter(text, None, error_type), diagnosis)


@pytest.mark.parametrize(("error_type", "category", "template"), CAUSES)
def test_a_cause_has_one_category_and_one_group_whatever_the_item(
    error_type: str, category: str, template: str
) -> None:
    texts = [template.format(**item) for item in ITEMS]
    assert {str(diagnose_text(t, error_type=error_type).category) for t in texts} == {category}
    assert len({grouped(error_type, text) for text in texts}) == 1


def test_the_causes_are_told_apart() -> None:
    fingerprints = [grouped(kind, text.format(**ITEMS[0])).fingerprint for kind, _, text in CAUSES]
    assert len(set(fingerprints)) == len(CAUSES) > 60


def test_titles_hold_nothing_of_the_item() -> None:
    for error_type, _, template in CAUSES:
        title = grouped(error_type, template.format(**ITEMS[0])).title
        for name in ("id", "mbid", "artist", "ip", "host", "path", "at"):
            assert ITEMS[0][name] not in title, title


SAME_TEXT = (
    ("took 12.5s", "took 300ms", "took 7 seconds", "took 1h30m"),
    ("used 1.2GiB of memory", "used 300MB of memory", "used 15 GB of memory"),
    ("the disk is 99.5% full", "the disk is 100% full"),
    ("version 1.2.3 is too old", "version 2.0.0rc1 is too old", "version v3.1 is too old"),
    ("cannot reach [2001:db8::1]:443", "cannot reach [fe80::1%eth0]:8080"),
    ("cannot reach 2001:db8::1", "cannot reach fe80::42"),
    ("redis:6379 is down", "redis-22.cache:6380 is down", "10.0.0.1:5672 is down"),
    ("digest c2VjcmV0LXZhbHVlLTE= is wrong", "digest bm90aGVyLXZhbHVlLTIy== is wrong"),
    ("key AbCdEfGhIjKlMnOpQrStUvWx rejected", "key ZyXwVuTsRqPoNmLkJiHgFeDc rejected"),
    (
        "token eyJhbGciOiJIUzI1NiJ9.eyJzdW.ab_-1 ended",
        "token eyJhbGciOiJIUzI1NiJ9.eyJzdX.x-2 ended",
    ),
    ("at 12:30:45 it broke", "at 01:02:03.123 it broke"),
    ("on 2025-10-10 it broke", "on 10.10.2025 it broke", "on 2025/10/10 it broke"),
    ("mail a.b+c@example.co.uk bounced", "mail x@y.de bounced"),
    ("worker-3 died", "worker-12 died"),
    ("worker[7] died", "worker[4021] died"),
    ("pod analyser-x7k2p-tsrjv died", "pod analyser-bqwcd-kkzlm died"),
    ("cannot allocate 728. GiB", "cannot allocate 7.28 TiB", "cannot allocate 3. PiB"),
    ("not free within <value> s", "not free within 0.5 s"),
    ("shard 3/12 failed", "shard 14/120 failed"),
    ("score 1e-05 is too low", "score 0.7 is too low", "score -3 is too low"),
    ("cannot open C:\\music\\x.flac", "cannot open D:\\a.mp3", "cannot open ~/b/c.wav"),
    ("s3://bucket/key/a is gone", "https://a.example/b?c=d&e=%20 is gone"),
    (
        "no result for «Ёлка»",
        "no result for „Strobe“",
        "no result for 「千本桜」",
        "no result for ‹x›",
    ),
    ("no result for “Don't”", "no result for 'Don't Stop'", "no result for »Straße«"),
    ("「千本桜」が見つかりません", "「夜に駆ける」が見つかりません"),
    (
        "track Strings of Life has no isrc",
        "track So What? has no isrc",
        "track 7 Rings has no isrc",
    ),
    ("Bad includes: lyrics is not a valid include", "Bad includes: moods is not a valid include"),
    ("No match for Björk - Army of Me", "No match for AC/DC - T.N.T. (Live)"),
    ('bad answer {"id": 5, "name": "x"}', 'bad answer {"id": 77, "tags": ["a", "b"]}'),
    ("Command '['ffmpeg', '-i', 'a b.mp3']' died", "Command '['sox', 'x']' died"),
)
OTHER_TEXT = (
    'column "bpm" does not exist',
    'column "tempo" does not exist',
    "'NoneType' object has no attribute 'strip'",
    "'NoneType' object has no attribute 'lower'",
    "No module named 'enrich.exporters'",
    "No module named 'enrich.importers'",
    '{"error":{"status":400,"message":"invalid market"}}',
    '{"error":{"status":400,"message":"invalid id"}}',
    "Caused by NewConnectionError('x')",
    "Caused by NameResolutionError('x')",
    "SSLError(1, '[SSL: X] certificate verify failed: certificate has expired (_ssl.c:1006)')",
    "SSLError(1, '[SSL: X] certificate verify failed: self-signed certificate (_ssl.c:1006)')",
    "application/json was expected",
    "text/html was expected",
)


@pytest.mark.parametrize("texts", SAME_TEXT)
def test_texts_that_differ_in_values_are_level(texts: tuple[str, ...]) -> None:
    assert len({levelled(text) for text in texts}) == 1


@pytest.mark.parametrize("text", [*OTHER_TEXT, *(text for texts in SAME_TEXT for text in texts)])
def test_what_is_level_stays_as_it_is(text: str) -> None:
    assert levelled(levelled(text)) == levelled(text)


def test_texts_that_differ_in_what_they_say_stay_apart() -> None:
    levels = [levelled(text) for text in OTHER_TEXT]
    assert len(set(levels)) == len(OTHER_TEXT)


# --- what the item holds -----------------------------------------------------------------


def of_item(text: str, payload: dict[str, Any], trace: str | None = None) -> Cause:
    diagnosis = diagnose_text(text, stack_trace=trace)
    return cause_of(dead_letter(text, trace, payload=payload), diagnosis)


TRACKS: tuple[dict[str, Any], ...] = (
    {"id": "4uLU6hMCjMI75M1A2tKUQC", "artist": "Amelie Lens", "title": "Groove"},
    {"id": "0VjIjW4GlUZAMYd2vXMi3b", "artist": "the weeknd", "title": "Don't Hurt Yourself (Live)"},
    {"id": "7ouMYWpwJ422jRcDASZB7P", "artist": "Björk", "title": "7 Rings"},
    {"id": "1dfeR4HaWDbWqFHLkxsg1d", "artist": "AC/DC", "title": "T.N.T."},
    {"id": "3n3Ppam7vgaVa1iaRUc9Lp", "artist": "初音ミク", "title": "千本桜"},
    {"id": "5ghIJDpPoe3CfHMGu71E6T", "artist": "Lens Groove", "title": "Lens"},
)
UNQUOTED = (
    "MarketUnavailable: track {id} ({artist} - {title}) is not available in DE",
    "no release of {artist} has {title}",
    "{artist} - {title}: nothing comes near",
    "gave up on {title}, by {artist}",
    "cannot open /music/{artist}/{title}.mp3",
    "GET https://api.example/search/{title}/x?artist={artist} said no",
    "{artist}/{title} came twice ({id})",
)


@pytest.mark.parametrize("template", UNQUOTED)
def test_values_of_the_item_that_stand_without_quotes_do_not_split_a_cause(template: str) -> None:
    nested = [{"track": {"names": [track]}} for track in TRACKS]
    causes = {of_item(template.format(**track), track) for track in TRACKS}
    assert len(causes) == 1
    assert {of_item(template.format(**t), n) for t, n in zip(TRACKS, nested, strict=True)} == causes


@pytest.mark.parametrize("template", UNQUOTED)
def test_values_of_the_item_stand_in_no_title(template: str) -> None:
    title = of_item(template.format(**TRACKS[0]), TRACKS[0]).title
    assert not [value for value in TRACKS[0].values() if value in title]


def test_values_in_a_message_within_a_message_do_not_split_a_cause() -> None:
    trace = (
        'Traceback (most recent call last):\n  File "/app/enrich.py", line 9, in enrich\n'
        '    raise EnrichmentFailed(f"enrichment failed: {error}")\nEnrichmentFailed: '
    )
    texts = [f"enrichment failed: only {track['title']} is left" for track in TRACKS]
    found = zip(texts, TRACKS, strict=True)
    assert len({of_item(text, track, f"{trace}{text}\n") for text, track in found}) == 1


@pytest.mark.parametrize(("error_type", "_category", "template"), CAUSES)
def test_a_payload_that_says_what_is_level_anyway_changes_nothing(
    error_type: str, _category: str, template: str
) -> None:
    for item in ITEMS:
        text = template.format(**item)
        without = dead_letter(text, None, error_type)
        diagnosis = diagnose_text(text, error_type=error_type)
        with_payload = dead_letter(text, None, error_type, dict(item))
        assert cause_of(with_payload, diagnosis) == cause_of(without, diagnosis)


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("the track was refused after a timeout", {"kind": "track", "name": "timeout"}),
        ("Timeout while it was read", {"title": "Timeout"}),
        ("404 Not Found", {"title": "Not Found"}),
        ("404 not found", {"title": "not found"}),
        ("504 Gateway Timeout", {"title": "Timeout"}),
        ("job enrich_track is not known", {"job": "enrich_track"}),
        ("cannot import enrich.spotify", {"job": "enrich.spotify"}),
        ("took 312 s", {"length": "312"}),
        ("Grooves are worn", {"title": "Groove"}),
        ("in DE only", {"market": "DE"}),
        ("No such market", {"last_error": "No such market"}),
        ("No such market", {"error": {"message": "No such market"}}),
        ("Connection of Other - Name", {"artist": "Amelie Lens"}),
        ("7 of them", {"count": 7, "is_live": True, "label": None, "long": "x y" * 100}),
    ],
)
def test_what_may_be_the_sentence_itself_stays(text: str, held: dict[str, Any]) -> None:
    assert without_values(text, held) == text


def test_the_longest_value_goes_first_and_metadata_count_too() -> None:
    assert without_values(
        "no Amelie Lens at 1001tl", {"a": "Lens", "b": "Amelie Lens"}, {"spider": "1001tl"}
    ) == ("no x0x0x at x0x0x")


class Reads:
    """Counts what is read of dictionaries and lists."""

    def __init__(self) -> None:
        self.count = 0

    def counting(self, value: Any) -> Any:
        """The same value, which counts."""
        if isinstance(value, dict):
            return _CountedDict(self, {key: self.counting(held) for key, held in value.items()})
        if isinstance(value, list):
            return _CountedList(self, map(self.counting, value))
        return value

    def each(self, values: Iterable[Any]) -> Iterator[Any]:
        for value in values:
            self.count += 1
            yield value


class _CountedDict(dict[str, Any]):
    def __init__(self, reads: Reads, values: dict[str, Any]) -> None:
        super().__init__(values)
        self._reads = reads

    def items(self) -> Any:
        return self._reads.each(super().items())


class _CountedList(list[Any]):
    def __init__(self, reads: Reads, values: Iterable[Any]) -> None:
        super().__init__(values)
        self._reads = reads

    def __iter__(self) -> Iterator[Any]:
        return self._reads.each(super().__iter__())


@pytest.mark.parametrize(
    "held",
    [
        {"values": [f"A{n}" * 20 for n in range(100_000)]},
        {str(n): "A" * (n % 200 + 3) for n in range(1000)},
        {"a": [[[["A A"] * 100] * 100] * 100] * 100},
    ],
)
def test_of_a_large_payload_a_bounded_part_is_read(held: dict[str, Any]) -> None:
    reads = Reads()

    levelled_text = without_values("A A" * 20_000, reads.counting(held))

    assert 0 < reads.count <= MAX_CONTAINERS * (MAX_VALUES + 1)
    assert len(levelled_text) <= MAX_TEXT_CHARS * len(STAND_IN)
