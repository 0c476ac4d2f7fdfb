"""What the contract says about exchange, queues and arguments, to the letter."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from dlq.settings import Settings
from dlq.topology import (
    EXCHANGE_TYPE,
    NO_DELIVERY_LIMIT,
    outcome_routing_key,
    retry_routing_key,
    topology_of,
)

DAY_MS = 86_400_000
QUORUM = {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in os.environ:
        if name.startswith(("DLQ_", "RABBITMQ_")):
            monkeypatch.delenv(name)


def test_names_bindings_and_arguments_are_those_of_the_contract() -> None:
    topology = topology_of(Settings())
    assert (topology.exchange, EXCHANGE_TYPE) == ("enrichment.dlq.exchange", "topic")
    assert {queue.name: (queue.pattern, queue.arguments) for queue in topology.queues} == {
        "enrichment.dlq.queue": (
            "*.enrichment.failed",
            {
                **QUORUM,
                "x-message-ttl": 30 * DAY_MS,
                "x-max-length": 100_000,
                "x-overflow": "drop-head",
            },
        ),
        "enrichment.dlq.retry": (
            "*.enrichment.retry",
            {
                **QUORUM,
                "x-message-ttl": DAY_MS,
                "x-max-length": 10_000,
                "x-overflow": "reject-publish",
                "x-dead-letter-exchange": "enrichment.dlq.exchange",
                "x-dead-letter-routing-key": "expired.enrichment.failed",
                "x-dead-letter-strategy": "at-least-once",
            },
        ),
        "enrichment.dlq.analysis": (
            "*.enrichment.failed",
            {
                **QUORUM,
                "x-message-ttl": 7 * DAY_MS,
                "x-max-length": 50_000,
                "x-overflow": "drop-head",
            },
        ),
        "enrichment.dlq.outcomes": (
            "*.enrichment.outcome",
            {**QUORUM, "x-message-ttl": 7 * DAY_MS},
        ),
    }


def test_settings_change_names_times_and_lengths() -> None:
    topology = topology_of(
        Settings(exchange="e", retry_queue="r", retry_ttl_ms=5, main_max_length=6)
    )
    assert topology.retry.name == "r"
    assert topology.retry.arguments["x-message-ttl"] == 5
    assert topology.retry.arguments["x-dead-letter-exchange"] == "e"
    assert topology.main.arguments["x-max-length"] == 6


def test_no_queue_has_the_limit_that_drops_at_the_first_requeue() -> None:
    assert NO_DELIVERY_LIMIT > 0
    for queue in topology_of(Settings()).queues:
        assert queue.arguments["x-delivery-limit"] > 1000


def test_the_policy_command_is_one_shell_line_for_exactly_this_queue() -> None:
    queue = topology_of(Settings(main_queue="my queue.a")).main
    words = shlex.split(queue.policy_command())
    assert words[:3] == ["rabbitmqctl", "set_policy", "my queue.a"]
    assert re.fullmatch(words[3], "my queue.a")
    assert not re.fullmatch(words[3], "my queueXa")
    assert json.loads(words[4]) == {
        "delivery-limit": 1_000_000,
        "message-ttl": 30 * DAY_MS,
        "max-length": 100_000,
        "overflow": "drop-head",
    }
    assert words[5:] == ["--apply-to", "queues"]


def test_routing_keys_by_error_type() -> None:
    assert retry_routing_key("spotify") == "spotify.enrichment.retry"
    assert outcome_routing_key("lastfm") == "lastfm.enrichment.outcome"
