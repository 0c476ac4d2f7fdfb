"""The rules in force: the shipped ones, and those that an installation puts before them.

`Rules` is `rules.toml` in the form in which it is asked: tables by name, compiled once. The
shipped rules are read on first use. An installation's file (`own.py`) is read by `load_rules`
and put in force for the process by `use_rules`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from dlq.classify.own import OwnRule, own_rules_of
from dlq.classify.phrases import PhraseIndex
from dlq.classify.rulefile import RuleFile, Weight
from dlq.classify.rules import Category

_BEFORE_LAST = re.compile(r".*[.$:\\]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Rules:
    """What failures are taken for. `own` comes before all others."""

    transient: frozenset[Category]  # the same operation may succeed later with nothing changed
    category_reasons: Mapping[Category, str]
    statuses: Mapping[int, Category]
    refinements: Mapping[int, frozenset[Category]]
    rule_refinements: Mapping[str, frozenset[Category]]  # by the name of a rule
    quota_statuses: frozenset[int]
    codes: Mapping[str, Mapping[str, Category]]  # by kind: errno, sqlstate, lastfm …
    lastfm_names: Mapping[int, str]
    classes: Mapping[str, tuple[Category, Weight]]  # by last or qualified name
    class_modules: Mapping[str, Category]  # by a library's module
    class_patterns: tuple[tuple[Category, re.Pattern[str]], ...]
    phrases: PhraseIndex
    reasons: tuple[tuple[re.Pattern[str], str], ...]  # the name of a rule, a sentence
    own: tuple[OwnRule, ...] = ()
    seen_classes: dict[str, tuple[Category, Weight] | None] = field(default_factory=dict)
    seen_rules: dict[str, str | None] = field(default_factory=dict)  # the sentences for them

    def of_status(self, status: int) -> Category:
        other = Category.INVALID_DATA if status < 500 else Category.SERVER_ERROR
        return self.statuses.get(status, other)

    def of_code(self, kind: str, code: str) -> Category | None:
        """Of a code, or of the family that its beginning names (SQLSTATE, SQLite)."""
        table = self.codes.get(kind, {})
        if kind == "sqlstate":
            return table.get(code) or table.get(code[:2])
        while kind == "sqlite" and code not in table and "_" in code:
            code = code.rpartition("_")[0]
        return table.get(code)

    def of_class(self, name: str) -> tuple[Category, Weight] | None:
        """Of a class by its qualified or last name, or by what the last name contains."""
        if name not in self.seen_classes:
            _make_room(self.seen_classes)
            self.seen_classes[name] = self._of_new_class(name)
        return self.seen_classes[name]

    def of_module(self, name: str) -> Category | None:
        """Of a class by the module that defines it, or the nearest package around that."""
        module = name.rpartition(".")[0]
        while module and module not in self.class_modules:
            module = module.rpartition(".")[0]
        return self.class_modules.get(module)

    def sentence_for(self, rule: str) -> str | None:
        """The sentence of the first reason that lists `rule`."""
        if rule not in self.seen_rules:
            _make_room(self.seen_rules)
            fitting = (text for pattern, text in self.reasons if pattern.fullmatch(rule))
            self.seen_rules[rule] = next(fitting, None)
        return self.seen_rules[rule]

    def _of_new_class(self, name: str) -> tuple[Category, Weight] | None:
        last = last_name(name)
        found = self.classes.get(name) or self.classes.get(last)
        if found is not None:
            return found
        for category, pattern in self.class_patterns:
            if pattern.search(last):
                return category, Weight.TELLING
        return None


MAX_SEEN = 2000


def _make_room(seen: dict[str, Any]) -> None:
    """The same names come again and again; hostile ones could be without number."""
    if len(seen) >= MAX_SEEN:
        seen.clear()


def last_name(qualified_name: str) -> str:
    """`ReadTimeout` of `httpx.ReadTimeout`; Java's `$`, Ruby's `::`, PHP's `\\` part too."""
    return _BEFORE_LAST.sub("", qualified_name[-200:])


@cache
def shipped_rules() -> Rules:
    """The rules of the package."""
    text = resources.files(__package__).joinpath("rules.toml").read_text("utf-8")
    file = RuleFile.of("rules.toml", text)
    lastfm = file.numbers("lastfm")
    kinds = ("errno", "sqlstate", "sqlite", "amqp", "grpc", "mysql", "broker")
    return Rules(
        transient=file.transient(),
        category_reasons=file.category_reasons(),
        statuses={int(status): c for status, c in file.inverted("status").items()},
        refinements=file.gathered("status_refined", int),
        rule_refinements=file.gathered("rule_refined", str),
        quota_statuses=frozenset(file.gathered("quota_header", int)),
        codes={
            "lastfm": {str(number): category for number, (category, _) in lastfm.items()},
            **{kind: file.inverted(kind) for kind in kinds},
        },
        lastfm_names={number: name for number, (_, name) in lastfm.items()},
        classes=file.classes(),
        class_modules=file.inverted("classes.module"),
        class_patterns=file.class_patterns(),
        phrases=PhraseIndex.of(file.phrases()),
        reasons=file.reasons(),
    )


def load_rules(path: Path | None) -> Rules:
    """The shipped rules, with those of the file at `path` before them.

    Raises:
        SettingsError: the file cannot be read, or a rule in it cannot be used; the text names
            the file, the rule, and what was expected.
    """
    if path is None:
        return shipped_rules()
    return replace(shipped_rules(), own=own_rules_of(path))


_in_force: Rules | None = None


def use_rules(rules: Rules) -> None:
    """Put `rules` in force for this process."""
    global _in_force
    _in_force = rules


def current_rules() -> Rules:
    return _in_force or shipped_rules()
