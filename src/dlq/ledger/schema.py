"""The ledger's tables and indexes, the same on SQLite and PostgreSQL.

`migrations/` builds them; a test holds the two together. A deleted dead letter stays as an
emptied row in the state `deleted`: its id remains taken by the same unique index that makes
ingest idempotent, so that a late duplicate cannot slip in beside a delete.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    ForeignKey,
    FromClause,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
)

from dlq.ledger.columns import CleanText, Instant, Name, RowId
from dlq.states import IN_DLQ, State

DELETED = "deleted"

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", RowId, Identity(), primary_key=True),  # order of arrival; never given twice
    Column("message_id", CleanText, nullable=False),
    Column("state", Text, nullable=False),
    # What can be asked for, from the newest failure.
    Column("error_type", Name, nullable=False),
    Column("category", Name, nullable=False),
    Column("fingerprint", Name, nullable=False),
    Column("title", CleanText, nullable=False),
    Column("source_service", Name, nullable=False),
    Column("failed_at", Instant, nullable=False),
    Column("ingested_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("next_replay_at", Instant),
    Column("replay_count", Integer, nullable=False),
    Column("failed_count", Integer, nullable=False),  # replays that failed: the budget counts these
    Column("open_replay_id", Text),  # set exactly while the state is `replaying`
    Column("form", Text, nullable=False),
    # Only for a message without id whose ack the broker may not have taken yet.
    Column("digest", Text),
    Column("unsettled_until", Instant),
    # The newest failure report as it came, once a replay has failed.
    Column("latest_envelope", Text),
    Column("latest_body", LargeBinary),
    # The original. Last, so that SQLite reads all else without walking through a long body.
    Column("envelope", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)

replays = Table(
    "replays",
    metadata,
    Column("id", RowId, Identity(), primary_key=True),
    Column("replay_id", Text, nullable=False),
    Column("dead_letter_id", RowId, ForeignKey("dead_letters.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("actor", CleanText, nullable=False),
    Column("routing_key", CleanText, nullable=False),
    Column("max_retries", Integer),
    Column("from_state", Text, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("confirmed_at", Instant),
    Column("outcome", Text),  # None: open
    Column("outcome_at", Instant),
    Column("worker", CleanText),
    Column("error", CleanText),
    Column("lease_id", CleanText),
    Column("leased_by", CleanText),
    Column("leased_until", Instant),
    sqlite_autoincrement=True,
)

history = Table(
    "history",
    metadata,
    Column("id", RowId, Identity(), primary_key=True),
    Column("dead_letter_id", RowId, ForeignKey("dead_letters.id"), nullable=False),
    Column("at", Instant, nullable=False),
    Column("actor", CleanText, nullable=False),
    Column("from_state", Text),
    Column("to_state", Text),
    Column("reason", CleanText, nullable=False),
    Column("replay_id", Text),
)

audit = Table(
    "audit",
    metadata,
    Column("id", RowId, Identity(), primary_key=True),
    Column("at", Instant, nullable=False),
    Column("actor", CleanText, nullable=False),
    Column("action", CleanText, nullable=False),
    Column("target", CleanText, nullable=False),
    Column("result", CleanText, nullable=False),
    Column("detail", Text, nullable=False),
)

heartbeat = Table(
    "heartbeat",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
)


def in_dlq(table: FromClause = dead_letters) -> ColumnElement[bool]:
    """Pending, scheduled or parked, spelled as in the partial indexes: only a condition with
    the same literals lets the planner use them.

    Said as "not outside", because SQLite would answer "is one of" from `ix_dead_letters_counts`
    and sort what it finds.
    """
    outside = [state.value for state in State if state not in IN_DLQ] + [DELETED]
    literals = bindparam(
        "outside", outside, unique=True, expanding=True, literal_execute=True, type_=Text()
    )
    return table.c.state.not_in(literals)


def _partial(name: str, *columns: Column[Any], where: ColumnElement[bool], **options: Any) -> Index:
    return Index(name, *columns, sqlite_where=where, postgresql_where=where, **options)


# Each index costs every ingest; each is here for a query that would read the whole table.

# Ingest is idempotent by it; get, replay, delete by id.
Index("ux_dead_letters_message_id", dead_letters.c.message_id, unique=True)
# Counts by state, provider and service without touching a row; pages of one state.
Index(
    "ix_dead_letters_counts",
    dead_letters.c.state,
    dead_letters.c.error_type,
    dead_letters.c.source_service,
)
# Pages and export of the DLQ in order of arrival, however many resolved rows lie between.
_partial("ix_dead_letters_dlq", dead_letters.c.id, where=in_dlq())
# Age quantiles, oldest and newest.
_partial("ix_dead_letters_dlq_age", dead_letters.c.failed_at, where=in_dlq())
# Groups: count, first, last and the newest three of each.
for _key in (dead_letters.c.error_type, dead_letters.c.fingerprint):
    _partial(
        f"ix_dead_letters_dlq_{_key.name}",
        _key,
        dead_letters.c.failed_at,
        dead_letters.c.id,
        where=in_dlq(),
    )
# Messages without id that may come again: as many as are between commit and ack.
_partial(
    "ix_dead_letters_unsettled",
    dead_letters.c.digest,
    where=dead_letters.c.digest.is_not(None),
)

# Outcome, confirm, abandon by replay_id.
Index("ux_replays_replay_id", replays.c.replay_id, unique=True)
# The replays of one dead letter, in order; and no number twice.
Index("ux_replays_number", replays.c.dead_letter_id, replays.c.number, unique=True)
# What is open: to lease, to confirm, to bring back. As small as the retry queue.
_partial("ix_replays_open", replays.c.id, where=replays.c.outcome.is_(None))
# A lease by its id.
_partial(
    "ux_replays_lease_id", replays.c.lease_id, where=replays.c.lease_id.is_not(None), unique=True
)
# The history of one dead letter, in order.
Index("ix_history_dead_letter_id", history.c.dead_letter_id, history.c.id)
