"""`dlq demo` from outside: it tells the truth, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from dlq import DLQClient
from dlq.demo.catalogue import read_tracks
from dlq.demo.plan import make_plan
from dlq.settings import Settings
from tests.support.ports import free_port
from tests.support.rabbitmq import BrokerNode
from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]
TRACKS = 16
STORY_TIMEOUT_S = 150
DLQ = Path(sys.executable).with_name("dlq")


class Demo:
    """The demo as a process; its output goes to a file."""

    def __init__(self, folder: Path, *, leave: bool, **environment: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._output = folder / "demo.txt"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    *(DLQ, "demo", "--tracks", str(TRACKS), "--port", str(self.port)),
                    *(["--exit"] if leave else []),
                ],
                env={**os.environ, "TMPDIR": str(folder), **environment},
                cwd=ROOT,
                stdout=output,
                stderr=output,
            )

    @property
    def output(self) -> str:
        return self._output.read_text(encoding="utf-8")

    def is_listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def children_of(pid: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.fixture
def staying(tmp_path: Path) -> Iterator[Demo]:
    demo = Demo(tmp_path, leave=False)
    yield demo
    if demo.process.poll() is None:
        demo.process.terminate()
        demo.process.wait(60)


def test_the_story_comes_out_as_told_and_leaves_nothing_behind(tmp_path: Path) -> None:
    demo = Demo(tmp_path, leave=True)
    assert demo.process.wait(STORY_TIMEOUT_S) == 0, demo.output
    text = demo.output
    plan = make_plan(read_tracks(TRACKS))
    assert f"crawls a page of {TRACKS} tracks" in text
    for broken in ("auth", "rate_limit", "network", "not_found", "invalid_data"):
        assert broken in text.partition("3. The causes are mended")[0], text
    assert "are left out" in text
    assert "The canary holds: " in text
    assert re.search(r"The job is finished: \d+ succeeded", text)
    assert f"{plan.lost_causes} remain, and why" in text
    assert text.count("✓") == 4
    assert "✗" not in text
    assert not demo.is_listening()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("dlq-demo")] == []


def test_it_stays_up_until_ctrl_c_and_takes_everything_down(staying: Demo, tmp_path: Path) -> None:
    until(
        lambda: "Look around" in staying.output or staying.process.poll() is not None,
        STORY_TIMEOUT_S,
        "the demo did not get to its end",
    )
    assert staying.process.poll() is None, staying.output
    assert httpx2.get(f"{staying.url}/dlq/stats").json()["total_messages"] > 0
    [job] = httpx2.get(f"{staying.url}/dlq/jobs").json()
    assert (job["state"], job["canary"]["passed"]) == ("finished", True)
    assert job["succeeded"] + job["failed"] == job["total"]
    children = children_of(staying.process.pid)
    assert len(children) == 2  # manager and worker; the crawl is over
    staying.process.send_signal(signal.SIGINT)
    assert staying.process.wait(60) == 0, staying.output
    assert not any(is_alive(pid) for pid in children)
    assert not staying.is_listening()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("dlq-demo")] == []


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_in_the_middle_it_takes_everything_down(
    staying: Demo, stop: signal.Signals, code: int
) -> None:
    until(lambda: len(children_of(staying.process.pid)) == 2, 60, "the crawl did not start")
    children = children_of(staying.process.pid)
    staying.process.send_signal(stop)
    assert staying.process.wait(60) == code, staying.output
    assert not any(is_alive(pid) for pid in children)


def test_a_taken_port_is_said_before_anything_starts(tmp_path: Path) -> None:
    demo_port = free_port()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", demo_port))
        holder.listen()
        done = subprocess.run(
            [DLQ, "demo", "--exit"],
            env={**os.environ, "DLQ_PORT": str(demo_port)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert f"Cannot listen on 127.0.0.1:{demo_port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_same_story_runs_on_a_broker_and_keeps_its_ledger(
    broker: BrokerNode, broker_settings: Settings, tmp_path: Path
) -> None:
    url = broker_settings.amqp_url
    assert url is not None
    demo = Demo(tmp_path, leave=True, DLQ_BROKER_URL=url)
    assert demo.process.wait(STORY_TIMEOUT_S) == 0, demo.output
    assert demo.output.count("✓") == 4
    depths = broker.ctl("list_queues", "-p", url.rpartition("/")[2], "name", "messages")
    assert "enrichment.dlq.queue\t0" in depths
    analysed = re.search(r"enrichment\.dlq\.analysis\t(\d+)", depths)
    assert analysed is not None
    assert int(analysed[1]) > 0, "the demo did not use the broker"
    told = re.search(r"logs are in (\S+)\.", demo.output)
    assert told is not None
    kept = Path(told[1])
    assert (kept / "ledger.sqlite").exists()


def test_a_broker_in_use_is_left_alone(broker_settings: Settings, tmp_path: Path) -> None:
    """A real pipeline's dead letters wait there."""
    url = broker_settings.amqp_url
    assert url is not None
    with DLQClient(broker_settings) as dlq:
        assert dlq.publish_to_dlq(item={"a": 1}, error="real").state == "confirmed"
    demo = Demo(tmp_path, leave=True, DLQ_BROKER_URL=url)
    assert demo.process.wait(STORY_TIMEOUT_S) == 2
    assert "is in use (1 messages, 0 consumers)" in " ".join(demo.output.split())
