"""Reads the words of an error message, and levels what varies in them; pure.

Messages quote what they were working on: titles, names, URLs. A track called "Timeout" or
"Rate Limit" is no evidence, nor is the 404 in "track 404"; two messages that differ only
in such values are one message.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from dlq.classify.rules import WORDS, Category

MAX_CHARS = 1500
MAX_LEVELLED_CHARS = 300

_PHRASES = tuple(
    (category, phrase, f" {phrase}") for category, group in WORDS for phrase in group.split("|")
)

_ITEM = r"(?:track|artist|title|album|song|name|query|item|label|release|recording|playlist|file)"
_NAMED_THING = (
    r"(?:argument|attribute|by|column|constraint|database|exchange|field|float|for|host|index|key"
    r"|keyword|module|of|parameter|queue|relation|role|schema|table|user|value|base 10)"
)
_NOISE = re.compile(
    r"\[SQL:.*"  # a statement and its parameters, to the end
    r"|\b\w{2,12}://[^\s'\"<>]+"
    r"|\burl: /\S+"
    rf"|(?<![A-Za-z])(?P<thing>{_ITEM}s?(?:_\w{{1,20}})?|{_NAMED_THING})[\"']?\s?[:=]?\s?"
    r"(?:\"[^\"\n]{1,200}\"|'[^\n]{1,200}?'(?!\w)|[“‘«][^\n”’»]{1,200}[”’»])"
    rf"|(?<![A-Za-z]){_ITEM}(?:_\w{{1,20}})?\s?[:=]\s?[^,;)\n\"']{{1,100}}",
    re.IGNORECASE | re.DOTALL,
)
_MAY_HOLD_NOISE = re.compile(r"[:=\"'“‘«]")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NOT_WORD = re.compile(r"[^a-z0-9]+")


def words_of(text: str) -> str:
    """Lower-case words with one space around each, less what the message quotes."""
    if len(text) > MAX_CHARS:
        half = MAX_CHARS // 2
        text = f"{text[:half]} {text[-half:]}"
    if _MAY_HOLD_NOISE.search(text):
        text = _NOISE.sub(r"\g<thing> ", text)
    plain = _HUMP.sub(" ", text).lower()
    return f" {_NOT_WORD.sub(' ', plain)} "


def first_phrase(text: str) -> tuple[Category, str] | None:
    """The first entry of the word table that `text` holds, and its phrase."""
    words = words_of(text)
    for category, phrase, needle in _PHRASES:
        if needle in words:
            return category, phrase.strip()
    return None


# --- an HTTP status in words -------------------------------------------------------------

_NUMBER = re.compile(r"(?<![\w.,])([45]\d\d)(?![\w]|[.,]\d)")
_SURE_LEAD = re.compile(r"(?:\bhttp(?:/[\d.]+)?|\bstatus(?:[ _-]?code)?|http[ _-]?code)\W{1,4}$")
_LEAD = re.compile(
    r"\b(?:error|code|returned|responded(?: with)?|answered(?: with)?|response|got(?: an?)?"
    r"|received|failed with|too many)\W{1,4}$"
)
_ITEM_LEAD = re.compile(rf"\b(?:{_ITEM}|id|row|line|page|port|attempt|number)\W{{0,3}}$")
_AFTER_LEAD = re.compile(r"\W*$|\s*[.,;:)\]}\"'-]|\s+(?:for|from|on|when|while|error|response)\b")
_UNIT = re.compile(r"\s*(?:ms|s|sec\w*|min\w*|[kmg]?b|bytes?|items?|tracks?|rows?|times|of|/|%)\b")


def status_in_words(text: str) -> int | None:
    """A 4xx or 5xx that `text` gives as an HTTP status, by what stands around the number."""
    lower = text[:MAX_CHARS].lower()
    for number in _NUMBER.finditer(lower):
        before = lower[max(0, number.start() - 28) : number.start()]
        after = lower[number.end() : number.end() + 40]
        if _is_status(int(number[1]), before, after):
            return int(number[1])
    return None


def _is_status(number: int, before: str, after: str) -> bool:
    if _UNIT.match(after) or _ITEM_LEAD.search(before):
        return False
    if _SURE_LEAD.search(before) or after.lstrip(" :-").startswith(_reasons(number)):
        return True
    return bool(_LEAD.search(before) and _AFTER_LEAD.match(after))


def _reasons(status: int) -> tuple[str, ...]:
    return reason_phrase(status).lower() or "\0", "client error", "server error"


def reason_phrase(status: int) -> str:
    """As in `429 Too Many Requests`; empty for a status that nobody has defined."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


# --- levelling ---------------------------------------------------------------------------

_TLD = "(?:com|org|net|fm|io|dev|local|internal|lan|cloud|app)"
_LEVELLED = tuple(
    (re.compile(pattern), placeholder)
    for pattern, placeholder in (
        (r"\[SQL:[^\n]*|\[parameters:[^\n]*", ""),
        (r"input_value=.{0,300}?, input_type", "input_value=<value>, input_type"),
        (r"\b\w{2,12}://[^\s'\"<>]+", "<url>"),
        (r"(?i)\burl: /\S+", "url: <url>"),
        (r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}", "<email>"),
        (r"(?<!\w)\"[^\"\n]{0,300}\"(?!\w)|(?<!\w)'[^\n]{0,300}?'(?!\w)", "<value>"),
        (r"[“‘«][^\n”’»]{0,300}[”’»]|(?<!\w)`[^`\n]{0,300}`", "<value>"),
        (rf"(?i)\b({_ITEM}(?:_\w{{1,20}})?\s?[:=]\s?)[^,;:()\n<]{{1,100}}", r"\1<value>"),
        (r"\b((?i:for|of)) [^\n:;(]{1,80}? - [^\n:;(]{1,80}(?:\([^)\n]{0,60}\))?", r"\1 <value>"),
        (r"(?i)\b[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\b", "<id>"),
        (
            r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?",
            "<time>",
        ),
        (r"\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b", "<time>"),
        (r"\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b|\[[0-9a-fA-F:.]{2,45}\](?::\d+)?", "<host>"),
        (rf"\b(?:[a-zA-Z0-9_-]{{1,63}}\.){{1,6}}{_TLD}\b(?::\d+)?", "<host>"),
        (r"\blocalhost(?::\d+)?", "<host>"),
        (r"(?<![\w/])(?:/[\w.+@~-]+){2,}/?|\b[A-Za-z]:\\[^\s'\"]+", "<path>"),
        (r"\b0x[0-9a-fA-F]+\b|\b(?=[a-f]*\d)[0-9a-f]{8,}\b", "<id>"),
        (r"\b(?=[A-Za-z]{0,63}\d)(?=\d{0,63}[A-Za-z])[A-Za-z0-9]{6,64}\b", "<id>"),
        (r"\b\d+(?:\.\d+)? ?(?:ms|us|ns|s|sec|secs|seconds?|m|min|minutes?|h|hours?)\b", "<time>"),
        (r"\d+(?:[.,]\d+)*", "<n>"),
        (r"(<\w+>)(?:[\s,:=]{0,3}\1)+", r"\1"),
        (r"\s+", " "),
    )
)


def levelled(text: str) -> str:
    """`text` with placeholders for what varies from one item to the next."""
    text = text[:MAX_CHARS]
    for pattern, placeholder in _LEVELLED:
        text = pattern.sub(placeholder, text)
    return text.strip()[:MAX_LEVELLED_CHARS]
