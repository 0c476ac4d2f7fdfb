"""A payload, and what an edit changes in it, as a person reads them."""

from __future__ import annotations

import difflib
import json
from typing import Any

from dlq.cli.output import console
from dlq.cli.text import one_line

_STYLES = {"+": "green", "-": "red"}


def readable_json(value: Any) -> str:
    """JSON in lines, still JSON: what could act on a terminal or reorder a line is escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return "".join(c if c == "\n" or one_line(c) == c else _escaped(c) for c in text)


def print_difference(before: Any, after: Any, *, stderr: bool) -> None:
    """What goes (-) and what comes (+), with the lines around; in colour on a terminal."""
    from rich.text import Text

    screen = console(stderr=stderr)
    was, becomes = (readable_json(value).split("\n") for value in (before, after))
    changed = list(difflib.unified_diff(was, becomes, lineterm=""))
    for line in changed[2:]:  # less the names of the files, which there are not
        screen.print(Text(line, style=_STYLES.get(line[:1], "")), soft_wrap=True)


def told(difference: list[dict[str, Any]]) -> str:
    """`replace /track_id, add /isrc`."""
    return one_line(", ".join(f"{change['op']} {change['path']}" for change in difference))


def _escaped(character: str) -> str:
    return json.dumps(character)[1:-1]
