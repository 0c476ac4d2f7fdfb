"""CSV for spreadsheets: RFC 4180, UTF-8 with a byte order mark, and no cell that is a formula.

What fails writes its own error messages, and a spreadsheet runs a cell that begins with `=`.
Such a cell gets an apostrophe in front, as OWASP's "CSV Injection" says; nothing else of it
changes, so that a program can take it away again where what follows it is dangerous.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from dlq.export.columns import Column, Kind

BYTE_ORDER_MARK = "\ufeff"
"""Without it Excel takes UTF-8 for the code page of its country."""
PIECE_CHARS = 64 * 1024

# Blanks, quotes and invisible characters in front do not protect: some programs strip them.
# The signs also as full-width, small and superscript forms, which some programs normalise.
_BEFORE = (
    r"[\s\"'`‘’“”\x00-\x1f\x7f-\x9f\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]*"
)
_SIGNS = "=+\\-@\u207a\u207b\u207c\u2212\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20"
_DANGEROUS = re.compile(f"{_BEFORE}[{_SIGNS}\\t\\r\\n]")


def csv_lines(columns: Sequence[Column], rows: Iterable[BaseModel]) -> Generator[bytes]:
    """A header, then a line a row; in pieces of some 64 Ki characters."""
    page = io.StringIO(newline="")
    page.write(BYTE_ORDER_MARK)
    writer = csv.writer(page, dialect="excel")
    writer.writerow([column.name for column in columns])
    for row in rows:
        fields = row.model_dump(mode="json")
        writer.writerow([cell(column, fields) for column in columns])
        if page.tell() >= PIECE_CHARS:
            yield _taken(page)
    yield _taken(page)


def cell(column: Column, fields: Mapping[str, Any]) -> Any:
    """As `csv` writes it: numbers stay numbers, None is an empty cell."""
    value = fields[column.name]
    if value is None or column.kind in (Kind.INTEGER, Kind.NUMBER):
        return value
    if column.kind is Kind.FLAG:
        return "true" if value else "false"
    if column.kind is Kind.JSON:
        return harmless(json.dumps(value, ensure_ascii=False))
    return harmless(str(value))


def harmless(text: str) -> str:
    """The text, with an apostrophe in front if a spreadsheet could run it.

    NUL, at which many programs take a file for binary or cut the cell, becomes U+FFFD.
    """
    text = text.replace("\x00", "\ufffd")
    return f"'{text}" if _DANGEROUS.match(text) else text


def _taken(page: io.StringIO) -> bytes:
    piece = page.getvalue()
    page.seek(0)
    page.truncate()
    return piece.encode()
