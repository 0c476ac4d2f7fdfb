"""The ledger's tables and indexes, the same on SQLite and PostgreSQL.

`migrations/` builds them; a test holds the two together. A deleted dead letter stays as an
emptied row in the state `deleted`: its id remains taken by the same unique index that makes
ingest idempotent, so that a late duplicate cannot slip in beside a delete.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Float,
    ForeignKey,
    FromClause,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    bindparam,
)

from dlq.ledger.cause_book import MARKING
from dlq.ledger.columns import CleanText, Instant, MessageId, Name, RowId
from dlq.states import IN_DLQ, State

DELETED = "deleted"
ELSEWHERE = (State.SCHEDULED, State.PARKED, State.REPLAYING)
"""The states that few are in."""

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
    # Fixed widths first, the widest ahead: PostgreSQL pads between them otherwise.
    Column("id", RowId, Identity(), primary_key=True),  # order of arrival; never given twice
    Column("failed_at", Instant, nullable=False),  # the newest failure
    Column("ingested_at", Instant, nullable=False),
    # Not as foreign keys: their checks, row by row, would cost an ingest a third.
    Column("cause_id", Integer),  # None: deleted before there were causes
    Column("shape_id", Integer),  # that `wire` is packed with, if any
    Column("service_id", Integer, nullable=False),
    Column("retry_count", Integer, nullable=False),
    Column("replay_count", Integer, nullable=False),
    Column("failed_count", Integer, nullable=False),  # replays that failed: the budget counts these
    Column("edit_count", Integer, nullable=False),
    Column("message_id", MessageId, nullable=False),
    Column("state", Text, nullable=False),
    Column("error_type", Name, nullable=False),
    Column("form", Text, nullable=False),
    Column("updated_at", Instant),  # None: since it arrived
    Column("retry_after_s", Float),
    # What the retry policies made of it since its newest failure; None: not asked yet.
    Column("planned_at", Instant),
    Column("plan", Text),  # a policy's kind of decision
    Column("plan_reason", CleanText),
    Column("next_replay_at", Instant),
    Column("last_outcome", Text),  # of the newest replay that was closed
    Column("open_replay_id", Text),  # set exactly while the state is `replaying`
    # Only for a message without id whose ack the broker may not have taken yet.
    Column("digest", Text),
    Column("unsettled_until", Instant),
    # Messages, packed. The newest failure report as it came, once a replay has failed.
    Column("latest_wire", LargeBinary),
    # What a replay sends once the payload was edited.
    Column("edited_wire", LargeBinary),
    # The original. Last, so that SQLite reads all else without walking through a long body.
    Column("wire", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)

services = Table(
    "services",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("name", Name, nullable=False),
)

cause_groups = Table(
    "cause_groups",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("fingerprint", Name, nullable=False),  # its public name: of the cause it began with
    Column("created_at", Instant, nullable=False),
    Column("category", Name),  # as an operator corrected it
    Column("note", CleanText),
    Column("noted_by", CleanText),
    Column("noted_at", Instant),
    Column("muted_until", Instant),
    Column("muted_by", CleanText),
    Column("acknowledged_at", Instant),
    Column("acknowledged_by", CleanText),
    Column("archived_at", Instant),
    Column("archived_by", CleanText),
    Column("fixed_at", Instant),
    Column("fixed_by", CleanText),
    Column("fixed_in", CleanText),  # the release that has the fix; empty: not said
    # When the last of it left the DLQ resolved, and when it came back after that, or after a fix.
    Column("cleared_at", Instant),
    Column("came_back_at", Instant),
)

causes = Table(
    "causes",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("identity", Text, nullable=False),  # digest of the five below
    Column("fingerprint", Name, nullable=False),
    Column("error_type", Name, nullable=False),
    Column("category", Name, nullable=False),
    Column("error_class", CleanText),
    Column("http_status", Integer),
    Column("title", CleanText, nullable=False),
    Column("rule", CleanText, nullable=False),  # that found the category, of the first
    Column("reason", CleanText, nullable=False),
    Column("words", CleanText, nullable=False),  # what free text finds in each of its messages
    Column("first_seen", Instant, nullable=False),  # by failed_at
    Column("last_seen", Instant, nullable=False),
    Column("group_id", Integer, ForeignKey("cause_groups.id"), nullable=False),
)

# Counters, kept in the transactions that change what they count: see `tally.py`.

cause_counts = Table(
    "cause_counts",
    metadata,
    Column("cause_id", Integer, ForeignKey("causes.id"), nullable=False),
    Column("service_id", Integer, ForeignKey("services.id"), nullable=False),
    Column("state", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    PrimaryKeyConstraint("cause_id", "service_id", "state"),
    sqlite_with_rowid=False,
)

cause_hours = Table(
    "cause_hours",
    metadata,
    Column("cause_id", Integer, ForeignKey("causes.id"), nullable=False),
    Column("hour", Integer, nullable=False),  # since 1970, of failed_at
    Column("failures", BigInteger, nullable=False),  # that arrived, whatever became of them
    PrimaryKeyConstraint("cause_id", "hour"),
    sqlite_with_rowid=False,
)

cause_outcomes = Table(
    "cause_outcomes",
    metadata,
    Column("cause_id", Integer, ForeignKey("causes.id"), nullable=False),
    Column("outcome", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    PrimaryKeyConstraint("cause_id", "outcome"),
    sqlite_with_rowid=False,
)

cause_releases = Table(
    "cause_releases",
    metadata,
    Column("cause_id", Integer, ForeignKey("causes.id"), nullable=False),
    Column("release", Name, nullable=False),  # metadata.release
    Column("failures", BigInteger, nullable=False),
    Column("first_seen", Instant, nullable=False),
    Column("last_seen", Instant, nullable=False),
    PrimaryKeyConstraint("cause_id", "release"),
    sqlite_with_rowid=False,
)

age_hours = Table(
    "age_hours",
    metadata,
    Column("hour", Integer, primary_key=True, autoincrement=False),  # since 1970, of failed_at
    Column("count", BigInteger, nullable=False),  # in the DLQ
)

# What messages are packed with: see `packing.py`.

shapes = Table(
    "shapes",
    metadata,
    # From the digest: what a transaction that is rolled back made of a number, none else can.
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    Column("frames", LargeBinary, nullable=False),  # of a trace, without its messages
    Column("words", CleanText, nullable=False),
)

# The index of words on PostgreSQL alone: see `word_segments.py`.
word_segments = Table(
    "word_segments",
    metadata,
    Column("number", RowId, primary_key=True, autoincrement=False),  # of the ids it is for
    Column("slices", LargeBinary, nullable=False),
)
wide_segments = Table(
    "wide_segments",
    metadata,
    Column("id", RowId, Identity(), primary_key=True),
    Column("first_id", RowId, nullable=False),  # of the rows below
    Column("last_id", RowId, nullable=False),
    Column("row_ids", LargeBinary, nullable=False),  # 64 bits each
    Column("slices", LargeBinary, nullable=False),
)
word_tail = Table(
    "word_tail",
    metadata,
    Column("id", RowId, Identity(), primary_key=True),
    Column("width", Integer, nullable=False),  # of each signature, in bits
    Column("count", Integer, nullable=False),
    Column("first_id", RowId, nullable=False),
    Column("last_id", RowId, nullable=False),
    Column("row_ids", LargeBinary, nullable=False),
    Column("signed", LargeBinary, nullable=False),  # their signatures
)
POSTGRESQL_ALONE = frozenset({word_segments.name, wide_segments.name, word_tail.name})

dictionaries = Table(
    "dictionaries",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("trained_at", Instant, nullable=False),
    Column("trained_to", RowId, nullable=False),  # the newest row at the time
    Column("ratio", Float, nullable=False),  # packed to raw bytes, over samples it had not seen
    Column("content", LargeBinary, nullable=False),
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
    Column("job_id", Text),  # the job that sent it, if one did
    Column("rule", CleanText),  # the policy's rule that sent it
    # What the dead letter was when it was sent: success rates are of these.
    Column("error_type", Name, nullable=False),
    Column("category", Name, nullable=False),
    Column("fingerprint", Name, nullable=False),
    Column("edit_count", Integer, nullable=False),  # which edit was sent; 0: the original
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

edits = Table(
    "edits",
    metadata,
    Column("id", RowId, Identity(), primary_key=True),
    Column("dead_letter_id", RowId, ForeignKey("dead_letters.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("at", Instant, nullable=False),
    Column("actor", CleanText, nullable=False),
    Column("reason", CleanText, nullable=False),
    Column("difference", Text, nullable=False),  # JSON Patch
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", RowId, Identity(), primary_key=True),
    Column("job_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("actor", CleanText, nullable=False),
    Column("choice", CleanText, nullable=False),  # the filter's text; empty: by ids
    Column("chosen_ids", Text),  # JSON: the ids that were named
    Column("unknown_ids", Text, nullable=False),  # JSON: the first of those nobody knew
    Column("options", Text, nullable=False),  # JSON of JobOptions
    Column("repeat_of", Text),
    Column("created_at", Instant, nullable=False),
    Column("start_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("finished_at", Instant),
    Column("stop_reason", CleanText),
    Column("waiting_for", CleanText),  # why nothing is sent just now
    Column("total", Integer, nullable=False),
    Column("canary_passed", Boolean, nullable=False),
    # Since when its outcomes are waited for, and when somebody looked for them last: while
    # nobody does, none can come.
    Column("canary_since", Instant),
    Column("canary_seen_at", Instant),
    Column("next_at", Instant),  # of the job's own bucket
    Column("hold_until", Instant),
    # How far keys were read, and successes elsewhere were looked at.
    Column("keyed_to", RowId, nullable=False),
    Column("successes_to", Instant),
    sqlite_autoincrement=True,
)

job_items = Table(
    "job_items",
    metadata,
    Column("job_id", RowId, ForeignKey("jobs.id"), nullable=False),
    Column("dead_letter_id", RowId, ForeignKey("dead_letters.id"), nullable=False),
    Column("error_type", Name, nullable=False),
    Column("failed_at", Instant, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", CleanText),
    Column("canary", Boolean, nullable=False),
    Column("replay_id", Text),
    Column("refusals", Integer, nullable=False),
    Column("sent_at", Instant),
    Column("done_at", Instant),
    Column("order_key", Name),
    Column("entity_key", Name),
    PrimaryKeyConstraint("job_id", "dead_letter_id"),
)

providers = Table(
    "providers",
    metadata,
    Column("name", Name, primary_key=True),
    Column("next_at", Instant),  # of its bucket
    Column("share", Float, nullable=False),  # of its limit, as it was at slowed_at
    Column("slowed_at", Instant),
    Column("hold_until", Instant),
    Column("circuit", Text, nullable=False),
    Column("failures", Integer, nullable=False),  # in a row
    Column("opened_count", Integer, nullable=False),
    Column("opened_at", Instant),
    Column("probe_at", Instant),
    Column("last_error", CleanText),
    Column("mended_at", Instant),
    Column("mended_by", CleanText),
)

policies = Table(
    "policies",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    Column("adopted_at", Instant, nullable=False),
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

    Said as "not outside": SQLite would look "is one of" up state by state and sort what it finds.
    """
    outside = [state.value for state in State if state not in IN_DLQ] + [DELETED]
    literals = bindparam(
        "outside", outside, unique=True, expanding=True, literal_execute=True, type_=Text()
    )
    return table.c.state.not_in(literals)


def spelled(column: ColumnElement[Any], *values: str) -> ColumnElement[bool]:
    """`column` is one of `values`, these as literals: see `in_dlq`."""
    if len(values) == 1:
        return column == bindparam("is", values[0], unique=True, literal_execute=True, type_=Text())
    return column.in_(
        bindparam("among", values, unique=True, expanding=True, literal_execute=True, type_=Text())
    )


def still_open(table: FromClause = job_items) -> ColumnElement[bool]:
    """An item that waits, or whose outcome is awaited; spelled as in the partial indexes."""
    return spelled(table.c.status, "waiting", "sent")


def unplanned(table: FromClause = dead_letters) -> ColumnElement[bool]:
    """Pending or scheduled, and no policy was asked since its newest failure. Said as `in_dlq`
    is, for the same reason."""
    others = (State.REPLAYING, State.RESOLVED, State.PARKED, DELETED)
    return table.c.planned_at.is_(None) & ~spelled(table.c.state, *others)


def _partial(name: str, *columns: Column[Any], where: ColumnElement[bool], **options: Any) -> Index:
    return Index(name, *columns, sqlite_where=where, postgresql_where=where, **options)


# Each index costs every ingest; each is here for a query that would read the whole table.

# Ingest is idempotent by it; get, replay, delete by id.
Index("ux_dead_letters_message_id", dead_letters.c.message_id, unique=True)
# Pages, counts and export of the DLQ in order of arrival, by cause and service without touching
# a row, however many resolved rows lie between.
_partial(
    "ix_dead_letters_dlq",
    dead_letters.c.id,
    dead_letters.c.cause_id,
    dead_letters.c.service_id,
    where=in_dlq(),
)
# Age quantiles within an hour, oldest and newest, spans of time; what is too old.
_partial("ix_dead_letters_dlq_age", dead_letters.c.failed_at, where=in_dlq())
# The members of one cause in order of arrival.
_partial(
    "ix_dead_letters_dlq_cause",
    dead_letters.c.cause_id,
    dead_letters.c.id,
    where=in_dlq(),
)
# Pages of the states that few are in.
_partial(
    "ix_dead_letters_elsewhere",
    dead_letters.c.state,
    dead_letters.c.id,
    where=spelled(dead_letters.c.state, *ELSEWHERE),
)
# What is emptied, to be forgotten after long.
_partial(
    "ix_dead_letters_deleted",
    dead_letters.c.updated_at,
    where=spelled(dead_letters.c.state, DELETED),
)
# Messages without id that may come again: as many as are between commit and ack.
_partial(
    "ix_dead_letters_unsettled",
    dead_letters.c.digest,
    where=dead_letters.c.digest.is_not(None),
)

# What no policy has been asked about, in order of arrival: as small as the last second.
_partial(
    "ix_dead_letters_unplanned",
    dead_letters.c.id,
    where=unplanned(),
)
# What waits for credentials, by provider.
_partial(
    "ix_dead_letters_waiting",
    dead_letters.c.error_type,
    dead_letters.c.planned_at,
    where=spelled(dead_letters.c.plan, "wait"),
)
# What is due, by provider.
_partial(
    "ix_dead_letters_due",
    dead_letters.c.error_type,
    dead_letters.c.next_replay_at,
    where=spelled(dead_letters.c.state, State.SCHEDULED),
)
# Successes since an instant.
_partial(
    "ix_dead_letters_resolved",
    dead_letters.c.updated_at,
    where=spelled(dead_letters.c.state, State.RESOLVED),
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
# Success rates by provider and by cause.
Index("ix_replays_outcomes", replays.c.error_type, replays.c.fingerprint, replays.c.outcome)
# What policies have on its way.
_partial(
    "ix_replays_by_policy",
    replays.c.error_type,
    where=replays.c.outcome.is_(None) & replays.c.rule.is_not(None),
)

Index("ux_services_name", services.c.name, unique=True)
Index("ux_causes_identity", causes.c.identity, unique=True)
Index("ix_causes_fingerprint", causes.c.fingerprint)
Index("ix_causes_group_id", causes.c.group_id)
Index("ux_cause_groups_fingerprint", cause_groups.c.fingerprint, unique=True)

Index("ux_jobs_job_id", jobs.c.job_id, unique=True)
# What there is to run: as small as what is not over.
Index("ix_jobs_state", jobs.c.state)
# Counts by status, and the next to send of each provider.
Index(
    "ix_job_items_status",
    job_items.c.job_id,
    job_items.c.status,
    job_items.c.error_type,
    job_items.c.dead_letter_id,
)
# The item that a replay belongs to.
_partial(
    "ux_job_items_replay_id",
    job_items.c.replay_id,
    where=job_items.c.replay_id.is_not(None),
    unique=True,
)
# Whether one before it, of the same key, is still to come back.
_partial(
    "ix_job_items_order_key",
    job_items.c.job_id,
    job_items.c.order_key,
    job_items.c.dead_letter_id,
    where=job_items.c.order_key.is_not(None) & still_open(),
)
# What a success elsewhere supersedes, and whether one before it is still to come back.
_partial(
    "ix_job_items_entity_key",
    job_items.c.job_id,
    job_items.c.entity_key,
    job_items.c.dead_letter_id,
    where=job_items.c.entity_key.is_not(None),
)
# The canary: a few among many.
_partial(
    "ix_job_items_canary",
    job_items.c.job_id,
    job_items.c.status,
    job_items.c.error_type,
    job_items.c.dead_letter_id,
    where=job_items.c.canary,
)
# What a job names must not be forgotten before it.
Index("ix_job_items_dead_letter_id", job_items.c.dead_letter_id)
# How many came back of late.
_partial(
    "ix_job_items_done_at",
    job_items.c.job_id,
    job_items.c.done_at,
    where=job_items.c.done_at.is_not(None),
)

# What was said of one group.
_partial(
    "ix_audit_marking",
    audit.c.target,
    audit.c.id,
    where=spelled(audit.c.action, *MARKING),
)

# The edits of one dead letter, in order; and no number twice.
Index("ux_edits_number", edits.c.dead_letter_id, edits.c.number, unique=True)
# The history of one dead letter, in order.
Index("ix_history_dead_letter_id", history.c.dead_letter_id, history.c.id)
