"""The documentation as tests read it: pages, their code blocks, links and headings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_INLINE_CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block, and the heading it stands under."""

    heading: str
    language: str
    text: str


def read(name: str) -> str:
    """A page by its path in the repository."""
    return (ROOT / name).read_text("utf-8")


def blocks(name: str, language: str) -> list[Block]:
    """The page's fenced blocks in that language, in order."""
    text = read(name)
    # A comment in a block looks like a heading, so headings are looked for outside of blocks.
    prose = _FENCE.sub(lambda fence: re.sub(r"[^\n]", " ", fence[0]), text)
    headings = [(found.start(), found[1]) for found in _HEADING.finditer(prose)]
    return [
        Block([title for at, title in headings if at < fence.start()][-1], fence[1], fence[2])
        for fence in _FENCE.finditer(text)
        if fence[1] == language
    ]


def links(text: str) -> list[str]:
    return _LINK.findall(_FENCE.sub("", text))


def inline_code(text: str) -> list[str]:
    return _INLINE_CODE.findall(_FENCE.sub("", text))


def anchors(text: str) -> set[str]:
    """What a link to a heading ends with, as GitHub makes it."""
    return {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        for title in _HEADING.findall(_FENCE.sub("", text))
    }


def table_rows(text: str) -> list[list[str]]:
    """The cells of every table row, without the rulers under the heads."""
    rows = [line.strip().strip("|").split("|") for line in text.splitlines() if line[:1] == "|"]
    cells = [[cell.strip() for cell in row] for row in rows]
    return [row for row in cells if set("".join(row)) - set("- ")]
