"""Every line of the specification that a person would type, run as written.

Only the port differs. Run in a real shell with the real `curl` and `jq`, against a manager in
each shape.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest

from dlq import DLQClient
from dlq.client.receipt import Receipt
from tests.support.manager import ManagerProcess
from tests.support.rabbitmq import BrokerNode
from tests.support.waiting import until

pytestmark = pytest.mark.xdist_group("spec")


def publish(manager: ManagerProcess, count: int, error_type: str = "spotify") -> list[Receipt]:
    with DLQClient(manager.settings) as dlq:
        receipts = [
            dlq.publish_to_dlq(
                item={"artist": "Deadmau5", "title": f"Strobe {n}"},
                error=RuntimeError("Rate limit exceeded: 429 Too Many Requests"),
                error_type=error_type,
                retry_count=3,
                source_service="api-enrichment-pipeline",
                metadata={"spider": "mixesdb"},
            )
            for n in range(count)
        ]
    assert all(receipt.state == "confirmed" for receipt in receipts)
    return receipts


class Shell:
    """Runs a line of the specification with the port of the manager under test."""

    def __init__(self, manager: ManagerProcess, folder: Path) -> None:
        self._port, self._folder = manager.port, folder

    def __call__(self, line: str) -> str:
        # --silent, for curl's progress meter is not an answer.
        line = line.replace("localhost:8024", f"localhost:{self._port}").replace(
            "curl ", "curl --silent "
        )
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, line: str) -> Any:
        return json.loads(self(line))


@pytest.fixture
def shell(manager: ManagerProcess, tmp_path: Path) -> Shell:
    return Shell(manager, tmp_path)


MESSAGE_FIELDS = {
    "message_id",
    "correlation_id",
    "routing_key",
    "timestamp",
    "retry_count",
    "error_type",
    "error_message",
    "stack_trace",
    "source_service",
    "payload",
    "metadata",
}


def test_the_list_shows_messages_as_specified_page_by_page(
    manager: ManagerProcess, shell: Shell
) -> None:
    receipts = publish(manager, 3)
    manager.wait_in_dlq(3)

    # Unquoted, the shell takes the & for itself: it must work all the same.
    listed = shell.json("curl http://localhost:8024/dlq/messages?limit=100&offset=0\nwait")
    assert [m["message_id"] for m in listed] == [r.message_id for r in receipts]
    assert set(listed[0]) >= MESSAGE_FIELDS
    assert listed[0]["routing_key"] == "spotify.enrichment.failed"
    assert listed[0]["retry_count"] == 3
    assert listed[0]["payload"] == {"artist": "Deadmau5", "title": "Strobe 0"}
    assert listed[0]["metadata"] == {"spider": "mixesdb"}
    assert listed[0]["timestamp"].endswith("Z")
    assert listed[0]["stack_trace"].startswith("RuntimeError: Rate limit exceeded")

    page = shell.json('curl "http://localhost:8024/dlq/messages?limit=1&offset=2"')
    assert [m["message_id"] for m in page] == [receipts[2].message_id]


def test_the_statistics_are_as_specified(manager: ManagerProcess, shell: Shell) -> None:
    publish(manager, 2)
    publish(manager, 1, "musicbrainz")
    manager.wait_in_dlq(3)

    stats = shell.json("curl http://localhost:8024/dlq/stats")
    assert stats["total_messages"] == 3
    assert stats["by_error_type"] == {"spotify": 2, "musicbrainz": 1}
    assert stats["by_service"] == {"api-enrichment-pipeline": 3}
    assert 0 <= stats["newest_message_age_seconds"] <= stats["oldest_message_age_seconds"] < 60
    assert set(stats["queue_stats"]) == {
        "enrichment.dlq.queue",
        "enrichment.dlq.retry",
        "enrichment.dlq.analysis",
    }
    assert stats["queue_stats"]["enrichment.dlq.queue"] == 3
    embedded = "DLQ_BROKER_URL" not in manager.environment
    tap = """curl http://localhost:8024/dlq/stats | jq '.queue_stats."enrichment.dlq.analysis"'"""
    copies = "0\n" if embedded else "3\n"
    until(lambda: shell(tap) == copies, 10, "the analysis queue did not get its copies")

    line = """curl http://localhost:8024/dlq/stats | jq '.queue_stats."enrichment.dlq.retry"'"""
    assert shell(line) == "0\n"


def test_groups_by_error_type_are_as_specified(manager: ManagerProcess, shell: Shell) -> None:
    ids = [receipt.message_id for receipt in publish(manager, 4)]
    publish(manager, 1, "lastfm")
    manager.wait_in_dlq(5)

    groups = shell.json("curl http://localhost:8024/dlq/errors/grouped")
    assert [(g["error_type"], g["count"]) for g in groups] == [("spotify", 4), ("lastfm", 1)]
    assert len(groups[0]["sample_messages"]) == 3
    assert set(groups[0]["sample_messages"]) <= set(ids)
    assert groups[0]["first_seen"] <= groups[0]["last_seen"]

    only = shell.json(
        "curl http://localhost:8024/dlq/errors/grouped | "
        "jq '.[] | select(.error_type==\"spotify\")'"
    )
    assert only["count"] == 4


def test_a_single_replay_answers_as_specified(manager: ManagerProcess, shell: Shell) -> None:
    (receipt,) = publish(manager, 1)
    manager.wait_in_dlq(1)

    line = f"curl -X POST http://localhost:8024/dlq/replay/{receipt.message_id}"
    assert shell.json(line) == {
        "success": True,
        "message": f"Message {receipt.message_id} replayed successfully",
    }
    retry = """curl http://localhost:8024/dlq/stats | jq '.queue_stats."enrichment.dlq.retry"'"""
    until(lambda: shell(retry) == "1\n", 10, "the replay is not in the retry queue")
    assert shell.json(line)["code"] == "illegal_state"  # it is on its way already


def test_a_batch_replay_answers_as_specified(manager: ManagerProcess, shell: Shell) -> None:
    ids = [receipt.message_id for receipt in publish(manager, 3)]
    manager.wait_in_dlq(3)

    body = json.dumps({"message_ids": ids, "max_retries": 3})
    line = (
        "curl -X POST http://localhost:8024/dlq/replay/batch \\\n"
        '  -H "Content-Type: application/json" \\\n'
        f"  -d '{body}'"
    )
    assert shell.json(line) == {
        "success": True,
        "replayed_count": 3,
        "failed_count": 0,
        "errors": [],
    }
    assert manager.get("/dlq/stats")["by_state"]["replaying"] == 3


def test_a_batch_replay_names_each_id_that_failed(manager: ManagerProcess, shell: Shell) -> None:
    (receipt,) = publish(manager, 1)
    manager.wait_in_dlq(1)

    body = json.dumps({"message_ids": ["no-such-id", receipt.message_id], "max_retries": 3})
    answer = shell.json(
        "curl -X POST http://localhost:8024/dlq/replay/batch "
        f"-H 'Content-Type: application/json' -d '{body}'"
    )
    assert (answer["success"], answer["replayed_count"], answer["failed_count"]) == (False, 1, 1)
    assert answer["errors"][0]["message_id"] == "no-such-id"
    assert answer["errors"][0]["code"] == "not_found"


def test_replaying_one_by_one_from_a_file_works(
    manager: ManagerProcess, shell: Shell, tmp_path: Path
) -> None:
    ids = [receipt.message_id for receipt in publish(manager, 2, "musicbrainz")]
    manager.wait_in_dlq(2)
    (tmp_path / "message_ids.txt").write_text("\n".join(ids))

    answers = shell(
        "for msg_id in $(cat message_ids.txt); do\n"
        "  curl -X POST http://localhost:8024/dlq/replay/$msg_id\n"
        "  sleep 1\n"
        "done"
    )
    assert answers.count("replayed successfully") == 2


def test_a_delete_answers_as_specified_and_is_final(manager: ManagerProcess, shell: Shell) -> None:
    (receipt,) = publish(manager, 1)
    manager.wait_in_dlq(1)

    line = f"curl -X DELETE http://localhost:8024/dlq/message/{receipt.message_id}"
    assert shell.json(line) == {
        "success": True,
        "message": f"Message {receipt.message_id} permanently deleted",
    }
    assert shell.json("curl http://localhost:8024/dlq/messages") == []
    assert shell.json(line)["code"] == "not_found"


def test_the_export_lines_work(manager: ManagerProcess, shell: Shell) -> None:
    publish(manager, 2)
    publish(manager, 1, "lastfm")
    manager.wait_in_dlq(3)

    shell("curl http://localhost:8024/dlq/messages?limit=1000 > dlq_export_$(date +%Y%m%d).json")
    counted = shell(
        "cat dlq_export_*.json | jq '.[] | select(.error_type==\"spotify\") | .error_message' "
        "| sort | uniq -c"
    )
    assert counted.split(maxsplit=1) == [
        "2",
        '"Rate limit exceeded: 429 Too Many Requests"\n',
    ]


def test_health_is_as_specified(manager: ManagerProcess, shell: Shell) -> None:
    health = shell.json("curl http://localhost:8024/health")
    assert health["status"] == "healthy"
    assert health["service"] == "dlq-manager"
    assert health["timestamp"].endswith("Z")
    assert health["rabbitmq_connected"] is ("DLQ_BROKER_URL" in manager.environment)


def test_the_metrics_have_the_specified_names_and_labels(
    manager: ManagerProcess, shell: Shell
) -> None:
    (receipt,) = publish(manager, 1)
    manager.wait_in_dlq(1)
    before = shell("curl http://localhost:8024/metrics").splitlines()
    for status in ("success", "error", "not_found"):
        assert f'dlq_replay_total{{status="{status}"}} 0.0' in before
    assert 'dlq_messages_total{queue="enrichment.dlq.queue"} 1.0' in before
    assert 'dlq_messages_by_error_type{error_type="spotify"} 1.0' in before
    assert any(line.startswith('dlq_message_age_seconds{quantile="0.99"}') for line in before)

    shell("curl -X POST http://localhost:8024/dlq/replay/no-such-id")
    shell(f"curl -X POST http://localhost:8024/dlq/replay/{receipt.message_id}")
    after = shell("curl http://localhost:8024/metrics").splitlines()
    assert 'dlq_replay_total{status="not_found"} 1.0' in after
    assert 'dlq_replay_total{status="success"} 1.0' in after


def test_the_broker_side_lines_work(broker_manager: ManagerProcess, broker: BrokerNode) -> None:
    vhost = broker_manager.environment["DLQ_BROKER_URL"].rpartition("/")[2]
    publish(broker_manager, 1)
    bindings = broker.ctl("list_bindings", "-p", vhost)
    assert "*.enrichment.failed" in bindings
    assert "enrichment.dlq.queue" in bindings
    broker.ctl("purge_queue", "enrichment.dlq.analysis", "-p", vhost)

    def analysis_depth() -> int:
        stats = broker_manager.get("/dlq/stats")
        return int(stats["queue_stats"]["enrichment.dlq.analysis"])

    until(lambda: analysis_depth() == 0, 10, "the purge did not show")


def test_limits_outside_the_specified_range_are_refused(manager: ManagerProcess) -> None:
    for query in ("limit=0", "limit=1001", "offset=-1", "limit=ten"):
        response = httpx2.get(f"{manager.url}/dlq/messages?{query}")
        assert response.status_code == 422, query
        assert response.json()["code"] == "invalid_input"
    assert manager.get("/dlq/messages", limit=1000, offset=0) == []
