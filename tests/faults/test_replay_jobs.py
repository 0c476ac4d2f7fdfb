"""Jobs under faults: managers killed, the broker restarted, a provider that says "too many"."""

from __future__ import annotations

import http.server
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pika
import pytest

from dlq import DLQMessage, RetryWorker
from tests.support.failures import failure
from tests.support.manager import ManagerProcess
from tests.support.postgres import PostgresCluster
from tests.support.rabbitmq import BrokerNode
from tests.support.waiting import until

COUNT = 10_000
KILLS = 5
FAST = {
    "DLQ_PROVIDER_LIMITS": "spotify=2000/s:200",
    "DLQ_RECONNECT_MAX_S": "0.5",
    "DLQ_CONFIRM_TIMEOUT_S": "2",
}


class Effects:
    """What a handler does, counted by message."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, message: DLQMessage) -> None:
        with self._lock:
            self.counts[message.message_id] += 1


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    postgres: PostgresCluster = request.getfixturevalue("postgres")
    return postgres.fresh_database()


@pytest.fixture
def start_manager(broker: BrokerNode, tmp_path: Path) -> Iterator[Callable[..., ManagerProcess]]:
    """Start managers on one fresh virtual host; whatever becomes of them, they end."""
    broker.start()
    url = broker.url(broker.fresh_vhost())
    started: list[ManagerProcess] = []

    def start(**environment: str) -> ManagerProcess:
        manager = ManagerProcess(tmp_path, DLQ_BROKER_URL=url, **(FAST | environment))
        started.append(manager)
        return manager.start().wait_connected()

    yield start
    for manager in started:
        manager.kill()
    broker.start()


def fill(manager: ManagerProcess, count: int, **fields: Any) -> None:
    for start in range(0, count, 1000):
        batch = [failure(**fields) for _ in range(min(1000, count - start))]
        assert manager.post("/dlq/messages", batch).status_code == 201


def begin(manager: ManagerProcess, **body: Any) -> str:
    answer = manager.post("/dlq/jobs", body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["job_id"])


def job_of(manager: ManagerProcess, job_id: str) -> dict[str, Any]:
    """As it stands; its counts add up whenever one looks."""
    job: dict[str, Any] = manager.get(f"/dlq/jobs/{job_id}")
    settled = ("succeeded", "failed", "returned", "presumed", "skipped", "refused", "cancelled")
    assert job["done"] == sum(job[name] for name in settled)
    assert job["waiting"] + job["in_flight"] + job["done"] == job["total"]
    return job


def wait_done(manager: ManagerProcess, job_id: str, count: int, timeout_s: float) -> None:
    until(
        lambda: job_of(manager, job_id)["done"] >= count,
        timeout_s,
        lambda: f"{count} were not done: {job_of(manager, job_id)}",
        poll_s=0.3,
    )


def finish(manager: ManagerProcess, job_id: str, timeout_s: float) -> dict[str, Any]:
    until(
        lambda: job_of(manager, job_id)["state"] not in ("preparing", "running"),
        timeout_s,
        lambda: f"it did not end: {job_of(manager, job_id)}",
        poll_s=0.3,
    )
    return job_of(manager, job_id)


@pytest.mark.xdist_group("jobs")  # one after the other: each needs the whole machine
@pytest.mark.timeout(400)
def test_ten_thousand_are_each_handled_once_while_all_is_killed(
    start_manager: Callable[..., ManagerProcess], broker: BrokerNode, ledger: str
) -> None:
    manager = start_manager(DLQ_LEDGER_URL=ledger)
    fill(manager, COUNT)
    effects = Effects()
    with RetryWorker(default=effects, settings=manager.settings, concurrency=2):
        job_id = begin(manager, where="error_type:spotify", rate="500/s", concurrency=100)
        fill(manager, 10)  # what arrives later is not swept in
        for number in range(KILLS):
            wait_done(manager, job_id, (number + 1) * COUNT // (KILLS + 2), 120)
            manager.kill()
            if number == KILLS // 2:
                broker.stop()
                broker.start()
            manager.start()
        job = finish(manager, job_id, 180)
    assert (job["state"], job["total"], job["succeeded"]) == ("finished", COUNT, COUNT)
    assert len(effects.counts) == COUNT
    assert set(effects.counts.values()) == {1}
    by_state = manager.get("/dlq/stats")["by_state"]
    assert (by_state["resolved"], by_state["pending"]) == (COUNT, 10)
    manager.stop()


@pytest.mark.xdist_group("jobs")
@pytest.mark.timeout(300)
def test_two_managers_share_a_job_and_send_nothing_twice(
    start_manager: Callable[..., ManagerProcess], postgres: PostgresCluster
) -> None:
    shared = postgres.fresh_database()
    both = [start_manager(DLQ_LEDGER_URL=shared) for _ in range(2)]
    fill(both[0], 3000)
    effects = Effects()
    with RetryWorker(default=effects, settings=both[0].settings, concurrency=2):
        job_id = begin(both[0], where="error_type:spotify", rate="400/s", concurrency=100)
        job = finish(both[1], job_id, 120)
    assert (job["state"], job["succeeded"]) == ("finished", 3000)
    assert set(effects.counts.values()) == {1}
    assert len(effects.counts) == 3000
    sent = [_counter(manager, 'dlq_replay_total{status="success"}') for manager in both]
    assert sum(sent) == 3000
    assert min(sent) > 300, "one manager did nearly all of the work"
    rows = postgres.execute("SELECT max(replay_count) FROM dead_letters", shared.rpartition("/")[2])
    assert rows == [(1,)]


def _counter(manager: ManagerProcess, sample: str) -> float:
    text = httpx2.get(f"{manager.url}/metrics", timeout=20).text
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(sample))


# --- a provider that allows one a second -------------------------------------------------


class OncePerSecond(http.server.BaseHTTPRequestHandler):
    """Answers one request a second, and 429 to what comes sooner."""

    answers: list[int]
    lock: threading.Lock
    last_at: float

    def do_GET(self) -> None:
        kind = type(self)
        with kind.lock:
            now = time.monotonic()
            fine = now - kind.last_at >= 1.0
            if fine:
                kind.last_at = now
            kind.answers.append(200 if fine else 429)
        self.send_response(200 if fine else 429)
        if not fine:
            self.send_header("Retry-After", "1")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def provider() -> Iterator[tuple[str, list[int]]]:
    handler = type(
        "Handler",
        (OncePerSecond,),
        {"answers": [], "lock": threading.Lock(), "last_at": float("-inf")},
    )
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", handler.answers  # type: ignore[attr-defined]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.timeout(400)
def test_a_provider_of_one_a_second_refuses_next_to_nothing(
    start_manager: Callable[..., ManagerProcess], provider: tuple[str, list[int]]
) -> None:
    url, answers = provider
    manager = start_manager(DLQ_PROVIDER_LIMITS="")  # musicbrainz: 1/s, as shipped
    fill(manager, 120, error_type="musicbrainz", error_message="503 Service Unavailable")

    def ask(_: DLQMessage) -> None:
        httpx2.get(url, timeout=5).raise_for_status()

    with RetryWorker({"musicbrainz": ask}, settings=manager.settings, concurrency=4):
        job_id = begin(manager, where="error_type:musicbrainz", max_retries=1)
        job = finish(manager, job_id, 300)
    assert job["state"] == "finished"
    assert job["succeeded"] + job["failed"] == 120
    assert len(answers) == 120
    assert answers.count(429) <= 0.05 * 120


# --- outcomes that nobody reports --------------------------------------------------------


def test_without_a_taker_a_job_sees_its_replays_return(
    start_manager: Callable[..., ManagerProcess],
) -> None:
    manager = start_manager(DLQ_RETRY_TTL_MS="1000")
    fill(manager, 20)
    job = finish(manager, begin(manager, where="error_type:spotify", concurrency=50), 30)
    assert (job["state"], job["returned"]) == ("finished", 20)
    found = manager.get("/dlq/messages", where="outcome:returned")
    assert [message["state"] for message in found] == ["pending"] * 20


def test_a_taker_that_never_reports_is_presumed(
    start_manager: Callable[..., ManagerProcess],
) -> None:
    manager = start_manager(DLQ_RETRY_TTL_MS="2000", DLQ_REPLAY_GRACE_S="1")
    fill(manager, 5)
    broker_url = manager.settings.amqp_url
    assert broker_url is not None
    job_id = begin(manager, where="error_type:spotify")
    connection = pika.BlockingConnection(pika.URLParameters(broker_url))
    channel = connection.channel()
    queue = channel.consume("enrichment.dlq.retry", inactivity_timeout=20)
    for method, _, _ in itertools.islice(queue, 5):
        assert method is not None, "nothing was sent"
        channel.basic_ack(method.delivery_tag)
    channel.cancel()
    connection.close()
    job = finish(manager, job_id, 30)
    assert (job["presumed"], job["returned"], job["success_rate"]) == (5, 0, 0)
    found = manager.get("/dlq/messages", where="outcome:presumed")
    assert [message["state"] for message in found] == ["pending"] * 5
