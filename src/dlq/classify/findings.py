"""Weighs the evidence of one failure and finds its category; pure.

Each exception is looked at by itself, hardest evidence first: the class where it decides
alone, codes, HTTP status, then class and words. Then the chain is weighed: the cause beats
the exception raised from it, unless it tells less; an exception raised while another was
handled stands for itself, unless it tells less. The tables are in `rules.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dlq.classify import rules
from dlq.classify.evidence import Evidence
from dlq.classify.rules import CATEGORIES, Category
from dlq.classify.tracebacks import Link
from dlq.classify.wording import first_phrase, status_in_words

CAUGHT_BUG, HINT, TELLING, DECISIVE = range(4)
"""How much a finding weighs. A bug that somebody caught and renamed was foreseen."""

_BROKER_DEATH = re.compile(r"dead-lettered it from queue '[^']*': (\w+)")
_LASTFM_CODE = re.compile(r"\berror(?:[ _-]?code)?[\"']?\W{0,4}(\d{1,2})\b(?! ?(?:of|tracks?)\b)")
_CLASS_TABLES = (
    (rules.DECISIVE_CLASSES, DECISIVE),
    (rules.TELLING_CLASSES, TELLING),
    (rules.HINTING_CLASSES, HINT),
)
_CLASS_NAME_PATTERNS = tuple((c, re.compile(p)) for c, p in rules.CLASS_NAME_PATTERNS)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one exception, or a whole chain, was found to be, and by which rule."""

    category: Category
    weight: int
    rule: str
    evidence: Evidence
    http_status: int | None = None

    @property
    def rank(self) -> tuple[int, int]:
        """Larger is better: weight first, then the earlier category."""
        return self.weight, -CATEGORIES.index(self.category)


def weigh(evidence: Evidence, provider: str) -> Finding | None:
    """The finding for an exception and all behind it; None if nothing supports any."""
    own = _best(_examine(evidence, provider), *(weigh(m, provider) for m in evidence.members))
    inner = weigh(evidence.inner, provider) if evidence.inner else None
    if own is None or inner is None:
        return own or inner
    weight = CAUGHT_BUG if inner.category is Category.BUG else inner.weight
    wins = weight >= own.weight if evidence.link is Link.CAUSE else weight > own.weight
    return inner if wins else own


def _best(*findings: Finding | None) -> Finding | None:
    return max((f for f in findings if f is not None), key=lambda f: f.rank, default=None)


def _examine(evidence: Evidence, provider: str) -> Finding | None:
    """The finding for one exception by itself."""
    by_class = _by_class(evidence)
    if by_class is not None and by_class.weight == DECISIVE:
        return by_class
    return (
        _by_code(evidence, provider)
        or _by_status(evidence)
        or _by_broker(evidence)
        or _best(by_class, _by_words(evidence))
    )


def _by_class(evidence: Evidence) -> Finding | None:
    for name in evidence.classes:
        last = name.rpartition(".")[2]
        for table, weight in _CLASS_TABLES:
            category = table.get(name) or table.get(last)
            if category is not None:
                return Finding(category, weight, f"class:{last}", evidence)
        for category, pattern in _CLASS_NAME_PATTERNS:
            if pattern.search(last):
                return Finding(category, TELLING, f"class:{last}", evidence)
    return None


def _by_code(evidence: Evidence, provider: str) -> Finding | None:
    kind, code = evidence.code or ("", "")
    if provider == "lastfm" and kind != "lastfm":
        # Last.fm's own number says more than the HTTP status it comes with.
        found = _LASTFM_CODE.search(f"{evidence.body}\n{evidence.text}".lower())
        kind, code = ("lastfm", found[1]) if found else (kind, code)
    category = _category_of_code(kind, code)
    if category is None:
        return None
    return Finding(category, DECISIVE, f"{kind}:{code}", evidence, evidence.status)


def _category_of_code(kind: str, code: str) -> Category | None:
    if kind == "errno":
        return rules.ERRNOS.get(code)
    if kind == "sqlstate":
        return rules.SQLSTATES.get(code) or rules.SQLSTATES.get(code[:2])
    if not (code.isascii() and code.isdigit()):
        return None
    table = rules.LASTFM_CODES if kind == "lastfm" else rules.AMQP_CODES
    return table.get(int(code))


def _by_status(evidence: Evidence) -> Finding | None:
    status, weight = evidence.status, DECISIVE
    if status is None:
        status, weight = status_in_words(evidence.text), TELLING
    if status is None:
        return None
    category, detail = _category_of_status(status, evidence)
    return Finding(category, weight, f"status:{status}{detail}", evidence, status)


def _category_of_status(status: int, evidence: Evidence) -> tuple[Category, str]:
    refined = rules.STATUSES_REFINED_BY_WORDS.get(status, ())
    phrase = first_phrase(f"{evidence.body} {evidence.text}") if refined else None
    if phrase is not None and phrase[0] in refined:
        return phrase[0], f"+{phrase[1]}"
    if evidence.is_quota_spent and refined:
        return Category.RATE_LIMIT, "+quota spent"
    other = Category.INVALID_DATA if status < 500 else Category.SERVER_ERROR
    return rules.STATUSES.get(status, other), ""


def _by_broker(evidence: Evidence) -> Finding | None:
    """What the decoding of the message itself wrote, see `message.py` and `deaths.py`."""
    if evidence.text.startswith("Malformed dead letter:"):
        return Finding(Category.MALFORMED, DECISIVE, "malformed", evidence)
    death = _BROKER_DEATH.search(evidence.text)
    if death is None:
        return None
    category = rules.BROKER_DEATHS.get(death[1], Category.UNKNOWN)
    return Finding(category, DECISIVE, f"broker:{death[1]}", evidence)


def _by_words(evidence: Evidence) -> Finding | None:
    phrase = first_phrase(f"{evidence.text} {evidence.body}")
    return phrase and Finding(phrase[0], TELLING, f"words:{phrase[1]}", evidence)
