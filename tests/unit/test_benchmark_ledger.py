"""The ledger's benchmark runs, on few dead letters: what it prints is there and can be true."""

from __future__ import annotations

import datetime as dt
import re
import statistics
from pathlib import Path

import pytest

from benchmarks import ledger, measuring, operations
from benchmarks.code_paths import CODE_PATHS
from benchmarks.dead_letters import EPISODE, Plan, episode, wires
from benchmarks.measuring import Timing

ROWS = 600
PLAN = Plan(ROWS, dt.datetime(2025, 10, 10, tzinfo=dt.UTC))


@pytest.fixture
def printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """What a small run prints."""
    for module in (ledger, measuring, operations):
        monkeypatch.setattr(module, "SAMPLES", 5, raising=False)
    monkeypatch.setattr(measuring, "LEAST_SAMPLES", 5)
    monkeypatch.setattr(operations, "CLAIM_SAMPLES", 2)
    ledger.run("sqlite", PLAN, tmp_path, is_kept=True)
    return capsys.readouterr().out


def _row(printed: str, start: str) -> list[str]:
    line = next(line for line in printed.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_small_run_prints_size_ingest_every_operation_and_each_comparison(
    printed: str, tmp_path: Path
) -> None:
    assert "SQLite, 600 dead letters" in printed
    assert re.search(
        r"has [\d,]+ bytes of body on average \(median [\d,]+\), [\d,]+ \(median", printed
    )
    size = _row(printed, "600")
    assert 300 < int(size[2].replace(",", "")) < 10_000  # bytes a message
    assert (tmp_path / "ledger.sqlite").stat().st_size > ROWS * 300  # kept
    for operation in (
        *("first page", "page by a filter", "page by error_type:spotify, OFFSET", "page by cursor"),
        *("search: an id", "search: an artist's name", "search: a common word", "payload.artist"),
        *("group list", "group detail", "stats", "ages", "claim of its 1,000", "delete by id"),
    ):
        assert re.fullmatch(r"[\d.,]+ / [\d.,]+( \(of \d+\))?", _row(printed, operation)[1])
    for compared in ("ingest, messages/s", "search: an artist's name, in 600", "stats, p50 ms"):
        assert re.fullmatch(r"[\d.,]+", _row(printed, compared)[-1])


def test_dead_letters_are_the_same_for_the_same_seed_and_others_for_another() -> None:
    first = [arrival.wire for arrival in episode(PLAN, 1).arrivals]
    again = [arrival.wire for arrival in episode(PLAN, 1).arrivals]
    other = [arrival.wire for arrival in episode(Plan(ROWS, PLAN.until, seed=2), 1).arrivals]
    assert first == again
    assert len(first) == ROWS - EPISODE
    assert not {wire.body for wire in first} & {wire.body for wire in other}


def test_dead_letters_are_of_the_typical_size_and_of_many_causes() -> None:
    made = episode(PLAN, 0)
    many = Plan(1_000_000, PLAN.until)  # one episode may be a burst of one cause
    bodies = [len(wire.body) for number in range(0, 2000, 200) for wire in wires(many, number)]
    assert 1_500 < statistics.mean(bodies) < 2_600
    assert min(bodies) < 800
    assert max(bodies) > 4_000
    assert made.body_bytes == [len(arrival.wire.body) for arrival in made.arrivals]
    assert made.zlib_sampled_bytes < made.raw_sampled_bytes
    messages = [arrival.message for arrival in made.arrivals]
    assert len({message.message_id for message in messages}) == EPISODE
    assert {arrival.category for arrival in made.arrivals} >= {"rate_limit", "timeout", "not_found"}
    assert len({arrival.fingerprint for arrival in made.arrivals}) > len(CODE_PATHS) / 3
    assert [m.failed_at for m in messages] == sorted(m.failed_at for m in messages if m.failed_at)


def test_quantiles_are_of_the_nearest_rank() -> None:
    taken = Timing(tuple(float(n) for n in range(1, 201)))
    assert (taken.p50_ms, taken.p99_ms) == (100.0, 198.0)
    assert Timing((7.0,)).p99_ms == 7.0
