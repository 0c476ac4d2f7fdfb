"""Reads the words of an error message; pure.

Messages quote what they were working on: titles, names, URLs. A track called "Timeout" or
"Rate Limit" is no evidence, nor is the 404 in "track 404". See `levelling.py` for leaving
out what varies.
"""

from __future__ import annotations

import re
from http import HTTPStatus

MAX_CHARS = 1500

_ITEM = r"(?:track|artist|title|album|song|name|query|item|label|release|recording|playlist|file)"
_NAMED_THING = (
    r"(?:arg|argument|attribute|by|column|constraint|database|exchange|field|float|for|host|index|key"
    r"|called|keyword|module|named|of|parameter|queue|relation|role|schema|table|user|value|base 10"
    r"|about|after|before|from|in|on|to|while|(?:analys|enrich|fetch|import|load|match|process"
    r"|search|skipp?|sync|updat)(?:e|ed|ing)?)"
)
_URL = re.compile(r"\b\w{2,12}://[^\s'\"<>]+|\burl: /\S+")
_UUID = re.compile(r"\b[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}\b", re.IGNORECASE)
_COMMAND = re.compile(r"\bcommand '[^\n]{1,400}?'(?= (?:returned|died|timed))", re.IGNORECASE)
_QUOTED = re.compile(
    r"(?<!\w)(?:\"[^\"\n]{1,200}\"|'[^\n]{1,200}?'(?!\w)|[“‘«][^\n”’»]{1,200}[”’»])"
)
_THING_BEFORE = re.compile(
    rf"(?:^|[^A-Za-z])(?:{_ITEM}s?(?:_\w{{1,20}})?|{_NAMED_THING})[\"']?\s?[:=]?\s?$",
    re.IGNORECASE,
)
_MAX_THING_CHARS = 36
_ASSIGNED = re.compile(
    rf"(?<![A-Za-z]){_ITEM}(?:_\w{{1,20}})?\s?[:=]\s?[^,;)\n\"']{{1,100}}", re.IGNORECASE
)
_MAY_QUOTE = re.compile(r"[\"'“‘«]")
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]*[a-z0-9]+|[A-Z]+")
"""`SSLError` is two words, `x509` and `ECONNRESET` are one."""


def words_of(text: str) -> str:
    """Lower-case words with one space around each, less what the message quotes."""
    if len(text) > MAX_CHARS:
        half = MAX_CHARS // 2
        text = f"{text[:half]} {text[-half:]}"
    return f" {' '.join(_WORD.findall(_without_values(text)))} ".lower()


def _without_values(text: str) -> str:
    """Less statements, URLs, commands, and what stands quoted or assigned after a thing."""
    text = text.partition("[SQL:")[0]
    if ":" in text:
        text = _URL.sub(" ", text)
    if text.count("-") > 3:  # in words a UUID would be a handful
        text = _UUID.sub(" ", text)
    if _MAY_QUOTE.search(text):
        text = _QUOTED.sub(_unless_value, _COMMAND.sub(" ", text))
    if ":" in text or "=" in text:
        text = _ASSIGNED.sub(" ", text)
    return text


def _unless_value(quoted: re.Match[str]) -> str:
    start = quoted.start()
    before = quoted.string[max(0, start - _MAX_THING_CHARS) : start]
    return " " if _THING_BEFORE.search(before) else quoted[0]


# --- an HTTP status in words -------------------------------------------------------------

_LEAD_CHARS = 28
"""How much of what stands before a number is looked at."""

_NUMBER = re.compile(r"(?<![\w.,])([45]\d\d)(?![\w]|[.,]\d)")
_SURE_LEAD = re.compile(r"(?:\bhttp(?:/[\d.]+)?|\bstatus(?:[ _-]?code)?|http[ _-]?code)\W{1,4}$")
_LEAD = re.compile(
    r"\b(?:error|code|returned|responded(?: with)?|answered(?: with)?|response|got(?: an?)?"
    r"|received|failed with|too many)\W{1,4}$"
)
_BEGINNING = re.compile(
    r"\W{0,2}(?:(?:[a-z][a-z.]{1,20}:? ){1,2}\(|(?:[a-z][a-z.]{1,20} ?){1,2}: "
    r"|(?:spotify|musicbrainz|last\.?fm|discogs|deezer|genius|soundcloud|youtube|acoustid|beatport"
    r"|tidal|service|provider|server|api|gateway) )?$"
)
_AFTER_BEGINNING = re.compile(r"\)|:| [-–—] ")
"""An application's own `429: slow down`, `Genius: 401 - …`, `refused (403)`; but `step 500: …`."""

_NO_STATUS_LEAD = re.compile(r"exception\W{0,4}(?:code\W{1,4})?$")
"""Deezer's codes: `ParameterException 500`."""

_TYPED_EXCEPTION = re.compile(r"\"type\"\s*:\s*\"\w{1,60}exception\"")
_ITEM_LEAD = re.compile(rf"\b(?:{_ITEM}|id|row|line|page|port|attempt|number)\W{{0,3}}$")
_AFTER_LEAD = re.compile(r"\W*$|\s*[.,;:)\]}\"'-]|\s+(?:for|from|on|when|while|error|response)\b")
_UNIT = re.compile(r"\s*(?:ms|s|sec\w*|min\w*|[kmg]?b|bytes?|items?|tracks?|rows?|times|of|/|%)\b")
_RETRIED = re.compile(r"\btoo many ([45]\d\d) error responses\b")


def retried_status(text: str) -> int | None:
    """The status that urllib3 gave up at; what wraps it may make up another (spotipy: 429)."""
    found = _RETRIED.search(text[:MAX_CHARS])
    return int(found[1]) if found else None


def status_in_words(text: str) -> int | None:
    """A 4xx or 5xx that `text` gives as an HTTP status, by what stands around the number."""
    lower = text[:MAX_CHARS].lower()
    if '"type"' in lower and _TYPED_EXCEPTION.search(lower):  # Deezer: the code is its own
        return None
    for number in _NUMBER.finditer(lower):
        before = lower[max(0, number.start() - _LEAD_CHARS) : number.start()]
        after = lower[number.end() : number.end() + 40]
        if _is_status(int(number[1]), before, after):
            return int(number[1])
    return None


def _is_status(number: int, before: str, after: str) -> bool:
    if _UNIT.match(after) or _ITEM_LEAD.search(before) or _NO_STATUS_LEAD.search(before):
        return False
    if _SURE_LEAD.search(before) or after.lstrip(" :-").startswith(_reasons(number)):
        return True
    if _LEAD.search(before) and _AFTER_LEAD.match(after):
        return True
    return bool(
        len(before) < _LEAD_CHARS  # else it is not where the text begins
        and reason_phrase(number)
        and _AFTER_BEGINNING.match(after)
        and _BEGINNING.match(before)
    )


def _reasons(status: int) -> tuple[str, ...]:
    return reason_phrase(status).lower() or "\0", "client error", "server error"


def reason_phrase(status: int) -> str:
    """As in `429 Too Many Requests`; empty for a status that nobody has defined."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
