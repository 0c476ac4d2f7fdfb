"""Rules that an installation adds in a file of its own; they come before the shipped ones.

A file holds `[[rule]]` entries, see `docs/classification.md`. Each has a name; what it asks for
(`provider`, `class`, `status`, `code`, `words`, `regex`) must hold together for one exception
of a chain. A regular expression is kept to a size and form, and asked of so little text, that
no failure's text can stall whoever classifies it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dlq.classify.evidence import Evidence
from dlq.classify.rulefile import RuleFile
from dlq.classify.rules import Category
from dlq.classify.wording import words_of
from dlq.errors import SettingsError

T = TypeVar("T")

MAX_RULES = 500
MAX_REGEX_CHARS = 200
MAX_REGEX_TEXT_CHARS = 500
MAX_REPETITIONS = 2

_CONDITIONS = ("provider", "class", "status", "code", "words", "regex")
_OTHERS = ("name", "category", "reason", "transient", "error_type")
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}")
_ERROR_TYPE = re.compile(r"[a-z0-9][a-z0-9_]{0,62}")
_ESCAPED_OR_SET = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]")
_REPETITION = re.compile(r"[*+?]|\{\d*,?\d*\}")


@dataclass(frozen=True, slots=True)
class OwnRule:
    """One rule: what must hold, and what the failure then is. Empty conditions hold."""

    name: str
    category: Category
    providers: frozenset[str] = frozenset()
    classes: frozenset[str] = frozenset()  # last or qualified names, of a class or its parents
    statuses: frozenset[int] = frozenset()
    codes: frozenset[str] = frozenset()  # as `errno:ECONNREFUSED`
    words: tuple[str, ...] = ()  # any of them
    regex: re.Pattern[str] | None = None
    reason: str = ""
    transient: bool | None = None
    error_type: str | None = None

    def fits(self, evidence: Evidence, provider: str) -> bool:
        return (
            (not self.providers or provider in self.providers)
            and (not self.statuses or evidence.status in self.statuses)
            and (not self.classes or self._fits_class(evidence))
            and (not self.codes or ":".join(evidence.code or ()) in self.codes)
            and (not self.words or self._fits_words(evidence))
            and (self.regex is None or self._fits_regex(self.regex, evidence))
        )

    def _fits_class(self, evidence: Evidence) -> bool:
        return any(
            name in self.classes or name.rpartition(".")[2] in self.classes
            for name in (*evidence.classes, *evidence.named)
        )

    def _fits_words(self, evidence: Evidence) -> bool:
        words = words_of(f"{evidence.text} {evidence.body}")
        return any(f" {phrase}" in words for phrase in self.words)

    @staticmethod
    def _fits_regex(regex: re.Pattern[str], evidence: Evidence) -> bool:
        return any(
            regex.search(text[:MAX_REGEX_TEXT_CHARS]) for text in (evidence.text, evidence.body)
        )


def own_rules_of(path: Path) -> tuple[OwnRule, ...]:
    """The rules in the file at `path`, in its order; SettingsError if one cannot be used."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path}: expected a readable UTF-8 file of [[rule]] entries, got {error}; "
            "mend DLQ_RULES_FILE or leave it empty"
        ) from error
    file = RuleFile.of(str(path), text)
    if strange := sorted(set(file.tables) - {"rule"}):
        raise file.refuse("top level", "[[rule]] entries only", strange[0])
    rules = [_rule(file, where, entry) for where, entry in file.entries("rule")]
    if len(rules) > MAX_RULES:
        raise file.refuse("[[rule]]", f"at most {MAX_RULES} rules", len(rules))
    names = [rule.name for rule in rules]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise file.refuse(f"rule '{twice}'", "a name that no other rule has", twice)
    return tuple(rules)


def _rule(file: RuleFile, where: str, entry: Mapping[str, Any]) -> OwnRule:
    name = _matching(file, f"{where} name", entry.get("name"), _NAME)
    where = f"rule '{name}'"
    if strange := sorted(set(entry) - {*_CONDITIONS, *_OTHERS}):
        raise file.refuse(where, f"only {', '.join((*_OTHERS, *_CONDITIONS))}", strange[0])
    if not any(entry.get(condition) for condition in _CONDITIONS):
        raise file.refuse(where, f"at least one of {', '.join(_CONDITIONS)}", "none")
    transient, error_type = entry.get("transient"), entry.get("error_type")
    return OwnRule(
        name=name,
        category=file.category(f"{where} category", entry.get("category")),
        providers=frozenset(_list(file, f"{where} provider", entry.get("provider"), str)),
        classes=frozenset(_list(file, f"{where} class", entry.get("class"), str)),
        statuses=frozenset(_list(file, f"{where} status", entry.get("status"), int)),
        codes=frozenset(_list(file, f"{where} code", entry.get("code"), str)),
        words=tuple(
            file.phrase(f"{where} words", phrase)
            for phrase in _list(file, f"{where} words", entry.get("words"), str)
        ),
        regex=_regex(file, f"{where} regex", entry.get("regex")),
        reason=file.typed(f"{where} reason", entry.get("reason", ""), str),
        transient=None if transient is None else file.typed(f"{where} transient", transient, bool),
        error_type=None
        if error_type is None
        else _matching(file, f"{where} error_type", error_type, _ERROR_TYPE),
    )


def _matching(file: RuleFile, where: str, value: object, form: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise file.refuse(where, f"a word of the form {form.pattern}", value)
    return value


def _list(file: RuleFile, where: str, value: object, kind: type[T]) -> list[T]:
    """One value stands for a list of one."""
    if value is None:
        return []
    values = value if isinstance(value, list) else [value]
    return [file.typed(where, one, kind) for one in values]


def _regex(file: RuleFile, where: str, value: object) -> re.Pattern[str] | None:
    """Bounded so that even a text made for it costs milliseconds."""
    if value is None:
        return None
    pattern = file.pattern(where, value).pattern
    if len(pattern) > MAX_REGEX_CHARS:
        raise file.refuse(where, f"at most {MAX_REGEX_CHARS} characters", pattern)
    plain = _ESCAPED_OR_SET.sub("x", pattern).replace("(?", "(")
    repetitions = list(_REPETITION.finditer(plain))
    if len(repetitions) > MAX_REPETITIONS or re.search(r"\\\d|\(\?P=", pattern):
        raise file.refuse(
            where,
            f"at most {MAX_REPETITIONS} repetitions (* + ? {{}}) and no backreference",
            pattern,
        )
    if any(plain[: found.start()].endswith(")") for found in repetitions):
        raise file.refuse(where, "no repetition of a group", pattern)
    return re.compile(pattern, re.IGNORECASE)
