"""A place in a filter's text, moving right: words, quoted texts, lists of values.

It knows how a filter is spelled, not what it means; that is `grammar.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from dlq.query.errors import FilterError
from dlq.query.paths import ROOTS

_OPERATOR = r"([<>]=?|:|!?==?)"
_FIELD = re.compile(rf"([^\W\d][\w.-]*){_OPERATOR}")
_KEY = re.compile(r"\.(?:([\w-]+)|\"((?:[^\"\\]|\\[\"\\])*)\")")
_PATH = re.compile(rf"({'|'.join(ROOTS)})((?:{_KEY.pattern})+){_OPERATOR}", re.IGNORECASE)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_ITEM = re.compile(r"[^\s\",]+")
_UP_TO_A_SPACE = re.compile(r"\S*")


@dataclass(frozen=True, slots=True)
class Item:
    """One value, without its quotes and its `*`."""

    text: str
    at: int
    is_quoted: bool
    is_start: bool  # a `*` follows

    @property
    def written(self) -> str:
        """With the `*`, for what takes none."""
        return f"{self.text}*" if self.is_start else self.text


class Scanner:
    """Each method takes what it names and stops behind it. Raises: FilterError."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def next(self) -> str:
        """The character here; empty at the end. Takes nothing."""
        return self.text[self.at : self.at + 1]

    def at_space(self) -> bool:
        """Here is a space, or the end. Takes nothing."""
        return not self.next() or self.next().isspace()

    def word(self) -> str:
        """All up to the next space. Takes nothing."""
        found = _UP_TO_A_SPACE.match(self.text, self.at)
        return found.group() if found else ""

    def skip_spaces(self) -> None:
        while self.next().isspace():
            self.at += 1

    def field(self) -> tuple[str, str] | None:
        """A name and the operator directly behind it, as they are written."""
        found = _FIELD.match(self.text, self.at)
        if not found:
            return None
        self.at = found.end()
        return found[1], found[2]

    def path(self) -> tuple[tuple[str, ...], str] | None:
        """The steps of a path and the operator directly behind it."""
        found = _PATH.match(self.text, self.at)
        if not found:
            return None
        self.at = found.end()
        keys = [plain or _ESCAPED.sub(r"\1", quoted) for plain, quoted in _KEY.findall(found[2])]
        return (found[1].casefold(), *keys), found[found.re.groups]

    def take_star(self) -> bool:
        """The `*` that is here and is not the start of more, if there is one."""
        ends = self.text[self.at + 1 : self.at + 2].strip() == ""
        is_here = self.next() == "*" and ends
        self.at += is_here
        return is_here

    def quoted(self) -> str:
        """What is between the quotes, the first of which is here."""
        start = self.at
        self.at += 1
        characters = []
        while (character := self.next()) != '"':
            if character == "\\":
                self.at += 1
                character = self.next()
                if character not in {'"', "\\"}:
                    self.fail('expected \\" or \\\\ for a quote or a backslash.', self.at - 1)
            if not character:
                self.fail('expected a closing ", got the end.', start)
            characters.append(character)
            self.at += 1
        self.at += 1
        return "".join(characters)

    def items(self) -> list[Item]:
        """Values, separated by commas."""
        items = [self._item()]
        while self.next() == ",":
            self.at += 1
            items.append(self._item())
        if not self.at_space():
            self.fail("expected a comma or a space after the value.")
        return items

    def _item(self) -> Item:
        start = self.at
        item = self._quoted_item() if self.next() == '"' else self._plain_item()
        if item.is_start and not item.text:
            self.fail("expected what it starts with before the *.", start)
        return item

    def _quoted_item(self) -> Item:
        start, text = self.at, self.quoted()
        is_start = self.next() == "*"
        self.at += is_start
        return Item(text, start, is_quoted=True, is_start=is_start)

    def _plain_item(self) -> Item:
        start, found = self.at, _ITEM.match(self.text, self.at)
        if not found:
            self.fail(f"expected a value directly after {self.text[start - 1]!r}.")
        self.at = found.end()
        text = found.group().removesuffix("*")
        if "*" in text:
            self.fail(
                "expected a * only at the end. Quoted, it stands for itself.",
                start + text.index("*"),
            )
        return Item(text, start, is_quoted=False, is_start=text != found.group())

    def fail(self, problem: str, position: int | None = None) -> NoReturn:
        """Args: position: here, unless given."""
        at = self.at if position is None else position
        raise FilterError(problem, text=self.text, position=at)
