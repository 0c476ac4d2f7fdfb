"""What the pages tell a reader to type does what they say."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
import scrapy
from scrapy.utils.test import get_crawler

from dlq import DLQClient
from dlq.demo.catalogue import read_tracks
from dlq.demo.providers import LastFMStandIn
from dlq.manager.tokens import PREFIX
from dlq.settings import Settings
from tests.support.manager import ManagerProcess
from tests.support.pages import Block, blocks
from tests.support.rabbitmq import PASSWORD, USER, BrokerNode
from tests.support.terminal import Terminal
from tests.support.waiting import until

STARTED = "docs/getting-started.md"
TRACKS = read_tracks(1)
QUEUES = ("queue", "retry", "analysis", "outcomes")
AS_SHIPPED = {"DLQ_AUTO_RETRY": "true"}
"""What a reader has, and most tests have not."""


def under(page: str, heading: str, language: str = "bash") -> list[str]:
    """The blocks under one heading; there must be some."""
    found = [block.text for block in blocks(page, language) if block.heading == heading]
    assert found, f"{page} has no {language} block under {heading!r}"
    return found


def is_make(block: Block) -> bool:
    return all(line.startswith("make ") for line in block.text.splitlines())


def count_in(url: str, state: str) -> int:
    response = httpx2.get(f"{url}/dlq/messages", params={"state": state}, timeout=10)
    return int(response.raise_for_status().headers["X-Total-Count"])


def wait_for(url: str, state: str, count: int = 1) -> None:
    until(
        lambda: count_in(url, state) == count,
        30,
        lambda: f"expected {count} {state}, got {httpx2.get(f'{url}/dlq/stats').text}",
    )


def story(terminal: Terminal) -> None:
    """The first part of getting-started.md, in two terminals."""
    serve, fail, look, mend, became = under(STARTED, "Getting started")
    with terminal.serving(serve):
        published = re.fullmatch(r"confirmed (\S+)\n", terminal.run(fail))
        assert published is not None, "the dead letter was not confirmed"
        message_id = published[1]
        wait_for(terminal.url, "scheduled")

        looked = terminal.run(look)
        [cause] = [
            line for line in looked.splitlines() if "\ttimeout\t" in line and "\t1\t" in line
        ]
        assert "timed out" in cause
        assert f"{message_id}\tscheduled\tspotify\ttimeout" in looked
        [group] = json.loads(looked.splitlines()[-1])
        assert (group["error_type"], group["sample_messages"]) == ("spotify", [message_id])

        mended = terminal.run(mend)
        for part in ("dlq jobs follow", "enriched Strobe", "1 succeeded"):
            assert part in mended
        wait_for(terminal.url, "resolved")

        told = terminal.run(became)
        assert re.search(r"\tfinished\t\S+\t1/1\t100%\t", told), told
        assert re.search(r"^ +resolved +1$", told, re.MULTILINE), told
        assert f"{message_id}\tresolved" in told


def test_every_command_of_getting_started_belongs_to_a_test() -> None:
    assert {block.heading for block in blocks(STARTED, "bash")} == {
        "Getting started",
        "With RabbitMQ",
        "For several people, or several machines",
    }


def test_getting_started_leads_from_nothing_to_a_resolved_dead_letter(tmp_path: Path) -> None:
    story(Terminal(tmp_path, AS_SHIPPED))


def rabbitmq_variables(broker: BrokerNode) -> dict[str, str]:
    return {
        "RABBITMQ_HOST": "127.0.0.1",
        "RABBITMQ_PORT": str(broker.port),
        "RABBITMQ_USER": USER,
        "RABBITMQ_PASS": PASSWORD,
        "RABBITMQ_VHOST": broker.fresh_vhost(),
    }


def test_getting_started_runs_the_same_over_rabbitmq(broker: BrokerNode, tmp_path: Path) -> None:
    broker.start()
    variables = rabbitmq_variables(broker)
    terminal = Terminal(tmp_path, {**variables, **AS_SHIPPED})
    story(terminal)
    depths = broker.ctl("list_queues", "-p", variables["RABBITMQ_VHOST"], "name", "messages")
    assert "enrichment.dlq.analysis\t1" in depths, "the story did not go over the broker"


def test_doctor_and_topology_tell_what_is_on_the_broker(broker: BrokerNode, tmp_path: Path) -> None:
    broker.start()
    terminal = Terminal(tmp_path, rabbitmq_variables(broker))
    [look] = under(STARTED, "With RabbitMQ")
    with terminal.serving(under(STARTED, "Getting started")[0]):
        until(
            lambda: bool(httpx2.get(f"{terminal.url}/health").json()["rabbitmq_connected"]),
            30,
            "the manager did not connect",
        )
        looked = terminal.run(look)
    assert re.search(r"^ok +broker: amqp://dlq@127\.0\.0\.1:", looked, re.MULTILINE), looked
    assert PASSWORD not in looked
    assert "not there" not in looked, "the manager did not declare its queues"
    for queue in QUEUES:
        assert f"enrichment.dlq.{queue}  bound to" in looked


def test_with_a_token_the_manager_serves_the_network_and_only_who_shows_it(tmp_path: Path) -> None:
    [block] = under(STARTED, "For several people, or several machines")
    terminal = Terminal(tmp_path)
    with terminal.serving(block) as output:
        [token] = re.findall(rf"^{PREFIX}\S+$", output.read_text(), re.MULTILINE)
        stats = f"{terminal.url}/dlq/stats"
        shown = {"Authorization": f"Bearer {token}"}
        assert httpx2.get(stats).status_code == 401
        assert httpx2.get(stats, headers=shown).status_code == 200
        assert httpx2.get(stats, headers={**shown, "Host": "dlq-manager"}).status_code == 200
        assert httpx2.get(stats, headers={**shown, "Host": "elsewhere"}).status_code == 421
        assert "In the DLQ" in terminal.run(f"DLQ_TOKEN={token} .venv/bin/dlq stats")


@contextmanager
def managed(folder: Path, **environment: str) -> Iterator[tuple[ManagerProcess, Terminal]]:
    """A manager, and a terminal beside it whose environment also has `environment`."""
    manager = ManagerProcess(folder).start()
    try:
        yield manager, Terminal(folder, {**manager.environment, **environment}, port=manager.port)
        manager.stop()
    finally:
        manager.kill()


def fail_as_in(page: str, manager: ManagerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the page's first Python block with an `enrich` that fails."""

    def enrich(_track: object) -> None:
        raise RuntimeError("Spotify: 429 Too Many Requests")

    for name, value in manager.environment.items():
        monkeypatch.setenv(name, value)
    names: dict[str, Any] = {"enrich": enrich, "track": {"track_id": "1", "track_name": "Strobe"}}
    exec(compile(blocks(page, "python")[0].text, page, "exec"), names)
    names["dlq"].close()


def test_every_command_of_the_readme_belongs_to_a_test() -> None:
    others = [block for block in blocks("README.md", "bash") if not is_make(block)]
    assert [block.heading for block in others] == ["Run the manager"] * 2 + ["Replay"] * 3
    exports, _ = (block.text for block in others[:2])
    for line in exports.splitlines():
        assert line.startswith("export ") or line == "make run", line


def test_the_readme_captures_shows_and_replays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = next(text for text in under("README.md", "Run the manager") if "curl" in text)
    worker, replay, _ = under("README.md", "Replay")
    [handler, *_] = blocks("docs/worker.md", "python")
    with managed(tmp_path) as (manager, terminal):
        fail_as_in("README.md", manager, monkeypatch)
        [captured] = manager.get("/dlq/messages")
        assert captured["payload"]["track_name"] == "Strobe"
        assert (captured["error_type"], captured["category"]) == ("spotify", "rate_limit")
        assert (captured["source_service"], captured["retry_count"], captured["metadata"]) == (
            "api-enrichment-pipeline",
            3,
            {"spider": "mixesdb"},
        )

        looked = terminal.run(look)
        assert '"total_messages":1' in looked
        assert captured["fingerprint"] in looked
        assert "fail " not in looked

        enrich = "def enrich(track):\n    print('enriched', track['track_name'], flush=True)\n"
        (terminal.clone / "my_pipeline.py").write_text(enrich + handler.text)
        with terminal.running(worker) as working:
            told = terminal.answering(replay, "y\n")
        wait_for(manager.url, "resolved")
        assert "enriched Strobe" in working.read_text()
    for part in ("Would replay 1 dead letter", "Replay 1 dead letter?", "1 succeeded"):
        assert part in told


def test_the_clients_page_captures_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with managed(tmp_path) as (manager, _):
        fail_as_in("docs/client.md", manager, monkeypatch)
        assert count_in(manager.url, "pending") == 1


@pytest.fixture
def lastfm() -> Iterator[LastFMStandIn]:
    with LastFMStandIn(TRACKS, api_key="key") as server:
        yield server.start()


@pytest.mark.parametrize(
    ("page", "heading", "number"), [("README.md", "Replay", 2), ("docs/scrapy.md", "Retry", 0)]
)
def test_the_enrichment_pipelines_failures_are_retried(
    page: str, heading: str, number: int, lastfm: LastFMStandIn, tmp_path: Path
) -> None:
    block = under(page, heading)[number]
    keys = {"LASTFM_URL": lastfm.url, "LASTFM_API_KEY": "key"}
    with managed(tmp_path, **keys) as (manager, terminal):
        track = {"track_id": "1", "artist_name": TRACKS[0].artist, "track_name": TRACKS[0].title}
        with DLQClient(manager.settings) as dlq:
            receipt = dlq.publish_to_dlq(track, RuntimeError("error 10"), 1, error_type="lastfm")
        if "dlq replay" not in block:
            assert manager.post(f"/dlq/replay/{receipt.message_id}").is_success
        with terminal.running(block, answer="y\n"):
            wait_for(manager.url, "resolved")
        [line] = (terminal.clone / "retried.jsonl").read_text().splitlines()
    answer = json.loads(line)
    assert set(answer) == {"message_id", "track_id", "provider", "enrichment"}
    assert (answer["message_id"], answer["provider"]) == (receipt.message_id, "lastfm")
    assert answer["enrichment"]


async def test_a_pipeline_of_ones_own_captures_what_fails(tmp_path: Path) -> None:
    [text] = under("docs/scrapy.md", "A pipeline of your own", "python")
    known: dict[str, float] = {"1": 9.5}

    async def ask_for_price(sku: str) -> float:
        return known[sku]

    names: dict[str, Any] = {"ask_for_price": ask_for_price}
    exec(compile(text, "docs/scrapy.md", "exec"), names)
    with managed(tmp_path) as (manager, _):
        crawler = get_crawler(scrapy.Spider, {"DLQ_URL": manager.url})
        pipeline = names["PricePipeline"].from_crawler(crawler)
        await pipeline.open_spider()
        assert await pipeline.process_item({"sku": "1"}) == {"sku": "1", "price": 9.5}
        assert await pipeline.process_item({"sku": "2"}) == {"sku": "2"}
        await pipeline.close_spider()
        [captured] = manager.get("/dlq/messages")
    assert captured["payload"] == {"sku": "2"}
    assert (captured["error_type"], captured["source_service"]) == ("shop", "price-pipeline")


def test_the_exports_of_the_readme_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their placeholders (`…`) name no server, but everything must be read."""
    exports = next(t for t in under("README.md", "Run the manager") if "export" in t)
    for name, value in re.findall(r"\b([A-Z_]+)=(\S+)", exports):
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert settings.amqp_url == "amqp://musicdb:%E2%80%A6@localhost:5672/musicdb"
    assert settings.resolved_ledger_url == "postgresql://dlq:…@localhost/dlq"


# --- replay.md ---------------------------------------------------------------------------

REPLAY = "docs/replay.md"
PATTERNS = "Common error patterns"


class Failing(NamedTuple):
    """One row of the specification's "Common Error Patterns": what fails, and with what."""

    error_type: str
    errors: tuple[str, ...]
    categories: frozenset[str]


EXAMPLES = {
    "1. Spotify rate limits": Failing(
        "spotify",
        ("Rate limit exceeded: 429 Too Many Requests",),
        frozenset({"rate_limit"}),
    ),
    "2. MusicBrainz rate limits": Failing(
        "musicbrainz", ("Rate limit: 1 request per second",), frozenset({"rate_limit"})
    ),
    "3. Invalid or missing credentials": Failing(
        "spotify", ("401 Unauthorized: Invalid client credentials",), frozenset({"auth"})
    ),
    "4. Network and time-outs": Failing(
        "general",
        ("Connection timeout", "DNS resolution failed"),
        frozenset({"timeout", "network"}),
    ),
}


def captured(manager: ManagerProcess, failing: Failing, count: int) -> None:
    with DLQClient(manager.settings) as dlq:
        for number in range(count):
            error = RuntimeError(failing.errors[number % len(failing.errors)])
            item = {"track_id": str(number)}
            assert dlq.publish_to_dlq(item, error, 3, error_type=failing.error_type).state
    seen = {letter["category"] for letter in manager.get("/dlq/messages")}
    assert seen == failing.categories


@contextmanager
def replaying(folder: Path) -> Iterator[tuple[ManagerProcess, Terminal]]:
    """A manager, and the worker of the page, whose key is wrong while the file `wrong` is there."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with managed(folder, PATH=path) as (manager, terminal):
        (terminal.clone / "my_pipeline.py").write_text(
            "import pathlib\n\n"
            "def handler(message):\n"
            "    if pathlib.Path('wrong').exists():\n"
            "        raise RuntimeError('401 Unauthorized: Invalid client credentials')\n"
        )
        [worker] = under(REPLAY, PATTERNS)
        with terminal.running(worker):
            yield manager, terminal


def test_every_example_of_the_replay_page_belongs_to_a_test() -> None:
    headings = [block.heading for block in blocks(REPLAY, "bash")]
    assert list(dict.fromkeys(headings)) == ["Replay", PATTERNS, *EXAMPLES, "Off-peak"]


@pytest.mark.parametrize("heading", EXAMPLES)
def test_each_common_error_pattern_is_replayed_as_the_page_says(
    heading: str, tmp_path: Path
) -> None:
    with replaying(tmp_path) as (manager, terminal):
        captured(manager, EXAMPLES[heading], 4)
        told = "".join(terminal.answering(block, "y\n") for block in under(REPLAY, heading))
        wait_for(manager.url, "resolved", 4)
        [job] = manager.get("/dlq/jobs")
    assert "Would replay 4 dead letters" in told
    assert "Of 4 dead letters: 4 succeeded." in told
    assert (job["state"], job["succeeded"]) == ("finished", 4)


def test_a_canary_with_a_wrong_key_stops_the_job_as_the_page_shows(tmp_path: Path) -> None:
    heading = "3. Invalid or missing credentials"
    tried, _ = under(REPLAY, heading)
    shown = under(REPLAY, heading, "text")[0]
    [why] = re.findall(r"^Why: .*$", shown, re.MULTILINE)
    with replaying(tmp_path) as (manager, terminal):
        captured(manager, EXAMPLES[heading], 42)
        (terminal.clone / "wrong").touch()
        told = terminal.answering(f"{tried.rstrip()} || test $? = 1\n", "y\n")
        for line in (why, "Of 42 dead letters: 0 succeeded, 3 failed, 39 not sent."):
            assert line in told
            assert line in shown
        [again] = re.findall(r"^Once the cause is mended: (.*)$", told, re.MULTILINE)
        (terminal.clone / "wrong").unlink()
        assert manager.post("/dlq/providers/spotify/mended").is_success
        terminal.answering(again, "y\n")
        wait_for(manager.url, "resolved", 42)


def test_off_peak_the_job_is_made_now_and_waits(tmp_path: Path) -> None:
    [block] = under(REPLAY, "Off-peak")
    with replaying(tmp_path) as (manager, terminal):
        captured(manager, EXAMPLES["1. Spotify rate limits"], 2)
        terminal.run(block)
        [job] = manager.get("/dlq/jobs")
        assert (job["state"], job["total"], job["waiting"]) == ("running", 2, 2)
        assert "T02:00:00" in job["start_at"]
        assert job["waiting_for"].startswith("its start at ")


def test_the_replay_page_begins_with_commands_that_look_and_one_that_replays(
    tmp_path: Path,
) -> None:
    [block] = under(REPLAY, "Replay")
    with replaying(tmp_path) as (manager, terminal):
        captured(manager, EXAMPLES["4. Network and time-outs"], 2)
        told = terminal.answering(block, "y\n")
    assert "Would replay 1 dead letter: 1 pending." in told
    assert "1 succeeded" in told
    assert "DNS resolution failed" in told
