"""The ledger's contract: what manager and API ask of it, and the records they get back.

One suite (`tests/contract/test_ledger.py`) runs it on SQLite and PostgreSQL. Every method
is one transaction, may be called from any thread, and either commits or changes nothing.
Faults of the database come as `LedgerUnavailable`; whoever ingests stops acking then.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from dlq.message import DLQMessage, Form, WireMessage
from dlq.outcome import OutcomeReport
from dlq.query import Filter
from dlq.states import Outcome, State

if TYPE_CHECKING:
    from dlq.ledger.books import Jobs, Providers, Schedule
    from dlq.ledger.cause_book import Groups
    from dlq.ledger.retention_book import Retention

# --- what goes in ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message to ingest, already read and diagnosed."""

    wire: WireMessage
    message: DLQMessage
    form: Form
    had_id: bool  # False: message.message_id was made up on arrival
    redelivered: bool  # the broker's flag
    category: str
    fingerprint: str
    title: str
    rule: str = ""  # that found the category
    reason: str = ""  # the same for people: one line
    replay_id: str | None = None  # it answers this replay: a worker failed again
    worker: str | None = None  # that worker, if it says its name
    returned: bool = False  # it came back because its time in the retry queue ran out
    rejected: bool = False  # a consumer rejected it without a word: the story stays as it was


class Disposition(StrEnum):
    """What `ingest` did with an arrival."""

    STORED = "stored"  # a new row
    DUPLICATE = "duplicate"  # message_id known (or deleted before): nothing changed
    REDELIVERED = "redelivered"  # same message without id, already committed: nothing changed
    FAILED_AGAIN = "failed_again"  # closed its replay as failed; the story goes on
    RETURNED = "returned"  # closed its replay as returned


@dataclass(frozen=True, slots=True)
class Ingested:
    """Per arrival, in the order given. `unsettled_row` is set for a stored message without
    id: pass it to `settled` once its ack has been taken by the broker."""

    message_id: str
    disposition: Disposition
    unsettled_row: int | None = None


# --- what comes out ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One row: the dead letter as it stands now.

    `message` is the story with its newest error, and the payload as it would be replayed;
    `wire` is the original message, byte for byte.
    """

    message: DLQMessage
    wire: WireMessage
    form: Form
    state: State
    category: str  # as an operator corrected it, else as it was found
    fingerprint: str  # of its cause
    title: str
    replay_count: int
    ingested_at: dt.datetime
    updated_at: dt.datetime
    next_replay_at: dt.datetime | None
    last_outcome: Outcome | None = None  # of its newest replay
    plan: str | None = None  # what the retry policies decided: replay, wait, never, park
    plan_reason: str | None = None
    edit_count: int = 0
    edited_wire: WireMessage | None = None  # what a replay sends, if the payload was edited
    group: str = ""  # that its cause is in: a fingerprint
    rule: str = ""  # that found the category
    reason: str = ""  # the same for people: one line


@dataclass(frozen=True, slots=True)
class Page:
    """A page by key. `next_cursor` None: there are no more for now."""

    letters: list[DeadLetter]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One transition. `from_state` is None for the arrival."""

    at: dt.datetime
    actor: str
    from_state: State | None
    to_state: State | None  # None: deleted
    reason: str
    replay_id: str | None


@dataclass(frozen=True, slots=True)
class Replay:
    """One replay of one dead letter, with what became of it."""

    replay_id: str
    message_id: str
    number: int  # 1 for the first replay of this dead letter
    actor: str
    routing_key: str  # where it was sent
    max_retries: int | None  # tries granted to the worker
    started_at: dt.datetime
    confirmed_at: dt.datetime | None  # the broker has it (embedded: at once)
    outcome: Outcome | None
    outcome_at: dt.datetime | None
    worker: str | None
    error: str | None  # the new error's message, if it failed
    job_id: str | None = None  # the job that sent it
    rule: str | None = None  # the retry policy's rule that sent it
    category: str = ""  # of the failure that it answers
    edit_count: int = 0  # which edit of the payload was sent; 0: the original


@dataclass(frozen=True, slots=True)
class Edited:
    """A new payload on its way into the ledger. `body` None: back to the original."""

    body: bytes | None
    properties: dict[str, Any]
    difference: list[dict[str, Any]]  # JSON Patch, from what was in force before


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit of a payload, as the history keeps it."""

    number: int
    at: dt.datetime
    actor: str
    reason: str
    difference: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class OutcomeCounts:
    """What became of closed replays of one provider, cause or rule."""

    succeeded: int = 0
    failed: int = 0
    returned: int = 0
    presumed: int = 0

    @property
    def success_rate(self) -> float | None:
        closed = self.succeeded + self.failed + self.returned + self.presumed
        return self.succeeded / closed if closed else None


@dataclass(frozen=True, slots=True)
class Lease:
    """A replay handed to one worker until `expires_at` (embedded shape)."""

    lease_id: str
    worker: str
    expires_at: dt.datetime
    replay: Replay
    dead_letter: DeadLetter


@dataclass(frozen=True, slots=True)
class LedgerStats:
    """Exact counts over what is in the DLQ (pending, scheduled, parked), and beside it."""

    by_error_type: dict[str, int]
    by_service: dict[str, int]
    by_state: dict[State, int]  # every state, zeros included
    oldest_at: dt.datetime | None  # by failed_at
    newest_at: dt.datetime | None

    @property
    def in_dlq(self) -> int:
        return sum(self.by_error_type.values())


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what, when, on what, with what result."""

    actor: str
    action: str  # "replay", "delete", "ingest" …
    target: str
    result: str  # "ok" or the error's code
    at: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    detail: dict[str, Any] = field(default_factory=dict)


# --- the contract ------------------------------------------------------------------------


class Ledger(Protocol):
    """Holds the dead letters, their states and their history."""

    @property
    def jobs(self) -> Jobs: ...

    @property
    def schedule(self) -> Schedule: ...

    @property
    def providers(self) -> Providers: ...

    @property
    def groups(self) -> Groups: ...

    @property
    def retention(self) -> Retention: ...

    def ingest(self, arrivals: Sequence[Arrival]) -> list[Ingested]:
        """Store a batch in one transaction; idempotent by message_id, also within the batch.

        Returns: one entry per arrival, in order.
        Raises: LedgerUnavailable: nothing was stored; do not ack.
        """
        ...

    def settled(self, rows: Sequence[int]) -> None:
        """The broker has taken the acks of these rows: an identical message without id
        that comes from now on is another message."""
        ...

    def get(self, message_id: str) -> DeadLetter:
        """Raises: NotFound."""
        ...

    def page(
        self, where: Filter, *, limit: int, offset: int = 0, newest_first: bool = False
    ) -> list[DeadLetter]:
        """Rows in order of arrival (stable while others arrive), or newest first."""
        ...

    def scroll(
        self, where: Filter, *, limit: int, cursor: str | None = None, newest_first: bool = False
    ) -> Page:
        """Rows by key, in order of arrival or newest first: the same cost on every page, and
        nothing twice or left out while others arrive.

        Args:
            cursor: `next_cursor` of the page before, with the same filter and order.
        Raises: InvalidInput: no such cursor.
        """
        ...

    def iterate(self, where: Filter, *, batch: int = 500) -> Iterator[DeadLetter]:
        """All rows in order of arrival, read batch by batch by key; what arrives meanwhile
        may be left out. Holds no transaction between batches."""
        ...

    def count(self, where: Filter) -> int: ...

    def history(self, message_id: str) -> list[HistoryEntry]:
        """Oldest first; kept after the dead letter was deleted. Raises: NotFound."""
        ...

    def replays(self, message_id: str) -> list[Replay]:
        """Oldest first."""
        ...

    def stats(self) -> LedgerStats: ...

    def ages(self, quantiles: Sequence[float], now: dt.datetime) -> list[float]:
        """Exact age quantiles (nearest rank), seconds since failed_at, of what is in the
        DLQ; [] if it is empty."""
        ...

    def begin_replay(
        self,
        message_id: str,
        *,
        actor: str,
        max_retries: int | None,
        routing_key: str | None = None,
    ) -> tuple[Replay, DeadLetter]:
        """Move to `replaying` under a fresh replay_id, before anything is sent.

        Of several at once for one message exactly one succeeds. It is charged to the pace of
        its provider.

        Args:
            routing_key: None: the retry queue of its own type.
        Raises: NotFound; IllegalTransition.
        """
        ...

    def confirm_replay(self, replay_id: str) -> None:
        """The retry queue has it. Does nothing if the replay is already closed."""
        ...

    def abandon_replay(self, replay_id: str, reason: str, *, for_now: bool = False) -> None:
        """The broker certainly refused it: back to the state it came from, and the replay
        does not count. Does nothing if the replay was confirmed or closed.

        Args:
            for_now: a full queue: the item of a job is not given up for it.
        """
        ...

    def unconfirmed_replays(
        self, before: dt.datetime, limit: int
    ) -> list[tuple[Replay, DeadLetter]]:
        """Open replays started before that instant whose hand-over was never confirmed:
        to be sent again under the same replay_id."""
        ...

    def confirm_replays(self, replay_ids: Sequence[str]) -> None:
        """`confirm_replay` of many."""
        ...

    def record_outcomes(self, reports: Sequence[OutcomeReport]) -> list[str | None]:
        """Close open replays.

        Returns: per report the error_type of the dead letter. None, and nothing changed, if
        message_id and replay_id do not name its open replay (late, repeated or forged).
        """
        ...

    def close_overdue(self, before: dt.datetime, limit: int, outcome: Outcome) -> list[str]:
        """Bring back what has been `replaying`, unleased, since before that instant, with
        that outcome. Returns: the error_type of each."""
        ...

    def outcomes_by_error_type(self) -> dict[str, OutcomeCounts]: ...

    # --- edits ---

    def edit_payload(
        self,
        message_id: str,
        make: Callable[[DeadLetter], Edited],
        *,
        actor: str,
        reason: str,
        edit_count: int | None,
    ) -> DeadLetter:
        """Put another payload in force, under the lock of its row; the original is kept.

        Args:
            edit_count: how many edits the editor saw; another number now is refused.
        Raises: NotFound; IllegalTransition; whatever `make` raises.
        """
        ...

    def edits(self, message_id: str) -> list[Edit]:
        """Oldest first. Raises: NotFound."""
        ...

    # --- leases ---

    def lease(
        self, worker: str, *, limit: int, ttl_s: float, error_types: Sequence[str] = ()
    ) -> list[Lease]:
        """Hand out open replays that nobody holds, oldest first; an expired lease is free
        again. Never gives one replay to two holders at a time."""
        ...

    def extend_lease(self, lease_id: str, ttl_s: float) -> Lease:
        """Raises: NotFound: no such lease, or it ran out and another holds the replay."""
        ...

    def release_lease(self, lease_id: str) -> None:
        """Give it back unworked. Raises: NotFound."""
        ...

    def leased(self, lease_id: str) -> Lease:
        """The replay that a live lease holds. Raises: NotFound."""
        ...

    def tend(self, now: dt.datetime) -> None:
        """What keeps it small: a dictionary for its messages, trained when it is time. To be
        called every minute or so, by any number of managers."""
        ...

    def delete(self, message_id: str, *, actor: str) -> None:
        """Remove the row; its history, and its id (so that a late duplicate does not bring
        it back), stay. Raises: NotFound; IllegalTransition."""
        ...

    def audit(self, entry: AuditEntry) -> None: ...

    def audits(self, *, limit: int = 100) -> list[AuditEntry]:
        """Newest first."""
        ...

    def ping(self) -> None:
        """Prove that the database answers and can be written.
        Raises: LedgerUnavailable."""
        ...

    def close(self) -> None: ...
