"""Takes secrets out of texts and payloads before they are stored or shown; pure.

What goes: values under names that mean a secret (`client_secret=`, `"password": "…"`,
`X-Api-Key:`), credentials in headers and URLs, and values that are secrets by their shape
(JWT, AWS, GitHub, Slack, Stripe keys, PEM blocks). What stays: names, `client_id`, ids of
tracks, cursors of pages (`next_page_token` opens nothing), and the text around.

Patterns begin only at the start of a word and never give back what a word took, so the time
is linear in the length of the text, however hostile.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

REDACTED = "[redacted]"
MAX_DEPTH = 64
"""Below this nesting everything is taken out."""

# --- names -------------------------------------------------------------------------------

_SECRET_NAMES = (
    *("password", "passwd", "pwd", "passphrase", "secret", "token", "bearer", "jwt"),
    *("api_key", "apikey", "api_sig", "auth", "authorization", "cookie", "cookies"),
    *("credential", "credentials", "private_key", "secret_key", "access_key", "session_key"),
    *("pass", "secrets", "api_keys", "apikeys", "app_key", "appkey", "account_key", "consumer_key"),
    *("apitoken", "accesstoken", "clientsecret", "secretkey", "subscription_key", "code_verifier"),
    *("passcode", "otp", "session_id", "sessid"),
)
_SECRET_WHOLE_NAMES = frozenset({*_SECRET_NAMES, "sk", "tokens", "sessionid", "phpsessid"})
_SECRET_ENDINGS = tuple(f"_{name}" for name in _SECRET_NAMES)
_PASSWORD_WORDS = frozenset({"password", "passwd", "passphrase", "pwd"})
_FACTS_ABOUT_PASSWORDS = frozenset(
    {"at", "changed", "expired", "expires", "length", "policy", "required", "reset", "strength"}
)
_CURSORS = re.compile(r"(?:page|cursor|continuation|sync|next|pagination|csrf_param)_token")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_MAY_BE_SECRET = re.compile(
    r"pass|pwd|secret|token|bearer|jwt|key|sig|auth|cookie|credential|sess|sk|otp|code_?verif",
    re.IGNORECASE,
)
_MAX_NAME_CHARS = 100


def is_secret_name(name: str) -> bool:
    """Whether a value under `name` is a secret; any case, parted by `-`, `_`, `.` or humps."""
    if len(name) > _MAX_NAME_CHARS or not _MAY_BE_SECRET.search(name):
        return False
    plain = _HUMP.sub("_", name.strip()).lower()
    plain = re.sub(r"[\s.-]+", "_", plain).strip("_").rstrip("0123456789")
    words = plain.split("_")
    if not _PASSWORD_WORDS.isdisjoint(words):
        return words[-1] not in _FACTS_ABOUT_PASSWORDS
    if plain in _SECRET_WHOLE_NAMES:
        return True
    return plain.endswith(_SECRET_ENDINGS) and not _CURSORS.search(plain)


# --- values ------------------------------------------------------------------------------


def redact(value: Any) -> Any:
    """A copy of a JSON-able value without secrets; anything else in it stays as it is."""
    return _redact(value, 0)


def _redact(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return redact_text(value)
    if not isinstance(value, Mapping | list | tuple):
        return value
    if depth >= MAX_DEPTH:
        return REDACTED
    try:
        if isinstance(value, Mapping):
            return {name: _field(name, held, depth + 1) for name, held in value.items()}
        return _items(value, depth + 1)
    except Exception:  # noqa: BLE001 - a mapping of somebody's class; better gone than shown
        return REDACTED


def _field(name: Any, value: Any, depth: int) -> Any:
    if isinstance(name, str) and is_secret_name(name):
        # Whether it was empty or absent tells what went wrong, and gives nothing away.
        return value if value in (None, "", True, False, [], {}) else REDACTED
    return _redact(value, depth)


def _items(values: list[Any] | tuple[Any, ...], depth: int) -> list[Any] | tuple[Any, ...]:
    """A pair of name and value, as headers often are, is read like a field."""
    if len(values) == 2 and isinstance(values[0], str) and isinstance(values[1], str):
        items = [redact_text(values[0]), _field(values[0], values[1], depth)]
    else:
        items = [_redact(value, depth) for value in values]
    return tuple(items) if isinstance(values, tuple) else items


# --- texts -------------------------------------------------------------------------------

_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----"
    r"[A-Za-z0-9+/=\s\\:,]*(?:-(?!----)[A-Za-z0-9+/=\s\\:,]*)*"
    r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----)?"
)
_URL_PASSWORD = re.compile(
    r"(?<![\w+.-])([A-Za-z][\w+.-]{0,30}://[^\s/?#@:'\"<>]*+:)"
    r"(?!\d{1,5}(?:[/?#\s]|$))"  # a port, and an @ somewhere in the path
    r"(?:[^\s,?#'\"<>]{0,300}|[^\s/?#'\"<>]*)@"
)
_SHAPES = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"eyJ[\w-]{8,}+\.[\w-]{4,}+(?:\.[\w-]*+){0,3}"  # JWT
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Za-z])"
    r"|gh[pousr]_[A-Za-z0-9]{20,}+|github_pat_\w{20,}+|glpat-[\w-]{16,}+"
    r"|xox[a-z]-[A-Za-z0-9-]{10,}+|hooks\.slack\.com/services/[\w/]{16,}+"
    r"|(?:[spr]k_(?:live|test)|whsec)_[A-Za-z0-9]{10,}+"
    r"|AIza[\w-]{30,}+|sk-[\w-]{20,}+|npm_[A-Za-z0-9]{30,}+|pypi-[\w-]{50,}+"
    r")"
)
_SCHEMES = r"(?:bearer|basic|token|apikey|negotiate|ntlm)"
_BARE_SCHEME = re.compile(
    r"\b((?:bearer|basic)\s{1,4})(?=[\w.~+/-]*[\d=])[\w.~+/-]{8,}+=*", re.IGNORECASE
)
_NAME = re.compile(
    r"(?<![\w.-])(?<!//)(?:(?<=%)[0-9A-Fa-f]{2})?(?P<name>[\w.-]++)"
    r"\\{0,4}[\"']?\]?(?P<sign>\s{0,4}(?:=>?|:|%3[Dd])\s{0,4}|>)"
)
_QUOTED = re.compile(
    r"(?P<before>[\[(]{0,2}b?(?P<quote>\\{0,4}[\"']))(?P<value>(?:(?!(?P=quote))(?:\\.|[^\\\r\n]))*)"
)
_UNQUOTED = re.compile(
    r"(?P<before>)"
    r"(?P<value>(?:\[redacted\]|[^\s&\"',;)}\]<]|[,;)}\]](?![\s,;)}\]]|$)|[\"'](?=\w))+)"
)
_WITH_SCHEME = re.compile(
    rf"(?P<before>{_SCHEMES}\s{{1,4}})(?P<value>[^\s\"'\\,;&)]++)", re.IGNORECASE
)
_REST_OF_LINE = re.compile(r"(?P<before>)(?P<value>[^\r\n]+)")
_SCHEME_START = re.compile(rf"{_SCHEMES}\s{{1,4}}", re.IGNORECASE)

_ABSENT = frozenset({"none", "null", "nil", "undefined", "true", "false"})
_FACTS = frozenset({"empty", "expired", "incorrect", "invalid", "missing", "required", "wrong"})


def redact_text(text: str) -> str:
    """`text` with each secret replaced by `[redacted]`; doing it twice changes nothing more."""
    text = _PEM.sub(REDACTED, text)
    text = _SHAPES.sub(REDACTED, text)
    text = _URL_PASSWORD.sub(rf"\1{REDACTED}@", text)
    text = _without_named_values(text)
    return _BARE_SCHEME.sub(rf"\1{REDACTED}", text)


def _without_named_values(text: str) -> str:
    """Take out what stands after a secret's name, in whatever notation."""
    kept: list[str] = []
    done = 0
    for found in _NAME.finditer(text):
        if found.start() < done or not is_secret_name(found["name"]):
            continue
        value = _value_after(found, text)
        if value is None or not value["value"] or _tells_a_fact(found, value):
            continue
        kept.extend((text[done : value.start("value")], _scheme_of(value["value"]), REDACTED))
        done = value.end("value")
    return "".join((*kept, text[done:]))


def _value_after(name: re.Match[str], text: str) -> re.Match[str] | None:
    start = name.end()
    quoted = _QUOTED.match(text, start)
    if quoted is not None or "\n" in name["sign"]:
        return quoted
    lower = name["name"].lower()
    if lower.endswith("authorization"):
        return _WITH_SCHEME.match(text, start) or _REST_OF_LINE.match(text, start)
    if lower.endswith("cookie") and ":" in name["sign"]:
        return _REST_OF_LINE.match(text, start)
    return _UNQUOTED.match(text, start)


def _scheme_of(value: str) -> str:
    """Which kind of authorization it was is no secret, and helps."""
    scheme = _SCHEME_START.match(value)
    return scheme[0] if scheme else ""


def _tells_a_fact(name: re.Match[str], value: re.Match[str]) -> bool:
    """`token=None`, `api_key: missing`: a word on the secret and not the secret."""
    word = value["value"].lower()
    if value["before"]:
        return False
    if word in _ABSENT:
        return True
    is_prose = name["sign"].strip() == ":" and name["sign"] != ":"
    is_password = not _PASSWORD_WORDS.isdisjoint(name["name"].lower().split("_"))
    looks_plain = word.isalpha() and len(word) <= 12 and word == value["value"]
    return is_prose and (word in _FACTS or (looks_plain and not is_password))
