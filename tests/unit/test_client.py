"""What `DLQClient` promises to an `except` block, with the other side in memory."""

from __future__ import annotations

import asyncio
import gc
import logging
import sqlite3
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dlq.client.default as default_client
from dlq.client import AsyncDLQClient, Custody, DLQClient, Failure, Spool, flush_spool
from dlq.client.courier import Courier
from dlq.client.receipt import Receipt
from dlq.decode import decode
from dlq.errors import SettingsError, SpoolError
from dlq.settings import Settings
from tests.support.publishers import MemoryPublisher
from tests.support.waiting import until

DESTINATION = "memory://test"


def fast(**fields: Any) -> Settings:
    return Settings(**{"confirm_timeout_s": 1.0, "reconnect_max_s": 0.2, **fields})


def client(publisher: MemoryPublisher, settings: Settings | None = None, **more: Any) -> DLQClient:
    return DLQClient(settings or fast(), open_publisher=publisher, **more)


def spooled_ids(settings: Settings) -> list[str]:
    return [entry.message_id for entry in Spool(settings).entries()]


# --- receipts ---


def test_a_confirmed_failure_gives_a_true_receipt() -> None:
    publisher = MemoryPublisher()
    with client(publisher) as dlq:
        receipt = dlq.publish_to_dlq(item={"a": 1}, error=ValueError("x"), message_id="mine")
    assert receipt
    assert receipt == Receipt("mine", Custody.CONFIRMED)
    assert publisher.confirmed_ids == ["mine"]
    assert publisher.closed


@pytest.mark.parametrize("mode", ["down", "hang", "nack", "return"])
def test_what_is_not_confirmed_is_spooled(mode: str) -> None:
    settings = fast()
    with client(MemoryPublisher(mode=mode), settings) as dlq:
        receipt = dlq.publish_to_dlq(item={"a": 1}, error="x")
        assert receipt
        assert receipt.state == "spooled"
    assert spooled_ids(settings) == [receipt.message_id]


def test_what_will_never_be_accepted_is_kept_for_a_person(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = fast()
    publisher = MemoryPublisher(mode="reject")
    with client(publisher, settings) as dlq:
        receipt = dlq.publish_to_dlq(item={"a": 1}, error="x")
    assert (receipt.state, receipt.reason) == ("spooled", "injected: reject")
    (entry,) = Spool(settings).entries()
    assert entry.rejected
    assert entry.last_error == "injected: reject"
    assert "dlq spool" in caplog.text


def test_a_payload_over_the_bound_is_refused_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    publisher = MemoryPublisher()
    with client(publisher, fast(max_body_bytes=2048)) as dlq:
        receipt = dlq.publish_to_dlq(item={"big": "x" * 5000}, error="x")
    assert not receipt
    assert receipt.reason is not None
    assert "DLQ_MAX_BODY_BYTES" in receipt.reason
    assert publisher.calls == 0
    assert receipt.message_id in caplog.text


def test_at_the_bound_of_the_spool_the_receipt_is_false(caplog: pytest.LogCaptureFixture) -> None:
    settings = fast(spool_max_bytes=4096)
    with client(MemoryPublisher(mode="down"), settings) as dlq:
        receipts = [dlq.publish_to_dlq(item={"x": "y" * 500}, error="x") for _ in range(6)]
    kept = [receipt.message_id for receipt in receipts if receipt]
    assert 0 < len(kept) < 6
    assert spooled_ids(settings) == kept
    assert not receipts[-1]
    assert "DLQ_SPOOL_MAX_BYTES" in str(receipts[-1].reason)
    assert receipts[-1].message_id in caplog.text


def test_a_disk_that_cannot_be_written_gives_a_false_receipt(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with client(MemoryPublisher(mode="down"), fast(spool_dir=tmp_path / "file")) as dlq:
        receipt = dlq.publish_to_dlq(item={}, error="x")
        assert not receipt
        assert "DLQ_SPOOL_DIR" in str(receipt.reason)
        assert not dlq.flush(1)


def test_a_batch_gives_a_receipt_each_in_order() -> None:
    publisher = MemoryPublisher()
    failures: list[Any] = [
        Failure({"n": 0}, "x", message_id="0"),
        {"item": {"n": 1}, "error": "x", "message_id": "1", "surprise": True},
        "no failure at all",
    ]
    with client(publisher) as dlq:
        receipts = dlq.publish_batch(failures)
        assert dlq.publish_batch([]) == []
    assert [receipt.state for receipt in receipts] == ["confirmed"] * 3
    assert [receipt.message_id for receipt in receipts] == publisher.confirmed_ids
    assert publisher.confirmed_ids[:2] == ["0", "1"]
    assert decode(publisher.confirmed[2]).message.payload == {"value": "no failure at all"}


# --- time ---


def test_only_the_first_call_waits_for_a_broker_that_hangs() -> None:
    with client(MemoryPublisher(mode="hang"), fast(confirm_timeout_s=2)) as dlq:
        started = time.monotonic()
        assert dlq.publish_to_dlq(item={}, error="x").state == "spooled"
        first_s = time.monotonic() - started
        assert first_s < 2
        for _ in range(20):
            assert dlq.publish_to_dlq(item={}, error="x").state == "spooled"
        assert time.monotonic() - started < first_s + 1


def test_a_batch_waits_once_for_all() -> None:
    with client(MemoryPublisher(mode="hang"), fast(confirm_timeout_s=3)) as dlq:
        started = time.monotonic()
        receipts = dlq.publish_batch([Failure({"n": n}, "x") for n in range(200)])
        assert time.monotonic() - started < 3.5
    assert {receipt.state for receipt in receipts} == {"spooled"}


def test_a_disk_that_hangs_does_not_hold_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    disk_answers = threading.Event()
    append = Spool.append
    entered = threading.Event()

    def slow(self: Spool, messages: Any) -> list[bool]:
        entered.set()
        assert disk_answers.wait(30)
        return append(self, messages)

    monkeypatch.setattr(Spool, "append", slow)
    settings = fast()
    publisher = MemoryPublisher(mode="down")
    with client(publisher, settings) as dlq:
        started = time.monotonic()
        first = dlq.publish_to_dlq(item={}, error="x")
        assert time.monotonic() - started < 1.3
        assert entered.is_set()
        started = time.monotonic()
        second = dlq.publish_to_dlq(item={}, error="x")
        assert time.monotonic() - started < 0.2  # nobody waits a second time
        assert not first
        assert "in memory" in str(first.reason)
        disk_answers.set()
        until(lambda: len(spooled_ids(settings)) == 2, 10, "not written when the disk answered")
        assert spooled_ids(settings) == [first.message_id, second.message_id]
        assert dlq.publish_to_dlq(item={}, error="x").state == "spooled"


def test_a_database_locked_by_another_process_does_not_hold_the_caller() -> None:
    settings = fast()
    publisher = MemoryPublisher(mode="down")
    with client(publisher, settings) as dlq:
        first = dlq.publish_to_dlq(item={}, error="x")
        other = sqlite3.connect(Spool(settings).path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        second = dlq.publish_to_dlq(item={}, error="x")
        assert time.monotonic() - started < 1.3
        assert not second
        other.execute("ROLLBACK")
        other.close()
        ids = [first.message_id, second.message_id]
        until(lambda: spooled_ids(settings) == ids, 10, "not written when the lock went")


def test_a_full_disk_gives_a_false_receipt_and_no_exception() -> None:
    program = """
import resource
from dlq.client import DLQClient
from tests.support.publishers import MemoryPublisher
with DLQClient(open_publisher=MemoryPublisher(mode="down")) as dlq:
    assert dlq.publish_to_dlq(item={}, error="x").state == "spooled"
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    receipts = [dlq.publish_to_dlq(item={"x": "y" * 20_000}, error="x") for _ in range(20)]
    for receipt in receipts:
        print(receipt.state)
    assert "DLQ_SPOOL_DIR" in receipts[-1].reason, receipts[-1]
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    states = done.stdout.split()
    assert (states[0], states[-1]) == ("spooled", "refused")
    assert len(spooled_ids(fast())) == states.count("spooled") + 1


# --- the way back ---


@pytest.mark.parametrize("mode", ["nack", "return"])
def test_what_was_refused_for_now_is_sent_again(mode: str) -> None:
    publisher = MemoryPublisher(mode=mode)
    settings = fast()
    with client(publisher, settings) as dlq:
        receipt = dlq.publish_to_dlq(item={}, error="x")
        until(lambda: Spool(settings).entries()[0].attempts > 0, 10, "it was not tried again")
        assert Spool(settings).entries()[0].last_error == f"injected: {mode}"
        publisher.mode = "confirm"
        assert dlq.flush(10)
    assert publisher.confirmed_ids == [receipt.message_id]


def test_the_spool_is_drained_in_order_when_the_broker_is_back() -> None:
    settings = fast()
    publisher = MemoryPublisher(mode="down")
    with client(publisher, settings) as dlq:
        ids = [dlq.publish_to_dlq(item={"n": n}, error="x").message_id for n in range(30)]
        publisher.mode = "confirm"
        assert dlq.flush(10)
        assert publisher.confirmed_ids == ids
        assert spooled_ids(settings) == []
        assert dlq.publish_to_dlq(item={}, error="x").state == "confirmed"


def test_a_new_client_with_nothing_to_publish_drains_what_others_left() -> None:
    with client(MemoryPublisher(mode="down")) as dlq:
        left = dlq.publish_to_dlq(item={}, error="x").message_id
    publisher = MemoryPublisher()
    with client(publisher):
        until(lambda: publisher.confirmed_ids == [left], 10, "the spool was not drained")


def test_a_client_of_another_broker_leaves_the_spool_alone() -> None:
    settings = fast()
    with client(MemoryPublisher(mode="down"), settings) as dlq:
        left = dlq.publish_to_dlq(item={}, error="x").message_id
    other = MemoryPublisher(destination="memory://other")
    with client(other, settings) as dlq:
        assert dlq.flush(5)
    assert other.calls == 0
    assert spooled_ids(settings) == [left]


def test_an_entry_that_is_never_accepted_does_not_hold_up_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = fast()
    publisher = MemoryPublisher(mode="down")
    publisher.rejects = lambda wire: publisher.mode == "confirm" and b"poison" in wire.body
    with client(publisher, settings) as dlq:
        ids = [
            dlq.publish_to_dlq(item={"n": name}, error="x").message_id
            for name in ("a", "poison", "b")
        ]
        publisher.mode = "confirm"
        assert dlq.flush(10)
    assert publisher.confirmed_ids == [ids[0], ids[2]]
    (kept,) = Spool(settings).entries()
    assert (kept.message_id, kept.rejected, kept.last_error) == (ids[1], True, "it is not wanted")
    assert ids[1] in caplog.text


def test_flush_gives_up_in_time_while_the_broker_is_down() -> None:
    with client(MemoryPublisher(mode="down")) as dlq:
        dlq.publish_to_dlq(item={}, error="x")
        started = time.monotonic()
        assert not dlq.flush(0.5)
        assert 0.4 < time.monotonic() - started < 2


def test_flush_spool_says_what_it_came_to() -> None:
    settings = fast()
    publisher = MemoryPublisher(mode="down")
    with client(publisher, settings) as dlq:
        for _ in range(3):
            dlq.publish_to_dlq(item={}, error="x")
    stuck = flush_spool(settings, 0.3, MemoryPublisher(mode="down"))
    assert (stuck.sent, stuck.left, stuck.rejected) == (0, 3, 0)
    done = flush_spool(settings, 10, MemoryPublisher())
    assert (done.destination, done.sent, done.left) == (DESTINATION, 3, 0)


def test_closing_hands_what_is_under_way_to_the_spool() -> None:
    settings = fast(confirm_timeout_s=30)
    publisher = MemoryPublisher(mode="hang")
    dlq = client(publisher, settings)
    receipts: list[Receipt] = []
    thread = threading.Thread(
        target=lambda: receipts.append(dlq.publish_to_dlq(item={}, error="x"))
    )
    thread.start()
    until(lambda: publisher.calls == 1, 10, "nothing was published")
    dlq.close()
    thread.join(10)
    assert [receipt.state for receipt in receipts] == ["spooled"]
    assert spooled_ids(settings) == [receipts[0].message_id]


def test_a_closed_client_still_takes_failures() -> None:
    publisher = MemoryPublisher()
    dlq = client(publisher)
    dlq.close()
    dlq.close()
    assert dlq.publish_to_dlq(item={}, error="x").state == "confirmed"
    dlq.close()


def test_a_forgotten_client_ends_its_threads() -> None:
    before = set(threading.enumerate())
    dlq = client(MemoryPublisher(mode="down"))
    dlq.publish_to_dlq(item={}, error="x")
    courier = weakref.ref(dlq._core._process.courier)
    threads = [t for t in threading.enumerate() if t not in before]
    assert {t.name for t in threads} == {"dlq-drain", "dlq-spool-writer"}
    del dlq
    gc.collect()
    until(lambda: not any(t.is_alive() for t in threads), 10, "threads are left")
    gc.collect()
    assert courier() is None


# --- from anywhere ---


def test_fifty_threads_share_one_client() -> None:
    publisher = MemoryPublisher()
    settings = fast(confirm_timeout_s=5)
    barrier = threading.Barrier(50)
    receipts: list[Receipt] = []

    def publish(dlq: DLQClient) -> None:
        barrier.wait()
        for n in range(4):
            if n == 2:
                publisher.mode = "down"
            receipts.append(dlq.publish_to_dlq(item={"n": n}, error="x"))

    with client(publisher, settings) as dlq:
        threads = [threading.Thread(target=publish, args=(dlq,)) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(receipts)
        assert {receipt.state for receipt in receipts} == {"confirmed", "spooled"}
        publisher.mode = "confirm"
        assert dlq.flush(20)
    assert sorted(publisher.confirmed_ids) == sorted(r.message_id for r in receipts)


async def test_the_sync_client_works_inside_a_running_loop() -> None:
    publisher = MemoryPublisher()
    with client(publisher) as dlq:
        assert dlq.publish_to_dlq(item={}, error="x").state == "confirmed"


async def test_the_async_client_does_not_block_the_loop() -> None:
    publisher = MemoryPublisher(mode="hang")
    settings = fast(confirm_timeout_s=0.8)
    async with AsyncDLQClient(settings, open_publisher=publisher) as dlq:
        publishing = asyncio.create_task(dlq.publish_to_dlq(item={}, error="x"))
        ticks = 0
        while not publishing.done():
            ticks += 1
            await asyncio.sleep(0.01)
        assert ticks > 10
        assert (await publishing).state == "spooled"
        assert [r.state for r in await dlq.publish_batch([Failure({}, "x")])] == ["spooled"]
        publisher.mode = "confirm"
        assert await dlq.flush(10)
        assert (await dlq.publish_to_dlq(item={}, error="x")).state == "confirmed"


async def test_a_cancelled_publish_leaves_its_message_in_the_spool() -> None:
    settings = fast(confirm_timeout_s=30)
    publisher = MemoryPublisher(mode="hang")
    async with AsyncDLQClient(settings, open_publisher=publisher) as dlq:
        task = asyncio.create_task(dlq.publish_to_dlq(item={}, error="x", message_id="cancelled"))
        await asyncio.to_thread(until, lambda: publisher.calls == 1, 10, "nothing was published")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        until(lambda: spooled_ids(settings) == ["cancelled"], 10, "not in the spool")


def test_ctrl_c_passes_through_and_the_message_is_spooled() -> None:
    settings = fast()
    program = """
import signal, threading, time
from dlq.client import DLQClient
from dlq.settings import Settings
from tests.support.publishers import MemoryPublisher
# Whoever runs the tests in the background has them started with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
publisher = MemoryPublisher(mode="hang")
dlq = DLQClient(Settings(confirm_timeout_s=30), open_publisher=publisher)
def interrupt():
    while not publisher.calls:
        time.sleep(0.01)
    time.sleep(0.1)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
    dlq.publish_to_dlq(item={}, error="x", message_id="interrupted")
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout == "interrupted\n", done.stderr
    assert spooled_ids(settings) == ["interrupted"]


# --- never raises ---


class Broken(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__"):
            return super().__getattribute__(name)
        raise RuntimeError("no attributes")


class BrokenItem:
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("nothing works")


@pytest.mark.parametrize(
    "make",
    [BrokenItem, lambda: {"x": BrokenItem()}, lambda: object, lambda: BrokenItem],
    ids=["item", "inside", "class", "broken class"],
)
def test_a_broken_item_and_a_broken_exception_still_give_a_dead_letter(
    make: Callable[[], Any],
) -> None:
    publisher = MemoryPublisher()
    with client(publisher) as dlq:
        item = make()
        assert dlq.publish_to_dlq(item=item, error=Broken(), metadata=item)
    assert decode(publisher.confirmed[0]).problem is None


def test_a_publisher_that_breaks_its_contract_costs_a_receipt_not_an_exception(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Bad(MemoryPublisher):
        def publish(self, wire: Any) -> Any:
            raise ZeroDivisionError("a bug")

    with client(Bad()) as dlq:
        receipt = dlq.publish_to_dlq(item={}, error="x")
    assert receipt.state == "spooled"
    assert "a bug" in caplog.text


def test_deep_in_a_recursion_it_does_not_raise() -> None:
    receipts: list[Receipt] = []
    with client(MemoryPublisher()) as dlq:

        def dive() -> None:
            try:
                dive()
            except RecursionError as error:
                if not receipts:
                    receipts.append(dlq.publish_to_dlq(item={}, error=error))
                raise

        with pytest.raises(RecursionError):
            dive()
    assert receipts


# --- configuration ---


def test_it_says_where_it_publishes_without_the_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = fast(broker_url="amqp://user:hidden@broker:5672/music")
    with caplog.at_level(logging.INFO), client(MemoryPublisher(), settings):
        pass
    assert "DLQ client initialized" in caplog.text
    assert "broker:5672/music" in caplog.text
    assert "hidden" not in caplog.text


def test_a_bad_setting_fails_at_construction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLQ_CONFIRM_TIMEOUT_S", "soon")
    with pytest.raises(SettingsError, match="DLQ_CONFIRM_TIMEOUT_S"):
        DLQClient()


def test_the_module_level_function_never_raises(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(default_client, "_client", None)
    monkeypatch.setenv("DLQ_CONFIRM_TIMEOUT_S", "soon")
    receipt = default_client.publish_to_dlq(item={}, error="x")
    assert not receipt
    assert "DLQ_CONFIRM_TIMEOUT_S" in str(receipt.reason)
    assert "DLQ_CONFIRM_TIMEOUT_S" in caplog.text


def test_the_module_level_function_keeps_one_client(monkeypatch: pytest.MonkeyPatch) -> None:
    publisher = MemoryPublisher()
    monkeypatch.setattr(default_client, "_client", client(publisher))
    assert default_client.publish_to_dlq({}, "x", 3, "service", {"m": 1}, message_id="a")
    assert publisher.confirmed_ids == ["a"]
    assert default_client._client is not None
    default_client._client.close()


def test_the_program_names_itself_where_the_pipeline_does_not() -> None:
    publisher = MemoryPublisher()
    with client(publisher) as dlq:
        dlq.publish_to_dlq(item={}, error="x")
    with client(publisher, source_service="mine") as dlq:
        dlq.publish_to_dlq(item={}, error="x")
        dlq.publish_to_dlq(item={}, error="x", source_service="the call's")
    names = [decode(wire).message.source_service for wire in publisher.confirmed]
    assert names[0] not in ("", "-c")
    assert names[1:] == ["mine", "the call's"]


def test_importing_the_package_loads_neither_pika_nor_httpx() -> None:
    program = "import sys, dlq; print({'pika', 'httpx', 'pydantic'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_the_services_import_path_gives_the_same_client() -> None:
    services = Path(__file__).parents[2] / "services"
    program = (
        "from common.dlq_client import DLQClient; import dlq; print(DLQClient is dlq.DLQClient)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(services)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True\n"


def test_a_spool_that_cannot_be_read_is_said_to_the_operator(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    (folder / "spool.sqlite").mkdir()
    with pytest.raises(SpoolError):
        flush_spool(fast(spool_dir=folder), 1, MemoryPublisher())
    courier = Courier(fast(spool_dir=folder), MemoryPublisher())
    courier.close(1)
