"""The exchange, queues and bindings: names and arguments; pure.

Declaring them is the transport's work; what they should be, and how to say that one is
not, is here. DLQ_* settings change names, times and lengths.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

from dlq.settings import Settings

EXCHANGE_TYPE = "topic"
FAILED_PATTERN = "*.enrichment.failed"
RETRY_PATTERN = "*.enrichment.retry"
OUTCOME_PATTERN = "*.enrichment.outcome"
EXPIRED_ROUTING_KEY = "expired.enrichment.failed"
"""With it an unconsumed retry comes back to the main queue."""

NO_DELIVERY_LIMIT = 1_000_000
"""Large instead of -1: RabbitMQ 3.10 takes -1 as "drop at the first requeue", and from 4.0
the default is 20, which every crash of a consumer charges to its whole prefetch window."""


@dataclass(frozen=True, slots=True)
class Queue:
    name: str
    pattern: str  # what it is bound to
    arguments: dict[str, Any]

    def policy_command(self) -> str:
        """The `rabbitmqctl` line that brings an existing queue in line, as far as a policy can.

        Queue type cannot be changed by a policy, nor what the queue's own arguments set lower.
        """
        definition = {
            key.removeprefix("x-"): value
            for key, value in self.arguments.items()
            if key != "x-queue-type"
        }
        pattern = "^" + self.name.replace(".", r"\.") + "$"
        return (
            f"rabbitmqctl set_policy {shlex.quote(self.name)} {shlex.quote(pattern)} "
            f"{shlex.quote(json.dumps(definition))} --apply-to queues"
        )


@dataclass(frozen=True, slots=True)
class Topology:
    exchange: str
    main: Queue
    retry: Queue
    analysis: Queue
    outcomes: Queue

    @property
    def queues(self) -> tuple[Queue, ...]:
        return self.main, self.retry, self.analysis, self.outcomes


def topology_of(settings: Settings) -> Topology:
    quorum = {"x-queue-type": "quorum", "x-delivery-limit": NO_DELIVERY_LIMIT}
    return Topology(
        exchange=settings.exchange,
        main=Queue(
            settings.main_queue,
            FAILED_PATTERN,
            {
                **quorum,
                "x-message-ttl": settings.main_ttl_ms,
                "x-max-length": settings.main_max_length,
                "x-overflow": "drop-head",
            },
        ),
        retry=Queue(
            settings.retry_queue,
            RETRY_PATTERN,
            {
                **quorum,
                "x-message-ttl": settings.retry_ttl_ms,
                "x-max-length": settings.retry_max_length,
                "x-overflow": "reject-publish",
                "x-dead-letter-exchange": settings.exchange,
                "x-dead-letter-routing-key": EXPIRED_ROUTING_KEY,
                "x-dead-letter-strategy": "at-least-once",
            },
        ),
        analysis=Queue(
            settings.analysis_queue,
            FAILED_PATTERN,
            {
                **quorum,
                "x-message-ttl": settings.analysis_ttl_ms,
                "x-max-length": settings.analysis_max_length,
                "x-overflow": "drop-head",
            },
        ),
        outcomes=Queue(
            settings.outcomes_queue,
            OUTCOME_PATTERN,
            {**quorum, "x-message-ttl": settings.outcomes_ttl_ms},
        ),
    )


def retry_routing_key(error_type: str) -> str:
    return f"{error_type}.enrichment.retry"


def is_retry_key(routing_key: str) -> bool:
    """Whether it leads to the retry queue."""
    word, _, rest = routing_key.partition(".")
    return bool(word) and rest == RETRY_PATTERN.partition(".")[2]


def outcome_routing_key(error_type: str) -> str:
    return f"{error_type}.enrichment.outcome"
