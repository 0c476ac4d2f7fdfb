"""What both clients do, without waiting: build, link to a replay, hand over, watch for floods.

The clients add only how they wait. State that a fork must not carry over (connection,
threads, locks, the spool's file) is kept by process id: a child finds none and makes its
own, and the parent's is left alone, since its locks may be held by threads that the child
does not have.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dlq.classify import load_rules, use_rules
from dlq.client.build import dead_letter, failed_again, fitting_wire, program_name
from dlq.client.courier import Courier, OpenPublisher, open_publisher
from dlq.client.describe import message_of, told
from dlq.client.failure import Failure
from dlq.client.flood import FloodHook, FloodWatch
from dlq.client.handling import Handling, handling_of
from dlq.client.receipt import Custody, Receipt
from dlq.client.steps import Steps
from dlq.errors import InvalidInput, SettingsError, SpoolError
from dlq.message import DLQMessage, WireMessage, new_message_id
from dlq.settings import Settings, without_password

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 5.0
EXIT_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class _Process:
    """What one process has of a client."""

    courier: Courier
    flood: FloodWatch


@dataclass(frozen=True, slots=True)
class _Letter:
    """One dead letter ready to go, or why it cannot."""

    message_id: str
    wire: WireMessage | None
    handling: Handling | None = None
    reason: str | None = None


class Core:
    """One client's configuration, and its state in each process that uses it."""

    def __init__(
        self,
        settings: Settings,
        source_service: str | None,
        on_flood: FloodHook | None,
        open_publisher: OpenPublisher = open_publisher,
    ) -> None:
        self._settings = settings
        _take_rules(settings)
        self._source_service = source_service or program_name()
        self._on_flood = on_flood
        self._open_publisher = open_publisher
        self._processes: dict[int, _Process] = {}
        self._locks: dict[int, threading.Lock] = {}
        self._process.courier.start()
        weakref.finalize(self, _close, self._processes, EXIT_TIMEOUT_S)
        destination = without_password(settings.amqp_url or settings.url)
        logger.info("DLQ client initialized: %s", destination)

    @property
    def flood(self) -> FloodWatch:
        return self._process.flood

    def publishing(self, failures: Sequence[Failure]) -> Steps[list[Receipt]]:
        """Steps that publish each failure. Returns: one receipt each, in order; never raises
        for a fault of item, broker, network or disk."""
        receipts: list[Receipt] = yield from self._delivering(
            [self._letter(failure) for failure in failures]
        )
        if failures:
            self.flood.record_failure(len(failures))
        return receipts

    def reporting_again(self, handling: Handling, error: Any, tries: int) -> Steps[list[Receipt]]:
        """Steps that send the handled dead letter back with its new error."""
        receipts: list[Receipt] = yield from self._delivering(
            [self._letter_again(handling, error, tries)]
        )
        return receipts

    def flush(self, timeout_s: float) -> bool:
        """Wait until nothing of this destination waits in the spool. Returns: whether so;
        False also if the spool cannot be read."""
        try:
            return self._process.courier.flush(timeout_s)
        except SpoolError as error:
            logger.error("The spool cannot be flushed: %s", error)  # noqa: TRY400
            return False

    def close(self) -> None:
        """Let go of this process's connection and threads; a later publish opens them anew."""
        _close(self._processes, CLOSE_TIMEOUT_S)

    @property
    def _process(self) -> _Process:
        pid = os.getpid()
        process = self._processes.get(pid)
        if process is None:
            with self._locks.setdefault(pid, threading.Lock()):
                process = self._processes.get(pid)
                if process is None:
                    process = self._processes[pid] = _Process(
                        Courier(self._settings, self._open_publisher),
                        FloodWatch(self._settings, self._on_flood),
                    )
        return process

    def _letter(self, failure: Failure) -> _Letter:
        handling = handling_of(failure)
        same_as = handling.message if handling else None
        try:
            message = dead_letter(failure, source_service=self._source_service, same_as=same_as)
            return self._addressed(message, handling)
        except Exception as trouble:  # noqa: BLE001 - logged; the failure itself must not be lost
            logger.warning("A minimal dead letter is sent, since: %s", told(trouble))
            plain = Failure(
                {"unreadable": type(failure.item).__name__}, type(failure.error).__name__
            )
            message = dead_letter(plain, source_service=self._source_service, same_as=same_as)
            return self._addressed(message, handling)

    def _letter_again(self, handling: Handling, error: Any, tries: int) -> _Letter:
        return self._addressed(failed_again(handling.message, error, tries), handling)

    def _addressed(self, message: DLQMessage, handling: Handling | None) -> _Letter:
        try:
            wire = fitting_wire(message, self._settings.max_body_bytes, handling)
        except InvalidInput as error:
            logger.error("Dead letter %s is refused: %s", message.message_id, error)  # noqa: TRY400
            return _Letter(message.message_id, None, handling, str(error))
        return _Letter(message.message_id, wire, handling)

    def _delivering(self, letters: Sequence[_Letter]) -> Steps[list[Receipt]]:
        wires = [letter.wire for letter in letters if letter.wire is not None]
        delivered = iter((yield from self._process.courier.deliver(wires)))
        receipts = []
        for letter in letters:
            if letter.wire is None:
                receipt = Receipt(letter.message_id, Custody.REFUSED, letter.reason)
            else:
                receipt = next(delivered)
            if letter.handling is not None and not letter.handling.reported:
                letter.handling.reported = receipt  # a refusal too: it was no success
            receipts.append(receipt)
        return receipts


def refused(error: Exception, count: int) -> list[Receipt]:
    """The last resort: something failed that nobody foresaw, and the caller must not suffer."""
    logger.error("A failure could not be published to the DLQ: %s", told(error))
    return [Receipt(new_message_id(), Custody.REFUSED, message_of(error)) for _ in range(count)]


def _close(processes: dict[int, _Process], timeout_s: float) -> None:
    process = processes.pop(os.getpid(), None)
    if process is not None:
        process.courier.close(timeout_s)


def _take_rules(settings: Settings) -> None:
    """The installation's own rules. Without them a failure is still captured, and the manager
    looks at it again with its own."""
    if settings.rules_file is None:
        return
    try:
        use_rules(load_rules(settings.rules_file))
    except SettingsError as error:
        logger.warning("The shipped classification rules are used: %s", error)
