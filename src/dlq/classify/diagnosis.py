"""Which provider failed, and what kind of failure it was; pure, never raises.

Evidence is collected from an exception or from the texts that are left of one
(`evidence.py`, `raised.py`, `tracebacks.py`), weighed (`findings.py`), and named. What no evidence
supports is `unknown`: an operator is helped more by that than by a guess.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

from dlq.classify.evidence import Evidence, read_sections, read_text
from dlq.classify.findings import Finding, weigh
from dlq.classify.providers import GENERAL, provider_of_class, provider_of_url, provider_of_words
from dlq.classify.raised import read_exception
from dlq.classify.reasons import explain_rule, reason_of
from dlq.classify.rules import Category
from dlq.classify.ruleset import current_rules
from dlq.classify.told import classes_in_words
from dlq.classify.tracebacks import parse_traceback

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a failure is, as far as the evidence goes.

    `error_class` is the qualified class of the exception raised last. `rule` names what
    decided: `status:429`, `errno:ECONNREFUSED`, `class:KeyError`, `lastfm:10`,
    `words:connection refused`, `own:<name>`, `none`; `explain` puts it in words. `reason` is
    one line for people, without ids, of at most 120 characters.
    """

    error_type: str
    category: Category
    error_class: str | None
    http_status: int | None
    retry_after_s: float | None
    transient: bool
    rule: str
    reason: str = ""


def diagnose(error: BaseException, *, error_type: str | None = None, hints: str = "") -> Diagnosis:
    """Tell what `error` is.

    Args:
        error: any exception, in whatever state.
        error_type: the provider if the caller knows it; it wins.
        hints: free text that may name the provider, asked last.
    """
    try:
        return _diagnosis(read_exception(error), error_type, hints)
    except Exception as problem:  # noqa: BLE001 - an exception object can be broken in any way
        name = type(error).__name__
        logger.warning("Could not read a %s: %s", name, type(problem).__name__)
        return _diagnosis(Evidence(classes=(name,)), error_type, hints)


def diagnose_text(
    message: str,
    *,
    error_class: str | None = None,
    error_type: str | None = None,
    stack_trace: str | None = None,
    http_status: int | None = None,
) -> Diagnosis:
    """Tell the same from the texts of a failure that comes from another process."""
    foreign = ""
    traced = None
    if stack_trace:
        traced = read_sections(parse_traceback(stack_trace))
        if traced is None:  # not Python's; its first line and its causes may still tell
            foreign = stack_trace
    told = read_text(message or foreign, error_class=error_class, status=http_status)
    if foreign:
        told = replace(told, named=(*classes_in_words(foreign), *told.named))
    if traced is not None:
        # Both speak of the exception raised last; the traceback knows what is behind it.
        told = replace(
            told if message else replace(traced, status=told.status),
            classes=told.classes or traced.classes,
            frames=traced.frames,
            inner=traced.inner,
            link=traced.link,
            members=traced.members,
        )
    return _diagnosis(told, error_type, "")


def explain(diagnosis: Diagnosis) -> str:
    """One line: what was decided, by which rule, and what it means."""
    return f"{diagnosis.category} by {explain_rule(diagnosis.rule)}: {diagnosis.reason}"


def _diagnosis(evidence: Evidence, error_type: str | None, hints: str) -> Diagnosis:
    rules = current_rules()
    chain = evidence.all()
    provider = error_type or _provider(chain, hints)
    finding = weigh(evidence, provider, rules)
    category = finding.category if finding else Category.UNKNOWN
    own = finding.own if finding else None
    if own is not None and own.error_type is not None and error_type in (None, GENERAL):
        provider = own.error_type
    is_transient = category in rules.transient
    if own is not None and own.transient is not None:
        is_transient = own.transient
    return Diagnosis(
        error_type=provider,
        category=category,
        error_class=next(iter(evidence.classes), None),
        http_status=finding.http_status if finding else None,
        retry_after_s=(wait_s := _retry_after(finding, chain) if is_transient else None),
        transient=is_transient,
        rule=finding.rule if finding else "none",
        reason=reason_of(finding, evidence, provider, wait_s, rules),
    )


def _retry_after(finding: Finding | None, chain: list[Evidence]) -> float | None:
    deciders = [finding.evidence, *chain] if finding else chain
    return next((e.retry_after_s for e in deciders if e.retry_after_s is not None), None)


def _provider(chain: list[Evidence], hints: str) -> str:
    """By the hardest evidence there is: host, class, code path from the inside, words."""
    return (
        _first(provider_of_url(e.url) for e in chain if e.url)
        or _first(provider_of_class(e.classes) for e in chain)
        or provider_of_words(
            "\n".join(f"{f.module} {f.function}" for e in reversed(chain) for f in e.frames)
        )
        or _first(provider_of_words(f"{e.text} {e.body}") for e in chain)
        or provider_of_words(hints)
        or GENERAL
    )


def _first(candidates: Iterable[str | None]) -> str | None:
    return next((candidate for candidate in candidates if candidate), None)
