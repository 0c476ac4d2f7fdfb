"""Weighs the evidence of one failure and finds its category; pure.

Each exception is looked at by itself, hardest evidence first: the class where it decides
alone, codes, HTTP status, then class and words. Then the chain is weighed: the cause beats
the exception raised from it, unless it tells less; an exception raised while another was
handled stands for itself, unless it tells less. The rules are data, see `ruleset.py`; an
installation's own come before all of this.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from dlq.classify.evidence import Evidence
from dlq.classify.own import OwnRule
from dlq.classify.rulefile import Weight
from dlq.classify.rules import CATEGORIES, Category
from dlq.classify.ruleset import Rules, last_name
from dlq.classify.tracebacks import Link
from dlq.classify.wording import retried_status, status_in_words, words_of

_BROKER_DEATH = re.compile(r"dead-lettered it from queue '[^']*': (\w{1,40})")
_LASTFM_CODE = re.compile(
    r"\berror(?:[ _-]?code)?[\"']?\W{0,4}(?<!-)(\d{1,2})\b(?! ?(?:of|tracks?)\b)"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one exception, or a whole chain, was found to be, and by which rule."""

    category: Category
    weight: Weight
    rule: str
    evidence: Evidence
    http_status: int | None = None
    own: OwnRule | None = None

    @property
    def rank(self) -> tuple[int, int]:
        """Larger is better: weight first, then the earlier category."""
        return self.weight, -CATEGORIES.index(self.category)


def weigh(evidence: Evidence, provider: str, rules: Rules) -> Finding | None:
    """The finding for an exception and all behind it; None if nothing supports any."""
    return _by_own_rules(evidence, provider, rules) or _Scales(provider, rules).weigh(evidence)


def _by_own_rules(evidence: Evidence, provider: str, rules: Rules) -> Finding | None:
    chain = evidence.all() if rules.own else ()
    for rule in rules.own:
        for one in chain:
            if rule.fits(one, provider):
                name = f"own:{rule.name}"
                return Finding(rule.category, Weight.DECISIVE, name, one, one.status, rule)
    return None


def _best(*findings: Finding | None) -> Finding | None:
    return max((f for f in findings if f is not None), key=lambda f: f.rank, default=None)


def _is_of_proxy(by_class: Finding | None, text: str) -> bool:
    return "Tunnel connection failed" in text or bool(
        by_class and by_class.category is Category.NETWORK and "Proxy" in by_class.rule
    )


@dataclass(frozen=True, slots=True)
class _Scales:
    """The shipped rules, for one failure of one provider."""

    provider: str
    rules: Rules

    def weigh(self, evidence: Evidence) -> Finding | None:
        own = _best(self._examine(evidence), *(self.weigh(m) for m in evidence.members))
        inner = self.weigh(evidence.inner) if evidence.inner else None
        if own is None or inner is None:
            return own or inner
        if own.category is Category.RATE_LIMIT and own.rule.startswith("class:"):
            return own  # somebody knew, whatever status it came with
        weight = Weight.CAUGHT_BUG if inner.category is Category.BUG else inner.weight
        wins = weight >= own.weight if evidence.link is Link.CAUSE else weight > own.weight
        return inner if wins else own

    def _examine(self, evidence: Evidence) -> Finding | None:
        """The finding for one exception by itself."""
        by_class = self._by_classes(evidence.classes, evidence)
        if by_class is not None and by_class.weight is Weight.DECISIVE:
            return self._refined(by_class)
        return (
            self._by_code(evidence)
            or self._by_status(evidence, is_proxy=_is_of_proxy(by_class, evidence.text))
            or self._by_broker(evidence)
            or _best(by_class, self._by_named(evidence), self._by_words(evidence))
        )

    def _by_classes(self, names: tuple[str, ...], evidence: Evidence) -> Finding | None:
        """By the most derived class that any rule knows."""
        for name in names:
            if found := self.rules.of_class(name):
                return Finding(*found, f"class:{last_name(name)}", evidence)
        for name in names[:1]:
            if category := self.rules.of_module(name):
                return Finding(category, Weight.HINT, f"class:{last_name(name)}", evidence)
        return None

    def _by_named(self, evidence: Evidence) -> Finding | None:
        """A class in words: it may be another language's, and have another meaning there."""
        found = _best(*(self._by_classes((name,), evidence) for name in evidence.named))
        return found and replace(found, weight=min(found.weight, Weight.SURE))

    def _by_code(self, evidence: Evidence) -> Finding | None:
        kind, code = evidence.code or ("", "")
        if self.provider == "lastfm" and not kind:
            # Last.fm's own number says more than the HTTP status it comes with.
            found = _LASTFM_CODE.search(f"{evidence.body}\n{evidence.text}".lower())
            kind, code = ("lastfm", found[1]) if found else ("", "")
        if kind == "aws":
            return self._by_classes((code,), evidence)
        category = self.rules.of_code(kind, code)
        if category is None:
            return None
        rule = f"{kind}:{code}"
        return self._refined(Finding(category, Weight.DECISIVE, rule, evidence, evidence.status))

    def _refined(self, found: Finding) -> Finding:
        """A few classes and codes are refined by the words that they come with."""
        refined = self.rules.rule_refinements.get(found.rule)
        if refined is None:
            return found
        phrase = self.rules.phrases.first_in(words_of(found.evidence.text), refined)
        if phrase is None:
            return found
        return replace(found, category=phrase.category, rule=f"{found.rule}+{phrase.name}")

    def _by_status(self, evidence: Evidence, *, is_proxy: bool) -> Finding | None:
        status, weight = retried_status(evidence.text) or evidence.status, Weight.DECISIVE
        if status is None:
            status, weight = status_in_words(evidence.text), Weight.TELLING
        if status is None:
            return None
        category, detail = self._of_status(status, evidence)
        if is_proxy and category is not Category.AUTH:
            return None  # the status is of the proxy, the service was never asked
        return Finding(category, weight, f"status:{status}{detail}", evidence, status)

    def _of_status(self, status: int, evidence: Evidence) -> tuple[Category, str]:
        """A few statuses are refined by the words of the answer, or by its headers."""
        refined = self.rules.refinements.get(status)
        if refined:
            words = words_of(f"{evidence.body} {evidence.text}")
            phrase = self.rules.phrases.first_in(words, refined)
            if phrase is not None and phrase.category is not self.rules.of_status(status):
                return phrase.category, f"+{phrase.name}"
        if evidence.is_quota_spent and status in self.rules.quota_statuses:
            return Category.RATE_LIMIT, "+quota spent"
        return self.rules.of_status(status), ""

    def _by_broker(self, evidence: Evidence) -> Finding | None:
        """What the decoding of the message itself wrote, see `message.py` and `deaths.py`."""
        if evidence.text.startswith("Malformed dead letter:"):
            return Finding(Category.MALFORMED, Weight.DECISIVE, "malformed", evidence)
        death = _BROKER_DEATH.search(evidence.text)
        if death is None:
            return None
        category = self.rules.of_code("broker", death[1]) or Category.UNKNOWN
        return Finding(category, Weight.DECISIVE, f"broker:{death[1]}", evidence)

    def _by_words(self, evidence: Evidence) -> Finding | None:
        phrase = self.rules.phrases.first_in(words_of(f"{evidence.text} {evidence.body}"))
        if phrase is None:
            return None
        weight = Weight.SURE if phrase.is_sure else Weight.TELLING
        return Finding(phrase.category, weight, f"words:{phrase.name}", evidence)
