"""What `dlq doctor` looks at, one function a check; none of them changes anything."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from dlq.errors import DLQError

if TYPE_CHECKING:
    from dlq.cli.manager import Manager
    from dlq.client.spool import SpoolSummary
    from dlq.settings import Settings
    from dlq.transport.amqp import QueueDepth

INSPECT_TIMEOUT_S = 5.0
CLOCK_TOLERANCE_S = 5.0


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """`remedy` says what to do; empty when there is nothing to do."""

    name: str
    verdict: Verdict
    detail: str
    remedy: str = ""


def all_checks(settings: Settings) -> Iterator[Check]:
    yield from manager_checks(settings)
    yield from broker_checks(settings)
    yield from spool_checks(settings)


# --- the manager -------------------------------------------------------------------------


def manager_checks(settings: Settings) -> Iterator[Check]:
    """The manager's own word about itself, its ledger and its broker."""
    from dlq.cli.manager import Manager

    with Manager(settings) as manager:
        before = dt.datetime.now(dt.UTC)
        try:
            health = manager.health()
        except DLQError as error:
            yield Check("manager", Verdict.FAIL, str(error))
            return
        after = dt.datetime.now(dt.UTC)
        yield Check("manager", Verdict.OK, f"{manager.url}, version {health.get('version')}")
        yield _access_check(manager)
    yield _ledger_check(health.get("ledger"))
    yield _clock_check(health.get("timestamp"), before, after)
    yield from _shape_checks(settings, health)


def _access_check(manager: Manager) -> Check:
    try:
        manager.stats()
        who = manager.whoami() or {}
    except DLQError as error:
        return Check("access", Verdict.FAIL, str(error), "Set DLQ_TOKEN to a valid token.")
    if who.get("role") == "viewer":
        return Check(
            "access",
            Verdict.WARN,
            f"the token of {who.get('name')} has the role viewer: it cannot publish or replay",
            "Set DLQ_TOKEN to one with more: dlq token create --name NAME --role operator",
        )
    return Check("access", Verdict.OK, "the manager answers this token or machine")


def _ledger_check(ledger: Any) -> Check:
    if isinstance(ledger, Mapping) and ledger.get("ok") is True:
        return Check("ledger", Verdict.OK, "answers and can be written")
    problem = ledger.get("problem") if isinstance(ledger, Mapping) else None
    return Check(
        "ledger",
        Verdict.FAIL,
        str(problem or "the manager says it cannot be used"),
        "Check the database, its disk and DLQ_LEDGER_URL of the manager.",
    )


def _clock_check(timestamp: Any, before: dt.datetime, after: dt.datetime) -> Check:
    """The manager's instant (whole seconds) must fall into the time of the request."""
    try:
        told = dt.datetime.fromisoformat(timestamp)
        ahead_s = (told - after).total_seconds()
        behind_s = (before - told).total_seconds() - 1.0
    except (TypeError, ValueError):
        return Check("clock", Verdict.WARN, "the manager tells no time")
    off_s = max(ahead_s, behind_s, 0.0)
    if off_s <= CLOCK_TOLERANCE_S:
        return Check("clock", Verdict.OK, "this host and the manager agree")
    return Check(
        "clock",
        Verdict.WARN,
        f"this host and the manager differ by {off_s:.0f} s: ages and schedules are off",
        "Let both take their time by NTP.",
    )


def _shape_checks(settings: Settings, health: Mapping[str, Any]) -> Iterator[Check]:
    broker = health.get("broker") or {}
    here = "embedded" if settings.amqp_url is None else "rabbitmq"
    if broker.get("shape") != here:
        yield Check(
            "shape",
            Verdict.WARN,
            f"the manager runs in shape {broker.get('shape')}, this host is set up for {here}",
            "Set DLQ_BROKER_URL (or RABBITMQ_*) alike for both.",
        )
    if broker.get("shape") == "rabbitmq" and not health.get("rabbitmq_connected"):
        yield Check(
            "manager's broker",
            Verdict.FAIL,
            str(broker.get("problem") or "the manager is not connected to its broker"),
            "See its log; failures wait in the broker or in spools meanwhile.",
        )
    for mismatch in broker.get("mismatches") or ():
        yield Check(
            f"queue {mismatch['queue']}", Verdict.WARN, mismatch["problem"], mismatch["policy"]
        )


# --- the broker --------------------------------------------------------------------------


def broker_checks(settings: Settings) -> Iterator[Check]:
    """Whether this host reaches the broker, and what is there."""
    if settings.amqp_url is None:
        yield Check("broker", Verdict.OK, "none configured: clients and workers use HTTP")
        return
    from dlq.settings import without_password
    from dlq.transport.amqp import AmqpControl

    control = AmqpControl(settings)
    try:
        depths = control.inspect(INSPECT_TIMEOUT_S)
    except DLQError as error:
        yield Check(
            "broker", Verdict.FAIL, str(error), "Check that it runs, DLQ_BROKER_URL and RABBITMQ_*."
        )
        return
    finally:
        control.close(INSPECT_TIMEOUT_S)
    yield Check("broker", Verdict.OK, without_password(settings.amqp_url))
    yield from _queue_checks(settings, depths)


def _queue_checks(settings: Settings, depths: Mapping[str, QueueDepth | None]) -> Iterator[Check]:
    unknown = sorted(name for name, depth in depths.items() if depth is None)
    if unknown:
        yield Check(
            "queues",
            Verdict.WARN,
            f"not there, or the broker does not say: {', '.join(unknown)}",
            "Declare them with `dlq topology apply`, or start the manager, which does it.",
        )
    retry = depths.get(settings.retry_queue)
    if retry is not None and retry.consumers == 0:
        yield Check(
            "retry consumer",
            Verdict.WARN,
            f"nobody consumes {settings.retry_queue}; {retry.ready} replays wait there",
            "Start a worker: dlq worker MODULE:NAME",
        )
    elif retry is not None:
        yield Check("retry consumer", Verdict.OK, f"{retry.consumers} on {settings.retry_queue}")
    main = depths.get(settings.main_queue)
    if main is not None and main.consumers == 0:
        yield Check(
            "main consumer",
            Verdict.WARN,
            f"no manager consumes {settings.main_queue}; {main.ready} failures wait there",
            "Start the manager with this broker: dlq serve",
        )


# --- this host ---------------------------------------------------------------------------


def spool_checks(settings: Settings) -> Iterator[Check]:
    """Whether failures wait on this host, where they are to go, and whether they will."""
    from dlq.client.courier import destination_of
    from dlq.client.spool import Spool

    spool = Spool(settings)
    try:
        found = spool.summary()
    except DLQError as error:
        yield Check("spool", Verdict.FAIL, str(error), "Check DLQ_SPOOL_DIR and its disk.")
        return
    finally:
        spool.close()
    here = destination_of(settings)
    for summary in found:
        if summary.destination == here:
            yield from _own_spool_checks(summary, settings.spool_max_bytes)
        else:
            yield _foreign_spool_check(summary, here)
    if not found:
        yield Check("spool", Verdict.OK, "empty")


def _own_spool_checks(summary: SpoolSummary, max_bytes: int) -> Iterator[Check]:
    if summary.rejected:
        yield Check(
            "spool",
            Verdict.WARN,
            f"refused by the other side: {summary.rejected}",
            "See why: dlq spool list --rejected; then: dlq spool flush --rejected",
        )
    if summary.waiting:
        share = 100 * summary.bytes / max_bytes
        yield Check(
            "spool",
            Verdict.WARN,
            f"waiting on this host: {summary.waiting} ({share:.0f}% of its bound in bytes)",
            "They go out by themselves with the next publish; now: dlq spool flush",
        )


def _foreign_spool_check(summary: SpoolSummary, here: str) -> Check:
    count = summary.waiting + summary.rejected
    return Check(
        "spool",
        Verdict.WARN,
        f"waiting for {summary.destination}: {count}; with these settings failures go to {here}, "
        "so nothing here sends them",
        "Flush with the settings of that destination; if it is no more: "
        f"dlq spool readdress {shlex.quote(summary.destination)} {shlex.quote(here)}",
    )
