"""Processes that die, fork, and share one spool."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dlq.client import DLQClient, Spool
from dlq.settings import Settings
from tests.support.ports import free_port
from tests.support.publishers import Intake
from tests.support.waiting import until


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """Where a manager may be; the environment points clients there."""
    number = free_port()
    monkeypatch.setenv("DLQ_URL", f"http://127.0.0.1:{number}")
    monkeypatch.setenv("DLQ_CONFIRM_TIMEOUT_S", "3")
    monkeypatch.setenv("DLQ_RECONNECT_MAX_S", "0.3")
    return number


def start(program: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def run(program: str, timeout_s: float = 40) -> str:
    with start(program) as process:
        try:
            output, _ = process.communicate(timeout=timeout_s)
        finally:
            process.kill()
    assert process.returncode == 0, output
    return output


ENDLESS = """
from dlq import DLQClient
dlq = DLQClient()
while True:
    receipt = dlq.publish_to_dlq(item={"a": 1}, error="x")
    assert receipt
    print(receipt.message_id, receipt.state, flush=True)
"""


def test_kill_9_loses_nothing_that_had_a_receipt(port: int) -> None:
    with start(ENDLESS) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(25)]
        process.kill()
        lines += process.stdout.readlines()
    ids = [line.split()[0] for line in lines if line.endswith("spooled\n")]
    assert len(ids) >= 25
    assert process.returncode == -signal.SIGKILL
    with Intake(port) as intake, DLQClient():
        until(lambda: set(ids) <= set(intake.ids), 20, "not everything was drained")
        # A message may have been spooled whose receipt was never printed; none may be new.
        assert [i for i in intake.ids if i in set(ids)] == ids
        until(lambda: Spool(Settings()).summary() == [], 10, "entries are left in the spool")


HOLDING = """
import time
from dlq import DLQClient
from dlq.client.drain import Drainer
Drainer._drain = lambda self: (print("draining", flush=True), time.sleep(600))
dlq = DLQClient()
time.sleep(600)
"""


def test_kill_9_of_the_drainer_hands_the_work_to_another(port: int) -> None:
    with DLQClient() as dlq:
        ids = [dlq.publish_to_dlq(item={"n": n}, error="x").message_id for n in range(10)]
    with start(HOLDING) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "draining\n"
        with Intake(port) as intake, DLQClient() as dlq:
            assert not dlq.flush(0.5)
            assert intake.ids == []  # one drainer at a time
            holder.kill()
            until(lambda: intake.ids == ids, 20, "the survivor did not drain")


def test_two_processes_fill_one_spool_and_one_drains_it(port: int) -> None:
    publish = """
from dlq import DLQClient
with DLQClient() as dlq:
    for n in range(40):
        receipt = dlq.publish_to_dlq(item={"n": n}, error="x")
        assert receipt.state == "spooled", receipt
        print(receipt.message_id)
"""
    processes = [start(publish) for _ in range(2)]
    outputs = [process.communicate(timeout=40)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    with Intake(port) as intake, DLQClient() as dlq:
        assert dlq.flush(20)
        for ids in outputs:
            assert [i for i in intake.ids if i in set(ids)] == ids
        assert len(intake.ids) == 80


def test_leaving_without_close_loses_nothing(port: int) -> None:
    output = run(
        """
import threading
from dlq import DLQClient
from tests.support.publishers import MemoryPublisher
from tests.support.waiting import until
publisher = MemoryPublisher(mode="hang")
from dlq.settings import Settings
dlq = DLQClient(Settings(confirm_timeout_s=60), open_publisher=publisher)
threading.Thread(
    target=dlq.publish_to_dlq, kwargs=dict(item={}, error="x", message_id="late"), daemon=True
).start()
until(lambda: publisher.calls == 1, 10, "not published")
print("leaving")
"""
    )
    assert output == "leaving\n"
    assert [entry.message_id for entry in Spool(Settings()).entries()] == ["late"]


FORKING = """
import multiprocessing, os, threading, time
from dlq import DLQClient

dlq = DLQClient()
dlq.publish_to_dlq(item={"from": "parent"}, error="x")
stop = threading.Event()

def busy():  # so that forks happen while locks are held and files are open
    while not stop.is_set():
        dlq.publish_to_dlq(item={"from": "parent"}, error="x")

def child(results):
    receipts = [dlq.publish_to_dlq(item={"from": "child"}, error="x") for _ in range(3)]
    results.put([(r.message_id, str(r.state)) for r in receipts])
    dlq.close()

threads = [threading.Thread(target=busy) for _ in range(4)]
for thread in threads:
    thread.start()
context = multiprocessing.get_context("fork")
results = context.SimpleQueue()
for _ in range(5):
    children = [context.Process(target=child, args=(results,)) for _ in range(2)]
    for process in children:
        process.start()
    for process in children:
        process.join(20)
        assert process.exitcode == 0, process.exitcode
    for _ in children:
        for message_id, state in results.get():
            print(message_id, state)
stop.set()
for thread in threads:
    thread.join()
dlq.close()
"""


@pytest.mark.parametrize("manager", ["up", "down"])
def test_children_forked_while_locks_are_held_publish_too(port: int, manager: str) -> None:
    if manager == "up":
        with Intake(port) as intake:
            lines = [line.split() for line in run(FORKING, 60).splitlines()]
            with DLQClient() as dlq:
                assert dlq.flush(20)
            assert {i for i, _ in lines} <= set(intake.ids)
    else:
        lines = [line.split() for line in run(FORKING, 60).splitlines()]
        kept = {entry.message_id for entry in Spool(Settings()).entries(100_000)}
        assert {i for i, _ in lines} <= kept
        assert {state for _, state in lines} == {"spooled"}
    assert len(lines) == 30


def test_inside_a_twisted_reactor(port: int) -> None:
    pytest.importorskip("twisted.internet")
    program = """
from twisted.internet import reactor, threads
from dlq import DLQClient
dlq = DLQClient()

def on_the_reactor():
    print(dlq.publish_to_dlq(item={"a": 1}, error="x").state, flush=True)
    threads.deferToThread(dlq.publish_to_dlq, item={}, error="x").addCallback(in_a_thread)

def in_a_thread(receipt):
    print(receipt.state, flush=True)
    dlq.close()
    reactor.stop()

reactor.callWhenRunning(on_the_reactor)
reactor.run()
"""
    with Intake(port):
        assert run(program) == "confirmed\nconfirmed\n"
    assert run(program) == "spooled\nspooled\n"


def test_sigterm_during_a_publish_leaves_a_readable_spool(port: int) -> None:
    with start(ENDLESS) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, signal.SIGTERM)
        process.wait(10)
    entries = Spool(Settings()).entries(10_000)
    assert entries
    assert not list(Settings().spool_dir.glob("*.corrupt-*"))
