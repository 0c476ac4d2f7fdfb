"""The transport and the life of processes: fork, exit, other event loops."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

from dlq.transport.amqp import AmqpPublisher
from tests.integration.transport_tools import collect, consuming, eventually, wire

if TYPE_CHECKING:
    from dlq.settings import Settings


def in_child(act: object) -> int:
    """Fork, run, and return the exit status; the child never returns into pytest."""
    assert callable(act)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if act() else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_after_a_fork_both_sides_publish_on_their_own(broker_settings: Settings) -> None:
    publisher = AmqpPublisher(broker_settings, name="test-fork")
    publisher.publish(wire(message_id="before")).result(10)

    def child() -> bool:
        futures = [publisher.publish(wire(message_id=f"child-{n}")) for n in range(100)]
        return all(future.exception(15) is None for future in futures)

    under_way = [publisher.publish(wire(message_id=f"parent-{n}")) for n in range(100)]
    assert in_child(child) == 0
    under_way.append(publisher.publish(wire(message_id="after")))
    assert all(future.exception(15) is None for future in under_way)
    publisher.close(5)
    ids = [d.wire.properties["message_id"] for d in collect(broker_settings, 202)]
    expected = {"before", "after"} | {
        f"{who}-{n}" for who in ("child", "parent") for n in range(100)
    }
    assert set(ids) == expected
    assert len(ids) == len(expected)


def test_a_child_holds_none_of_its_parents_connections(broker_settings: Settings) -> None:
    """Else the broker would not see the parent die while the child lives."""
    publisher = AmqpPublisher(broker_settings, name="test-fork")
    publisher.publish(wire()).result(10)
    assert open_tcp()

    assert in_child(lambda: not open_tcp()) == 0
    assert publisher.publish(wire()).result(10) is None
    publisher.close(5)


def open_tcp() -> set[str]:
    """This process's descriptors that are established TCP connections of ours."""
    with open("/proc/net/tcp") as table:  # noqa: PTH123
        inodes = {line.split()[9] for line in table.readlines()[1:] if line.split()[3] == "01"}
    links = set()
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            links.add(os.readlink(f"/proc/self/fd/{number}"))  # noqa: PTH115
        except OSError:
            continue
    return {link for link in links if link.removeprefix("socket:[").rstrip("]") in inodes}


def test_deliveries_of_the_parent_are_stale_in_the_child(broker_settings: Settings) -> None:
    publisher = AmqpPublisher(broker_settings, name="test-fork")
    publisher.publish(wire()).result(10)
    publisher.close(5)
    with consuming(broker_settings, broker_settings.main_queue) as (consumer, inbox):
        delivery = inbox.next()

        def child() -> bool:
            consumer.start()
            eventually(lambda: consumer.is_up)
            stale = consumer.ack([delivery]).result(10) is False
            consumer.close(5)
            return stale

        assert in_child(child) == 0
        assert consumer.ack([delivery]).result(10) is True


def run_script(settings: Settings, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        env=os.environ | {"DLQ_BROKER_URL": settings.amqp_url or ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


PREAMBLE = """
from dlq.message import WireMessage
from dlq.settings import Settings
from dlq.transport.amqp import AmqpPublisher
publisher = AmqpPublisher(Settings.load(), name="script")
wire = WireMessage(b"{}", "a.enrichment.failed", {}, {"message_id": "m"})
"""


def test_a_script_may_end_without_closing(broker_settings: Settings) -> None:
    done = run_script(
        broker_settings, PREAMBLE + "publisher.publish(wire).result(20)\nprint('confirmed')"
    )
    assert (done.stdout, done.stderr, done.returncode) == ("confirmed\n", "", 0)
    assert len(collect(broker_settings, 1)) == 1


def test_it_publishes_from_a_twisted_reactor_without_blocking_it(broker_settings: Settings) -> None:
    done = run_script(
        broker_settings,
        """
        from twisted.internet import asyncioreactor
        asyncioreactor.install()
        from twisted.internet import reactor
        """
        + textwrap.indent(PREAMBLE, " " * 8)
        + """
        def on_done(future):
            print("failed" if future.exception() else "confirmed")
            reactor.callFromThread(reactor.stop)

        def begin():
            publisher.publish(wire).add_done_callback(on_done)
            print("returned")

        reactor.callWhenRunning(begin)
        reactor.run()
        """,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("returned\nconfirmed\n", "", 0)
