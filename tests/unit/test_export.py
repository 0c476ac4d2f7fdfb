"""Dead letters as JSON lines, CSV and Parquet."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import sys
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from dlq.cli import export as command
from dlq.errors import InvalidInput
from dlq.export import Format, format_of_name, written
from dlq.export import parquet as parquet_module
from dlq.export.columns import Kind, columns_of
from dlq.export.csv import BYTE_ORDER_MARK, harmless
from dlq.manager.api.schemas.letters import DeadLetterView
from dlq.message import UtcDatetime

AT = dt.datetime(2026, 11, 1, 12, 30, 45, 123456, tzinfo=dt.UTC)


class Kinds(StrEnum):
    ONE = "one"


class Row(BaseModel):
    """One field of each kind."""

    message_id: str = "a"
    error_message: str | None = None
    state: Kinds = Kinds.ONE
    retry_count: int = Field(3, ge=0)
    retry_after_s: float | None = None
    is_new: bool = False
    failed_at: UtcDatetime | None = AT
    payload: dict[str, Any] = {}
    services: list[str] = []


class Thin(BaseModel):
    payload: dict[str, Any]


def file_of(
    as_format: Format, rows: Iterable[BaseModel], row_class: type[BaseModel] = Row
) -> bytes:
    return b"".join(written(as_format, row_class, rows))


def csv_rows(content: bytes) -> list[dict[str, str]]:
    text = content.decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def table(content: bytes) -> Any:
    return pq.read_table(pa.BufferReader(content))


# --- all formats -------------------------------------------------------------------------


def test_every_field_of_a_dead_letter_is_a_column_of_its_kind() -> None:
    kinds = {column.name: column.kind for column in columns_of(DeadLetterView)}
    assert list(kinds) == list(DeadLetterView.model_fields)
    assert kinds["payload"] is kinds["metadata"] is Kind.JSON
    assert {name for name, kind in kinds.items() if kind is Kind.JSON} == {"payload", "metadata"}
    assert kinds["retry_count"] is kinds["http_status"] is Kind.INTEGER
    assert kinds["retry_after_s"] is Kind.NUMBER
    instants = {name for name, kind in kinds.items() if kind is Kind.INSTANT}
    assert instants >= {"timestamp", "failed_at", "ingested_at", "updated_at", "next_replay_at"}
    assert kinds["state"] is kinds["last_outcome"] is kinds["error_message"] is Kind.TEXT


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jsonl", (Format.JSONL, False)),
        ("a.NDJSON", (Format.JSONL, False)),
        ("a.b.csv", (Format.CSV, False)),
        ("a.csv.gz", (Format.CSV, True)),
        ("a.jsonl.gz", (Format.JSONL, True)),
        ("a.parquet", (Format.PARQUET, False)),
        ("a.txt", (None, False)),
        ("a.gz", (None, True)),
        ("csv", (None, False)),
    ],
)
def test_a_files_name_says_its_format(name: str, expected: tuple[Format | None, bool]) -> None:
    assert format_of_name(name) == expected


def test_parquet_in_gzip_is_refused() -> None:
    with pytest.raises(InvalidInput, match="compressed inside"):
        format_of_name("a.parquet.gz")


def test_parquet_without_its_library_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "dlq.export.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InvalidInput, match=r"pip install 'songnodes-dlq\[parquet\]'"):
        written(Format.PARQUET, Row, [])


@pytest.mark.parametrize("as_format", Format)
def test_rows_are_asked_for_as_the_file_is_taken(as_format: Format) -> None:
    taken: list[int] = []

    def rows() -> Iterator[Row]:
        for number in range(20_000):
            taken.append(number)
            yield Row(error_message="x" * 100)

    pieces = written(as_format, Row, rows())
    assert next(pieces)
    assert 0 < len(taken) <= parquet_module.GROUP_ROWS


@pytest.mark.parametrize("as_format", Format)
def test_memory_stays_constant_however_many_rows_there_are(as_format: Format) -> None:
    """50,000 rows, 25 MB as text, in less than the half of that."""
    row = Thin(payload={"track": "x" * 500})
    size = 0
    arrow_before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        for piece in written(as_format, Thin, (row for _ in range(50_000))):
            size += len(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 * 1024 * 1024
    assert pa.total_allocated_bytes() - arrow_before < 1024 * 1024
    assert as_format is Format.PARQUET or size > 25_000_000


@pytest.mark.parametrize("as_format", Format)
def test_a_fault_in_the_middle_is_not_the_end_of_the_file(as_format: Format) -> None:
    def rows() -> Iterator[Row]:
        yield from (Row() for _ in range(6000))
        raise RuntimeError("the ledger is gone")

    with pytest.raises(RuntimeError, match="the ledger is gone"):
        list(written(as_format, Row, rows()))


# --- JSON lines --------------------------------------------------------------------------


def test_json_lines_are_one_object_each_as_the_api_lists_it() -> None:
    rows = [Row(message_id="ä", payload={"a": "line\nbreak"}), Row()]
    lines = file_of(Format.JSONL, rows).decode().splitlines()
    assert [json.loads(line) for line in lines] == [row.model_dump(mode="json") for row in rows]
    assert '"message_id": "ä"' in lines[0]


# --- CSV ---------------------------------------------------------------------------------


def test_csv_is_rfc_4180_in_utf_8_with_a_byte_order_mark() -> None:
    row = Row(error_message='He said "no", then\r\nleft; ü', retry_after_s=-1.5, payload={"a": 1})
    content = file_of(Format.CSV, [row, Row(is_new=True, failed_at=None)])
    assert content.startswith(BYTE_ORDER_MARK.encode())
    assert content.count(b"\r\n") == 4
    first, second = csv_rows(content)
    assert first == {
        "message_id": "a",
        "error_message": 'He said "no", then\r\nleft; ü',
        "state": "one",
        "retry_count": "3",
        "retry_after_s": "-1.5",  # a number, and nothing in front of it
        "is_new": "false",
        "failed_at": "2026-11-01T12:30:45.123456Z",
        "payload": '{"a": 1}',
        "services": "[]",
    }
    assert (second["error_message"], second["is_new"], second["failed_at"]) == ("", "true", "")


DANGEROUS = [
    "=1+1",
    '=cmd|" /C calc"!A0',
    "+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "＝1+1",
    "＋1",
    "－1",
    "＠A",
    "﹦1",
    "−1",
    "  =1",
    '"=1',
    "' =1",
    "\u00a0=1",
    "\ufeff=1",
    "\u200b\u202e=1",
    "\x01=1",
    "'=1",
]


@pytest.mark.parametrize("text", DANGEROUS)
def test_a_cell_that_a_spreadsheet_could_run_is_made_harmless(text: str) -> None:
    for field in ("error_message", "message_id"):
        [row] = csv_rows(file_of(Format.CSV, [Row(**{field: text})]))
        assert row[field] == "'" + text


@pytest.mark.parametrize("text", ["", "a=b", "429 Too Many", "(=1)", "{=1}", "'quoted'", "a\n=1"])
def test_any_other_cell_is_as_it_was(text: str) -> None:
    [row] = csv_rows(file_of(Format.CSV, [Row(error_message=text)]))
    assert row["error_message"] == text


@given(st.text(alphabet=st.one_of(st.sampled_from("'\"=+-@ \t\r\na,;\u200b＝"), st.characters())))
def test_what_was_put_in_front_can_be_taken_away(text: str) -> None:
    text = text.replace("\x00", "")
    shown = harmless(text)
    assert shown in (text, "'" + text)
    # As docs/export.md says: an apostrophe goes if what follows it would get one.
    tail = shown[1:]
    restored = tail if shown.startswith("'") and harmless(tail) != tail else shown
    assert restored == text
    assert not shown.lstrip(' "\ufeff').startswith(("=", "+", "-", "@", "\t", "\r"))


def test_nul_is_replaced_and_hides_nothing() -> None:
    [row] = csv_rows(file_of(Format.CSV, [Row(error_message="a\x00b", message_id="=\x00")]))
    assert (row["error_message"], row["message_id"]) == ("a\ufffdb", "'=\ufffd")


def test_a_cell_cannot_break_out_of_its_line() -> None:
    text = 'x",=1+1\r\n=2+2,"'
    [row] = csv_rows(file_of(Format.CSV, [Row(error_message=text, message_id="b")]))
    assert (row["error_message"], row["message_id"]) == (text, "b")


# --- Parquet -----------------------------------------------------------------------------


def test_parquet_has_typed_columns() -> None:
    row = Row(message_id="=1", payload={"a": [1, "ü"]}, retry_after_s=1.5)
    found = table(file_of(Format.PARQUET, [row, Row(failed_at=None)]))
    assert {field.name: str(field.type) for field in found.schema} == {
        "message_id": "string",
        "error_message": "string",
        "state": "string",
        "retry_count": "int64",
        "retry_after_s": "double",
        "is_new": "bool",
        "failed_at": "timestamp[us, tz=UTC]",
        "payload": "string",
        "services": "string",
    }
    first, second = found.to_pylist()
    assert first["message_id"] == "=1"  # no spreadsheet reads it
    assert (first["failed_at"], second["failed_at"]) == (AT, None)
    assert (first["state"], first["retry_after_s"]) == ("one", 1.5)
    assert json.loads(first["payload"]) == {"a": [1, "ü"]}


def test_parquet_without_rows_is_still_a_table() -> None:
    found = table(file_of(Format.PARQUET, []))
    assert (found.num_rows, found.num_columns) == (0, len(Row.model_fields))


def test_row_groups_end_by_count_and_by_size(monkeypatch: pytest.MonkeyPatch) -> None:
    def groups(rows: Iterable[Row]) -> list[int]:
        file = pq.ParquetFile(pa.BufferReader(file_of(Format.PARQUET, rows)))
        return [file.metadata.row_group(n).num_rows for n in range(file.metadata.num_row_groups)]

    assert groups(Row() for _ in range(12_000)) == [5000, 5000, 2000]
    monkeypatch.setattr(parquet_module, "GROUP_CHARS", 10_000)
    assert groups(Row(error_message="x" * 4000) for _ in range(5)) == [3, 2]


def test_parquet_that_was_cut_off_cannot_be_read() -> None:
    pieces = list(written(Format.PARQUET, Row, (Row() for _ in range(6000))))
    with pytest.raises(pa.ArrowInvalid):
        table(b"".join(pieces[:-1]))


# --- the command counts what it copies ---------------------------------------------------


@pytest.mark.parametrize("piece_bytes", [1, 7, 100_000])
def test_lines_of_csv_are_counted_across_pieces_and_line_breaks(piece_bytes: int) -> None:
    text = 'a "quoted"\r\nbreak'
    content = file_of(Format.CSV, (Row(error_message=text) for _ in range(50)))
    lines_in: Callable[[bytes], int] | None = command._line_counter(Format.CSV)
    assert lines_in is not None
    pieces = [content[n : n + piece_bytes] for n in range(0, len(content), piece_bytes)]
    assert sum(lines_in(piece) for piece in pieces) == 51


@pytest.mark.parametrize(
    ("name", "as_format", "problem"),
    [
        ("a.txt", None, "pass --format"),
        ("a.csv", Format.JSONL, "does not fit"),
        ("a.gz", Format.PARQUET, "does not fit"),
        ("a.parquet.gz", None, "compressed inside"),
    ],
)
def test_a_name_that_says_something_else_is_refused(
    name: str, as_format: Format | None, problem: str
) -> None:
    with pytest.raises(InvalidInput, match=problem):
        command._chosen(Path(name), as_format)
