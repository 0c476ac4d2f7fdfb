"""Reads the shipped `rules.toml`: TOML in, typed tables out, each entry checked.

An entry that cannot be used is refused with the table it stands in and what was expected, so
that a slip in the file is found by the first test that classifies anything.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeVar

from dlq.classify.phrases import MAX_WORDS_BETWEEN, MIN_PHRASE_CHARS, Wording
from dlq.classify.rules import CATEGORIES, Category
from dlq.errors import SettingsError

T = TypeVar("T")
_PHRASE = re.compile(r"[a-z0-9]+(?: [a-z0-9]+)* ?")


class Weight(IntEnum):
    """How much a finding counts against others."""

    CAUGHT_BUG = 0  # somebody caught and renamed it: it was foreseen
    HINT = 1
    TELLING = 2
    SURE = 3
    DECISIVE = 4


_CLASS_TABLES = {
    "decisive": Weight.DECISIVE,
    "telling": Weight.TELLING,
    "hinting": Weight.HINT,
}


@dataclass(frozen=True, slots=True)
class RuleFile:
    """A parsed file. Every method raises SettingsError for entries that cannot be used."""

    name: str
    tables: Mapping[str, Any]

    @classmethod
    def of(cls, name: str, text: str) -> RuleFile:
        try:
            return cls(name, tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(f"{name}: expected TOML, got {error}") from error

    def refuse(self, where: str, expected: str, got: object) -> SettingsError:
        return SettingsError(f"{self.name}: {where}: expected {expected}, got {str(got)[:100]!r}")

    def category(self, where: str, word: object) -> Category:
        if word not in CATEGORIES:
            raise self.refuse(where, f"a category ({', '.join(CATEGORIES)})", word)
        return Category(str(word))

    def typed(self, where: str, value: object, kind: type[T]) -> T:
        if not isinstance(value, kind):
            raise self.refuse(where, f"a {kind.__name__}", value)
        return value

    def pattern(self, where: str, value: object) -> re.Pattern[str]:
        try:
            return re.compile(self.typed(where, value, str))
        except re.error as error:
            raise self.refuse(where, f"a regular expression ({error})", value) from error

    # --- tables of the form  category = [what supports it] -------------------------------

    def by_category(self, table: str) -> Iterator[tuple[Category, list[Any]]]:
        for word, entries in self._table(table).items():
            where = f"[{table}] {word}"
            yield self.category(where, word), self.typed(where, entries, list)

    def inverted(self, table: str) -> dict[str, Category]:
        """What supports it → category; each entry once."""
        found: dict[str, Category] = {}
        for category, entries in self.by_category(table):
            for entry in map(str, entries):
                if entry in found:
                    raise self.refuse(f"[{table}] {category}", "each entry once", entry)
                found[entry] = category
        return found

    def gathered(self, table: str, kind: type[T]) -> dict[T, frozenset[Category]]:
        """Status, or name of a rule → every category whose list holds it."""
        found: dict[T, frozenset[Category]] = {}
        for category, entries in self.by_category(table):
            for value in entries:
                entry = self.typed(f"[{table}] {category}", value, kind)
                found[entry] = found.get(entry, frozenset()) | {category}
        return found

    def numbers(self, table: str) -> dict[int, tuple[Category, str]]:
        """Number → category and name, of tables `[table.category]` of `number = name`."""
        found: dict[int, tuple[Category, str]] = {}
        for word, entries in self._table(table).items():
            where = f"[{table}.{word}]"
            for number, name in self.typed(where, entries, dict).items():
                if not number.isdigit():
                    raise self.refuse(where, "numbers before the names", number)
                found[int(number)] = self.category(where, word), self.typed(where, name, str)
        return found

    # --- the single tables ---------------------------------------------------------------

    def transient(self) -> frozenset[Category]:
        return frozenset(c for c in CATEGORIES if self._of_category(c, "transient", bool))

    def category_reasons(self) -> dict[Category, str]:
        return {category: self._of_category(category, "reason", str) for category in CATEGORIES}

    def classes(self) -> dict[str, tuple[Category, Weight]]:
        """Name → category and weight; a name in two tables counts in the weightier."""
        found: dict[str, tuple[Category, Weight]] = {}
        for table, weight in _CLASS_TABLES.items():
            for name, category in self.inverted(f"classes.{table}").items():
                found.setdefault(name, (category, weight))
        return found

    def class_patterns(self) -> tuple[tuple[Category, re.Pattern[str]], ...]:
        return tuple(
            (self.category(where, entry.get("category")), self.pattern(where, entry.get("regex")))
            for where, entry in self.entries("class_pattern")
        )

    def phrases(self) -> Iterator[Wording]:
        """In the file's order."""
        for where, entry in self.entries("words"):
            category = self.category(where, entry.get("category"))
            is_sure = self.typed(f"{where} sure", entry.get("sure", False), bool)
            rests = self.typed(f"{where} then", entry.get("then", []), list)
            then = tuple(self.phrase(where, rest) for rest in rests)
            within = self.typed(f"{where} within", entry.get("within", MAX_WORDS_BETWEEN), int)
            for phrase in self.typed(f"{where} any", entry.get("any"), list):
                yield Wording(self.phrase(where, phrase), category, is_sure, then, within)

    def phrase(self, where: str, value: object) -> str:
        if not isinstance(value, str) or not _PHRASE.fullmatch(value):
            raise self.refuse(where, "lower-case words with one space between", value)
        if len(value) < MIN_PHRASE_CHARS:
            raise self.refuse(where, f"at least {MIN_PHRASE_CHARS} characters", value)
        return value

    def reasons(self) -> tuple[tuple[re.Pattern[str], str], ...]:
        return tuple(
            (
                _any_of(self.typed(where, entry.get("rules"), list)),
                self.typed(where, entry.get("text"), str),
            )
            for where, entry in self.entries("reason")
        )

    def entries(self, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The tables of an array, each with its place for an error's text."""
        array = self.typed(f"[[{name}]]", self.tables.get(name, []), list)
        for number, entry in enumerate(array, start=1):
            where = f"[[{name}]] {number}"
            yield where, self.typed(where, entry, dict)

    def _table(self, dotted: str) -> Mapping[str, Any]:
        found = self.tables
        for part in dotted.split("."):
            found = self.typed(f"[{dotted}]", found.get(part), dict)
        return found

    def _of_category(self, category: Category, key: str, kind: type[T]) -> T:
        where = f"[categories.{category}] {key}"
        return self.typed(where, self._table(f"categories.{category}").get(key), kind)


def _any_of(globs: list[str]) -> re.Pattern[str]:
    """One pattern for names of rules in which `*` stands for any rest."""
    return re.compile("|".join(re.escape(glob).replace(r"\*", ".{0,100}") for glob in globs))
