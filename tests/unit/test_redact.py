"""Secrets go, the text around them stays."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dlq.redact import REDACTED, is_secret_name, redact, redact_text

R = REDACTED
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow+/IBAAKCAQEA\nxyz=\n-----END RSA PRIVATE KEY-----"

TEXTS = [
    # headers
    ("Authorization: Bearer abc.def was refused", f"Authorization: Bearer {R} was refused"),
    ("authorization: Basic dXNlcjpwYXNz", f"authorization: Basic {R}"),
    ('Authorization: Digest username="x", response="y"\nHost: h', f"Authorization: {R}\nHost: h"),
    ("Proxy-Authorization: Basic dXNlcjo=", f"Proxy-Authorization: Basic {R}"),
    ("{'Authorization': 'Bearer abc', 'A': 'b'}", f"{{'Authorization': 'Bearer {R}', 'A': 'b'}}"),
    ("sent Bearer abc123def456 to it", f"sent Bearer {R} to it"),
    ("X-Api-Key: 12345\nAccept: */*", f"X-Api-Key: {R}\nAccept: */*"),
    ("Cookie: a=b; c=d\nAccept: */*", f"Cookie: {R}\nAccept: */*"),
    ("Set-Cookie: sid=31d4d96e; Path=/", f"Set-Cookie: {R}"),
    # query strings
    (
        "GET /2.0/?method=x&api_key=0a1b&api_sig=ff00&sk=zz9&format=json failed",
        f"GET /2.0/?method=x&api_key={R}&api_sig={R}&sk={R}&format=json failed",
    ),
    ("?client_id=abc&client_secret=s3&x=1", f"?client_id=abc&client_secret={R}&x=1"),
    ("?access_token=a&refresh_token=b", f"?access_token={R}&refresh_token={R}"),
    ("redirect_uri=x%3Fapi_key%3Dabc", f"redirect_uri=x%3Fapi_key%3D{R}"),
    # JSON, also within JSON
    ('{"client_secret": "a\\"b", "n": 1}', f'{{"client_secret": "{R}", "n": 1}}'),
    ('{"token":\n  "abc"}', f'{{"token":\n  "{R}"}}'),
    ('{\\"password\\": \\"abc\\", \\"n\\": 1}', f'{{\\"password\\": \\"{R}\\", \\"n\\": 1}}'),
    # Python
    ("connect(password='hunter2', user='bob')", f"connect(password='{R}', user='bob')"),
    ("{'passwd': 'x', 'host': 'y'}", f"{{'passwd': '{R}', 'host': 'y'}}"),
    ("Settings(pwd=hunter2)", f"Settings(pwd={R})"),
    ("{b'Cookie': [b'a=b'], 'n': 1}", f"{{b'Cookie': [b'{R}'], 'n': 1}}"),
    # environment, command line, forms, XML
    (
        "SPOTIFY_CLIENT_SECRET=abc LASTFM_API_KEY=def",
        f"SPOTIFY_CLIENT_SECRET={R} LASTFM_API_KEY={R}",
    ),
    ("curl --password=hunter2 http://h", f"curl --password={R} http://h"),
    ("user[password]=abc&x=1", f"user[password]={R}&x=1"),
    ("<password>abc</password>", f"<password>{R}</password>"),
    ("password: correct horse", f"password: {R} horse"),
    ("password=p[a]s,s)w'd x", f"password={R} x"),
    # URLs
    ("amqp://musicdb:rabbit@h:5672/v", f"amqp://musicdb:{R}@h:5672/v"),
    ("postgresql+psycopg://u:p%40ss@h/db", f"postgresql+psycopg://u:{R}@h/db"),
    ("postgresql://u:p@s/s@h/db", f"postgresql://u:{R}@h/db"),
    ("redis://:12345@h:6379/0", f"redis://:{R}@h:6379/0"),
    ("amqp://a:b@h1,amqp://c:d@h2", f"amqp://a:{R}@h1,amqp://c:{R}@h2"),
    ("https://token:abc@h/x", f"https://token:{R}@h/x"),
    # shapes
    (f"got {JWT} back", f"got {R} back"),
    ("key AKIAIOSFODNN7EXAMPLE leaked", f"key {R} leaked"),
    ("ghp_0123456789abcdefghij0123456789abcdef", R),
    ("github_pat_11ABCDEFG0123456789_abcdefghij", R),
    ("xoxb-123456789012-abcdefGHIJ", R),
    ("sk_live_0123456789abcdef", R),
    (f"key:\n{PEM}\nafter", f"key:\n{R}\nafter"),
    ("-----BEGIN PRIVATE KEY-----\nMIIEcut", R),
]

INNOCENT = [
    "Rate limit exceeded: 429 Too Many Requests",
    "Invalid client credentials",
    "token: expired",
    "api_key: missing",
    "token=None, password=None",
    "password=",
    '{"password": "", "token": null}',
    "Bearer token expired",
    "Basic authentication failed",
    "tokens_used=5 max_tokens=10 token_type=bearer",
    "next_page_token=abc",
    "client_id=0123456789abcdef0123456789abcdef",
    "track_id=4uLU6hMCjMI75M1A2tKUQC isrc=GBDUW0000059",
    "spotify:track:4uLU6hMCjMI75M1A2tKUQC",
    "http://127.0.0.1:8024/users/a@b.example",
    "https://api.spotify.com/v1/tracks?market=DE",
    "Invalid token:\nTraceback (most recent call last):",
    "KeyError: 'tracks'",
    "Unexpected token < in JSON at position 0",
    "a Secret Garden - Key of D minor",
    'File "/app/auth.py", line 3, in get_token',
]


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_a_secret_is_replaced_and_the_rest_stays(text: str, expected: str) -> None:
    assert redact_text(text) == expected


@pytest.mark.parametrize("text", INNOCENT)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize(
    "name",
    [
        *("password", "PASSWD", "db_pwd", "secret", "client_secret", "clientSecret", "token"),
        *("accessToken", "refresh-token", "api_key", "apikey", "apiKey", "X-Api-Key", "api_sig"),
        *("Authorization", "Proxy-Authorization", "cookie", "Set-Cookie", "credentials"),
        *("private_key", "session_key", "sk", "passphrase", "password_hash", "PASSWORD2"),
        *("SPOTIFY_CLIENT_SECRET", "lastfm.api_key", "aws_secret_access_key", "auth"),
    ],
)
def test_names_that_mean_a_secret(name: str) -> None:
    assert is_secret_name(name)
    assert redact({name: "x1"}) == {name: R}


@pytest.mark.parametrize(
    "name",
    [
        *("tokens_used", "token_count", "token_type", "next_page_token", "pageToken"),
        *("track_id", "isrc", "spotify_uri", "key", "keys", "author", "artist", "client_id"),
        *("password_changed_at", "secretary", "skip", "session", "signature", "risk"),
    ],
)
def test_names_that_do_not(name: str) -> None:
    assert not is_secret_name(name)
    assert redact({name: "x1"}) == {name: "x1"}


def test_a_payload_is_walked() -> None:
    payload = {
        "artist": "Deadmau5",
        "bpm": 128.0,
        "request": {"headers": [["Authorization", "Bearer abc"], ["Accept", "*/*"]]},
        "credentials": {"user": "bob", "pin": 1234},
        "pin": {"password": 1234, "token": None, "secret": "", "api_key": True},
        "urls": ["amqp://a:b@h/", "https://h/?token=abc"],
    }
    assert redact(payload) == {
        "artist": "Deadmau5",
        "bpm": 128.0,
        "request": {"headers": [["Authorization", R], ["Accept", "*/*"]]},
        "credentials": R,
        "pin": {"password": R, "token": None, "secret": "", "api_key": True},
        "urls": [f"amqp://a:{R}@h/", f"https://h/?token={R}"],
    }
    assert payload["credentials"] == {"user": "bob", "pin": 1234}, "the original was changed"


def test_other_values_stay_as_they_are() -> None:
    marker = object()
    assert redact(marker) is marker
    assert redact((1, b"x", None)) == (1, b"x", None)


def test_depth_and_cycles_end() -> None:
    deep: Any = "password=x"
    for _ in range(5000):
        deep = [deep]
    assert REDACTED in json.dumps(redact(deep))
    cycle: dict[str, Any] = {}
    cycle["self"] = cycle
    assert REDACTED in json.dumps(redact(cycle))


class _Broken(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("no items")


def test_a_broken_mapping_is_taken_out_whole() -> None:
    assert redact([_Broken(), 1]) == [REDACTED, 1]


PIECES = st.sampled_from(
    [
        *("password", "token", "api_key", "authorization", "Cookie", "x", "sk", "Bearer"),
        *("Basic ", "=", ":", ": ", "'", '"', "\\", "\\'", "\n", " ", ",", ")", "]", "[", "&"),
        *("%3D", "<", ">", "://", "@", "/", "-", ".", "amqp://u:p@h", R, "abc1", JWT, "None"),
        *("AKIAIOSFODNN7EXAMPLE", "ghp_" + "a1" * 12, "b", "1"),
        *("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"),
    ]
)


@given(st.text() | st.lists(PIECES, max_size=14).map("".join))
@example("token=\\\\[redacted]'")
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = redact_text(text)
    assert redact_text(once) == once


JSONABLE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | PIECES, inner),
    max_leaves=12,
)


@given(JSONABLE)
def test_a_value_keeps_its_shape_and_redacting_twice_changes_nothing_more(value: Any) -> None:
    once = redact(value)
    assert redact(once) == once
    if isinstance(value, dict):
        assert list(once) == list(value)


@pytest.mark.parametrize(
    "unit",
    [
        *("a", "-", "\\", "'", "[redacted]", "a.", "a=", "password", "password=", 'password="'),
        *("a://b:c/", "://", "eyJ", "sk-", "xoxb-", "ghp_", "Bearer a", "authorization: "),
        *("-----BEGIN PRIVATE KEY-----", "-----BEGIN ", '"password": "\\\\', "token:\n", "%3D"),
    ],
)
def test_a_hostile_megabyte_takes_bounded_time(unit: str) -> None:
    def took_s(size: int) -> float:
        text = (unit * (size // len(unit) + 1))[:size]
        started = time.process_time()
        redact_text(text)
        return time.process_time() - started

    # Quadratic time would be minutes.
    assert took_s(1_000_000) < 6.0
