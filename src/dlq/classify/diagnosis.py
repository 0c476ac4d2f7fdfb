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
from dlq.classify.findings import weigh
from dlq.classify.providers import GENERAL, provider_of_class, provider_of_url, provider_of_words
from dlq.classify.raised import read_exception
from dlq.classify.rules import TRANSIENT, Category
from dlq.classify.tracebacks import parse_traceback

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a failure is, as far as the evidence goes.

    `error_class` is the qualified class of the exception raised last. `rule` names what
    decided: `status:429`, `errno:ECONNREFUSED`, `class:KeyError`, `lastfm:10`,
    `words:connection refused`, `none`.
    """

    error_type: str
    category: Category
    error_class: str | None
    http_status: int | None
    retry_after_s: float | None
    transient: bool
    rule: str


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
    told = read_text(message, error_class=error_class, status=http_status)
    traced = read_sections(parse_traceback(stack_trace)) if stack_trace else None
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


def _diagnosis(evidence: Evidence, error_type: str | None, hints: str) -> Diagnosis:
    chain = evidence.all()
    provider = error_type or _provider(chain, hints)
    finding = weigh(evidence, provider)
    category = finding.category if finding else Category.UNKNOWN
    deciders = [finding.evidence, *chain] if finding else chain
    is_transient = category in TRANSIENT
    return Diagnosis(
        error_type=provider,
        category=category,
        error_class=next(iter(evidence.classes), None),
        http_status=finding.http_status if finding else None,
        retry_after_s=_retry_after(deciders) if is_transient else None,
        transient=is_transient,
        rule=finding.rule if finding else "none",
    )


def _retry_after(chain: list[Evidence]) -> float | None:
    return next((e.retry_after_s for e in chain if e.retry_after_s is not None), None)


def _provider(chain: list[Evidence], hints: str) -> str:
    """By the hardest evidence there is: host, class, code path from the inside, words."""
    return (
        _first(provider_of_url(e.url) for e in chain if e.url)
        or _first(provider_of_class(e.classes) for e in chain)
        or _first(
            provider_of_words(f"{frame.module} {frame.function}")
            for e in reversed(chain)
            for frame in e.frames
        )
        or _first(provider_of_words(f"{e.text} {e.body}") for e in chain)
        or provider_of_words(hints)
        or GENERAL
    )


def _first(candidates: Iterable[str | None]) -> str | None:
    return next((candidate for candidate in candidates if candidate), None)
