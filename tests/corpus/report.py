"""How well the results fit their labels: accuracy, precision, recall, agreement of groups."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sklearn.metrics import (
    adjusted_rand_score,
    completeness_score,
    homogeneity_score,
)

from dlq.classify import CATEGORIES
from tests.corpus.running import Result

_MESSAGE_CHARS = 150


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of one part. Shares are from 0 to 1."""

    part: str
    results: Sequence[Result]

    @property
    def causes(self) -> int:
        return len({result.cause for result in self.results})

    @property
    def accuracy(self) -> float:
        return _share(self.results, [r for r in self.results if r.category is r.expected])

    @property
    def accuracy_of_text(self) -> float:
        return _share(self.results, [r for r in self.results if r.category_of_text is r.expected])

    @property
    def rand_index(self) -> float:
        """Adjusted Rand index of the fingerprints against the causes; 1 is perfect."""
        return float(adjusted_rand_score(self._causes(), self._groups()))

    def lines(self, *, text: bool = False) -> Iterator[str]:
        """The report in words; `text` adds what is wrong from text alone."""
        yield f"== {self.part}: {self.causes} causes, {len(self.results)} cases"
        yield (
            f"category   accuracy {self.accuracy:.4f}  "
            f"(from text alone {self.accuracy_of_text:.4f})"
        )
        yield (
            f"grouping   adjusted Rand index {self.rand_index:.4f}  homogeneity "
            f"{homogeneity_score(self._causes(), self._groups()):.4f}  completeness "
            f"{completeness_score(self._causes(), self._groups()):.4f}"
        )
        yield from self._table()
        yield from self._wrong()
        if text:
            yield from self._wrong_of_text()
        yield from self._split()
        yield from self._merged()

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def _table(self) -> Iterator[str]:
        yield "category      causes  cases  precision  recall  recall from text"
        for category in CATEGORIES:
            labelled = [r for r in self.results if r.expected == category]
            named = [r for r in self.results if r.category == category]
            if not labelled and not named:
                continue
            right = [r for r in labelled if r.category == category]
            of_text = [r for r in labelled if r.category_of_text == category]
            yield (
                f"{category:<13} {len({r.cause for r in labelled}):>6} {len(labelled):>6}"
                f"  {_share(named, right):>9.3f}  {_share(labelled, right):>6.3f}"
                f"  {_share(labelled, of_text):>16.3f}"
            )

    def _wrong(self) -> Iterator[str]:
        wrong = [r for r in self.results if r.category is not r.expected]
        yield f"-- wrong category: {len(wrong)} cases"
        for r in wrong:
            yield f"{r.case}: expected {r.expected}, got {r.category} by {r.rule}"
            yield f"    {r.error_class}: {_short(r.message)}"

    def _wrong_of_text(self) -> Iterator[str]:
        wrong = [r for r in self.results if r.category_of_text is not r.expected]
        yield f"-- wrong category from text alone: {len(wrong)} cases"
        for r in wrong:
            yield f"{r.case}: expected {r.expected}, got {r.category_of_text} by {r.rule_of_text}"
            yield f"    {_short(r.message)}"

    def _split(self) -> Iterator[str]:
        groups: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
        for r in self.results:
            groups[r.cause][r.fingerprint, r.title] += 1
        split = {
            cause: titles
            for cause, titles in groups.items()
            if len({fingerprint for fingerprint, _ in titles}) > 1
        }
        yield f"-- split causes: {len(split)}"
        for cause, titles in split.items():
            yield cause
            for (fingerprint, title), count in titles.items():
                yield f"    {fingerprint} {count}x {title}"

    def _merged(self) -> Iterator[str]:
        causes: dict[str, Counter[str]] = defaultdict(Counter)
        titles = {}
        for r in self.results:
            causes[r.fingerprint][r.cause] += 1
            titles[r.fingerprint] = r.title
        merged = {fingerprint: held for fingerprint, held in causes.items() if len(held) > 1}
        yield f"-- merged causes: {len(merged)} groups"
        for fingerprint, held in merged.items():
            yield f"{fingerprint} {titles[fingerprint]}"
            yield "    " + ", ".join(f"{cause} {count}x" for cause, count in held.items())

    def _causes(self) -> list[str]:
        return [result.cause for result in self.results]

    def _groups(self) -> list[str]:
        return [result.fingerprint for result in self.results]


def _share(whole: Sequence[Result], part: Sequence[Result]) -> float:
    return len(part) / len(whole) if whole else 1.0


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MESSAGE_CHARS else f"{line[:_MESSAGE_CHARS]}…"
