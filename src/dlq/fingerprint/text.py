"""Text of failures made fit to be shown on one line; pure."""

from __future__ import annotations

import unicodedata


def one_line(text: str, max_chars: int) -> str:
    """`text` on one line: no control, bidirectional or invisible characters; cut with an …."""
    if not text.isprintable():
        text = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    line = " ".join(text.split())
    return line if len(line) <= max_chars else f"{line[: max_chars - 1].rstrip()}…"
