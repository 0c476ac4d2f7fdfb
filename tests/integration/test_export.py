"""Exports of a running manager: the streams, and the files that the command makes of them."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dlq.ledger import open_ledger
from tests.support.ledger import an_arrival
from tests.support.manager import ManagerProcess

DLQ = str(Path(sys.executable).parent / "dlq")
IDS = ["a", "b", "c"]
MIB = 1024 * 1024


def fill(folder: Path, count: int, *, payload_chars: int) -> None:
    """Put dead letters into the ledger that a manager of this folder will open."""
    ledger = open_ledger(f"sqlite:///{folder / 'ledger.sqlite'}")
    payload = {"text": "x" * payload_chars}
    for start in range(0, count, 1000):
        numbers = range(start, min(start + 1000, count))
        ledger.ingest([an_arrival(f"id-{n:06}", payload=payload) for n in numbers])
    ledger.close()


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagerProcess]:
    """Holds three dead letters."""
    running = ManagerProcess(tmp_path_factory.mktemp("manager")).start()
    try:
        for message_id in IDS:
            answer = running.post(
                "/dlq/messages",
                {
                    "message_id": message_id,
                    "error_type": "spotify" if message_id == "a" else "lastfm",
                    "error_message": "=1+1\nsecond line",
                    "source_service": "test",
                    "payload": {"artist_name": "Deadmau5", "message_id": message_id},
                },
            )
            assert answer.status_code == 201
        yield running
        running.stop()
    finally:
        running.kill()


Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def dlq(manager: ManagerProcess, tmp_path: Path) -> Run:
    def run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [DLQ, *arguments],
            env={**os.environ, "DLQ_URL": manager.url},
            cwd=tmp_path,
            capture_output=True,
            timeout=60,
            check=False,
        )

    return run


def ids_in(path: Path) -> list[str]:
    if path.suffix == ".parquet":
        found: list[str] = pq.read_table(path).column("message_id").to_pylist()
        return found
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
        if ".csv" in path.suffixes:
            return [row["message_id"] for row in csv.DictReader(file)]
        return [json.loads(line)["message_id"] for line in file]


# --- the API -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("jsonl", "application/x-ndjson"),
        ("csv", "text/csv; charset=utf-8; header=present"),
        ("parquet", "application/vnd.apache.parquet"),
    ],
)
def test_each_format_has_all_that_the_filter_finds(
    manager: ManagerProcess, tmp_path: Path, name: str, media_type: str
) -> None:
    answer = httpx2.get(
        f"{manager.url}/dlq/export", params={"format": name, "where": "error_type:lastfm"}
    )
    assert answer.headers["content-type"] == media_type
    assert answer.headers["content-disposition"] == f'attachment; filename="dead-letters.{name}"'
    assert answer.headers["x-total-count"] == "2"
    path = tmp_path / f"found.{name}"
    path.write_bytes(answer.content)
    assert ids_in(path) == ["b", "c"]


def test_json_lines_are_the_default_and_what_the_list_shows(manager: ManagerProcess) -> None:
    lines = httpx2.get(f"{manager.url}/dlq/export").text.splitlines()
    assert [json.loads(line) for line in lines] == manager.get("/dlq/messages")


def test_a_filter_by_text_is_not_counted_first(manager: ManagerProcess) -> None:
    answer = httpx2.get(f"{manager.url}/dlq/export", params={"where": '"second line"'})
    assert "x-total-count" not in answer.headers
    assert len(answer.text.splitlines()) == 3


def test_an_unknown_format_is_refused(manager: ManagerProcess) -> None:
    answer = httpx2.get(f"{manager.url}/dlq/export", params={"format": "xlsx"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")


def test_a_ledger_that_fails_on_the_way_breaks_the_stream(tmp_path: Path) -> None:
    """What came until then is no short success: the last chunk is missing."""
    fill(tmp_path, 1500, payload_chars=20_000)
    manager = ManagerProcess(tmp_path).start()
    try:
        with httpx2.stream("GET", f"{manager.url}/dlq/export", timeout=30) as response:
            pieces = response.iter_bytes()
            assert response.status_code == 200
            assert next(pieces)
            os.truncate(tmp_path / "ledger.sqlite", 0)
            with pytest.raises(httpx2.RemoteProtocolError, match="incomplete"):
                for _ in pieces:
                    pass
        assert re.search(r"WARNING.*An export broke off", manager.log.read_text())
    finally:
        manager.kill()


def test_memory_of_the_manager_stays_bounded(tmp_path: Path) -> None:
    """2,400 dead letters, 72 MB as CSV."""
    fill(tmp_path, 2400, payload_chars=30_000)
    manager = ManagerProcess(tmp_path).start()
    try:
        some = "id:id-0000*,id-0001*,id-0002*"
        for name in ("csv", "parquet"):  # libraries and caches are there before it counts
            assert exported_bytes(manager, name, some) > 0
        before = peak_bytes(manager)
        assert exported_bytes(manager, "csv", "id:id-*") > 68 * MIB
        assert exported_bytes(manager, "parquet", "id:id-*") > 0
        assert peak_bytes(manager) - before < 45 * MIB
        manager.stop()
    finally:
        manager.kill()


def exported_bytes(manager: ManagerProcess, name: str, where: str) -> int:
    params = {"format": name, "where": where}
    with httpx2.stream("GET", f"{manager.url}/dlq/export", params=params, timeout=60) as answer:
        return sum(len(piece) for piece in answer.iter_bytes())


def peak_bytes(manager: ManagerProcess) -> int:
    """The most memory that the process ever had."""
    assert manager._process is not None
    status = Path(f"/proc/{manager._process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024


# --- the command -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet", "a.jsonl.gz", "a.csv.gz"])
def test_a_files_name_chooses_the_format(dlq: Run, tmp_path: Path, name: str) -> None:
    done = dlq("export", "-o", name)
    assert done.returncode == 0, done.stderr
    assert ids_in(tmp_path / name) == IDS
    assert [path.name for path in tmp_path.iterdir()] == [name]
    told = done.stderr.decode()
    assert f"to {name}." in told
    assert "parquet" in name or told.startswith("Exported 3 ")


def test_a_format_can_be_named_for_stdout_and_for_other_names(dlq: Run, tmp_path: Path) -> None:
    piped = dlq("export", "--format", "parquet", "-o", "-").stdout
    assert pq.read_table(pa.BufferReader(piped)).num_rows == 3
    assert dlq("export", "--format", "csv", "-o", "failures.txt").returncode == 0
    assert (tmp_path / "failures.txt").read_bytes() == dlq("export", "--format", "csv").stdout


def test_a_file_that_is_there_is_replaced_only_by_force(dlq: Run, tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    target.write_text("somebody's own")
    refused = dlq("export", "-o", "a.csv")
    assert (refused.returncode, target.read_text()) == (2, "somebody's own")
    assert b"pass --force" in refused.stderr
    assert dlq("export", "-o", "a.csv", "--force").returncode == 0
    assert ids_in(target) == IDS


def test_a_filter_chooses_what_the_command_writes(dlq: Run, tmp_path: Path) -> None:
    done = dlq("export", "-o", "a.csv", "--where", "error_type:spotify")
    assert done.stderr == b"Exported 1 to a.csv.\n"
    assert ids_in(tmp_path / "a.csv") == ["a"]
