"""Puts a finding into one line that people read, and says which rule it was; pure.

The sentences are data (`rules.toml`). What is added from the failure itself goes without
ids, titles and hosts, so that the line is the same for all failures of one cause.
"""

from __future__ import annotations

import re
import unicodedata

from dlq.classify.evidence import Evidence
from dlq.classify.findings import Finding
from dlq.classify.providers import display_name
from dlq.classify.rules import Category
from dlq.classify.ruleset import Rules, last_name

MAX_REASON_CHARS = 120
MAX_DETAIL_CHARS = 60
MAX_MESSAGE_CHARS = 160

_QUOTED = re.compile(r"\"[^\"\n]*\"|(?<!\w)'[^'\n]*'|[“‘«][^\n”’»]*[”’»]")
_DIGIT = re.compile(r"\d")
_HOST = re.compile(r"(?:[\w-]{1,63}\.){1,6}(?:com|org|net|fm|io|local|internal)$")
_REMOTE_MESSAGES = tuple(
    re.compile(pattern)
    for pattern in (
        r"\"(?:message|error_description|detail)\"\s*:\s*\"([^\"\n]{3,200})\"",
        r"\"(?:error|title)\"\s*:\s*\"([^\"\n]{3,200})\"",
        r"<(?:error|message|Message)\b[^>]{0,80}>([^<\n]{3,200})<",
        r"\n ?([^\n]{3,200}?), reason: ",  # spotipy
    )
)
"""Where an answer says what was wrong, the fullest first."""

_ERRNO = re.compile(r"^\[Errno [^\]]{1,6}\] ?")
_WORD = re.compile(r"[^\W\d_]{3}")

_RULE_KINDS = {
    "status": "the HTTP status {}",
    "class": "the class {}",
    "errno": "the system's error {}",
    "sqlstate": "the database's code {}",
    "sqlite": "SQLite's code {}",
    "mysql": "MySQL's code {}",
    "amqp": "the broker's reply code {}",
    "grpc": "the gRPC status {}",
    "lastfm": "Last.fm's error {}",
    "broker": "the broker's reason {}",
    "words": "the words “{}”",
    "own": "the installation's own rule {}",
    "malformed": "a message that cannot be read",
    "none": "no rule",
}


def reason_of(
    finding: Finding | None, evidence: Evidence, provider: str, wait_s: float | None, rules: Rules
) -> str:
    """One printable line of at most 120 characters. `evidence` is the exception raised last."""
    category = finding.category if finding else Category.UNKNOWN
    decider = finding.evidence if finding else evidence
    sentence, is_special = _sentence(finding, category, rules)
    name = display_name(provider)
    service = name or ("The service" if sentence.startswith("{service}") else "the service")
    line = sentence.replace("{service}", service)
    if category is Category.BUG and not is_special:
        line += _of_program(decider)
    elif finding is not None and finding.http_status is not None:
        line += _of_answer(finding.http_status, decider)
    elif not is_special and category is not Category.MALFORMED:
        line += _in_brackets(_said(decider) or _plain(decider.text or evidence.text))
    if wait_s is not None:
        line = f"{line[: MAX_REASON_CHARS - 22]}, try again in {wait_s:.0f} s"
    return _one_line(line, MAX_REASON_CHARS)


def explain_rule(rule: str) -> str:
    """What the name of a rule stands for, as in "the HTTP status 429"."""
    kind, _, what = rule.partition(":")
    base, plus, words = what.partition("+")
    told = _RULE_KINDS.get(kind, "{}").format(base)
    return _one_line(f"{told} with “{words}”" if plus else told, 200)


def _sentence(finding: Finding | None, category: Category, rules: Rules) -> tuple[str, bool]:
    """The sentence for the rule, else that for its category; whether it was the first."""
    if finding is None:
        return rules.category_reasons[category], False
    if finding.own is not None and finding.own.reason:
        return finding.own.reason, True
    special = rules.sentence_for(finding.rule)
    return special or rules.category_reasons[category], special is not None


def _of_program(evidence: Evidence) -> str:
    """`: KeyError in enrich_track`; without a class what the message says."""
    if not evidence.classes:
        return _in_brackets(_plain(evidence.text))
    where = next((frame.function for frame in evidence.frames if frame.is_in_app), "")
    place = f" in {where[:40]}" if where and where != "<module>" else ""
    return f": {last_name(evidence.classes[0])}{place}"


def _of_answer(status: int, evidence: Evidence) -> str:
    """`(HTTP 401: The access token expired)`."""
    said = _said(evidence)
    return f" (HTTP {status}: {said})" if said else f" (HTTP {status})"


def _said(evidence: Evidence) -> str:
    """What the other side wrote in its answer."""
    if evidence.code is not None and evidence.code[0] == "aws":
        return _one_line(evidence.code[1], MAX_DETAIL_CHARS)
    for text in (evidence.body, evidence.text):
        if '"' in text or "<" in text or ", reason: " in text:
            found = next((f for p in _REMOTE_MESSAGES if (f := p.search(text))), None)
            if found is not None:
                return _plain(found[1])
    return ""


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""


def _plain(text: str) -> str:
    """The start of a message, with dots for what varies from one failure to the next.

    Plainer than `levelled`, which is for the identity of a cause.
    """
    text = _QUOTED.sub("…", _ERRNO.sub("", text[:MAX_MESSAGE_CHARS]))
    if not _WORD.search(text):
        return ""
    line = " ".join(word if word.isalpha() else _less_values(word) for word in text.split())
    return _one_line(line, MAX_DETAIL_CHARS).strip(" .:,;")


def _less_values(word: str) -> str:
    """Dots for a number, an id, a URL, a path or a host, and what follows it."""
    core = word.rstrip(").,:;]")
    varies = _DIGIT.search(core) or core.count("/") > 1 or _HOST.search(core)
    return f"…{word[len(core) :]}" if varies else word


def _one_line(text: str, max_chars: int) -> str:
    if not text.isprintable():
        text = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    text = " ".join(text.split())
    return text if len(text) <= max_chars else f"{text[: max_chars - 1].rstrip()}…"
