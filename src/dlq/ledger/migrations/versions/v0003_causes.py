"""Causes and groups, counters, packed messages, an index of words.

Every dead letter is written anew. Those from before are packed without dictionary and shape, and
free text takes each of them for a candidate; as they leave the ledger, so does the cost of it.

Spelled out, and not taken from the code that reads and writes today: that moves on.
"""

from __future__ import annotations

import array
import datetime as dt
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
import zstandard
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BATCH = 500
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
HOUR_US = 3600 * 1_000_000
NOT_IN_DLQ = ("replaying", "resolved", "deleted")
CUT = "#cut"
NARROW = 640
ANY_WORD = b"\xff" * (NARROW // 8)
CHILDREN = ("replays", "history", "edits", "job_items")
INDEXES = (
    *("message_id", "counts", "dlq", "dlq_age", "dlq_error_type", "dlq_fingerprint"),
    *("unsettled", "unplanned", "waiting", "due", "resolved"),
)
MARKING = (
    *("group_merge", "group_split", "group_category", "group_note", "group_mute", "group_unmute"),
    *("group_acknowledge", "group_archive", "group_restore", "group_fixed", "group_reopen"),
    "group_came_back",
)
UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
IN_DLQ = "state NOT IN ('replaying', 'resolved', 'deleted')"


def upgrade() -> None:
    connection = op.get_bind()
    is_sqlite = connection.dialect.name == "sqlite"
    _new_tables()
    _set_aside(is_sqlite=is_sqlite)
    _dead_letters()
    if is_sqlite:
        op.execute(
            "CREATE VIRTUAL TABLE word_index USING fts5(own, content='', columnsize=0, "
            "detail=none, tokenize=\"ascii tokenchars '_#-'\")"
        )
    else:
        _signatures()
    _convert(connection, is_sqlite=is_sqlite)
    _bring_back(connection, is_sqlite=is_sqlite)
    _indexes()
    op.create_index("ix_job_items_dead_letter_id", "job_items", ["dead_letter_id"])
    marking = sa.text(f"action IN ({', '.join(repr(action) for action in MARKING)})")
    op.create_index(
        "ix_audit_marking",
        "audit",
        ["target", "id"],
        sqlite_where=marking,
        postgresql_where=marking,
    )
    # That it arrived is told by the dead letter itself.
    op.execute(
        "DELETE FROM history WHERE from_state IS NULL AND to_state = 'pending' "
        "AND reason = 'arrived'"
    )


def downgrade() -> None:
    raise NotImplementedError("Ledgers are not downgraded: restore the backup from before.")


# --- tables ------------------------------------------------------------------------------


def _new_tables() -> None:
    op.create_table("services", _number(), _text("name"), _key("services"))
    op.create_index("ux_services_name", "services", ["name"], unique=True)
    _cause_groups()
    _causes()
    for table, key, column in (
        ("cause_hours", sa.Column("hour", sa.Integer(), nullable=False), "failures"),
        ("cause_outcomes", _text("outcome"), "count"),
    ):
        op.create_table(
            table,
            sa.Column("cause_id", sa.Integer(), nullable=False),
            key,
            sa.Column(column, sa.BigInteger(), nullable=False),
            sa.PrimaryKeyConstraint("cause_id", key.name, name=f"pk_{table}"),
            _of_cause(table),
            sqlite_with_rowid=False,
        )
    op.create_table(
        "cause_counts",
        sa.Column("cause_id", sa.Integer(), nullable=False),
        sa.Column("service_id", sa.Integer(), nullable=False),
        _text("state"),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("cause_id", "service_id", "state", name="pk_cause_counts"),
        _of_cause("cause_counts"),
        sa.ForeignKeyConstraint(["service_id"], ["services.id"], name="fk_cause_counts_service_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "cause_releases",
        sa.Column("cause_id", sa.Integer(), nullable=False),
        _text("release"),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        _instant("first_seen", nullable=False),
        _instant("last_seen", nullable=False),
        sa.PrimaryKeyConstraint("cause_id", "release", name="pk_cause_releases"),
        _of_cause("cause_releases"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "age_hours",
        sa.Column("hour", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        _key("age_hours", "hour"),
    )
    op.create_table(
        "shapes",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        _text("digest"),
        sa.Column("frames", sa.LargeBinary(), nullable=False),
        _text("words"),
        _key("shapes"),
    )
    op.create_table(
        "dictionaries",
        _number(),
        _instant("trained_at", nullable=False),
        sa.Column("trained_to", _big_integer(), nullable=False),
        sa.Column("ratio", sa.Float(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        _key("dictionaries"),
    )


def _cause_groups() -> None:
    op.create_table(
        "cause_groups",
        _number(),
        _text("fingerprint"),
        _instant("created_at", nullable=False),
        _text("category", nullable=True),
        _text("note", nullable=True),
        _text("noted_by", nullable=True),
        _instant("noted_at"),
        _instant("muted_until"),
        _text("muted_by", nullable=True),
        _instant("acknowledged_at"),
        _text("acknowledged_by", nullable=True),
        _instant("archived_at"),
        _text("archived_by", nullable=True),
        _instant("fixed_at"),
        _text("fixed_by", nullable=True),
        _text("fixed_in", nullable=True),
        _instant("cleared_at"),
        _instant("came_back_at"),
        _key("cause_groups"),
    )
    op.create_index("ux_cause_groups_fingerprint", "cause_groups", ["fingerprint"], unique=True)


def _causes() -> None:
    op.create_table(
        "causes",
        _number(),
        _text("identity"),
        _text("fingerprint"),
        _text("error_type"),
        _text("category"),
        _text("error_class", nullable=True),
        sa.Column("http_status", sa.Integer()),
        _text("title"),
        _text("rule"),
        _text("reason"),
        _text("words"),
        _instant("first_seen", nullable=False),
        _instant("last_seen", nullable=False),
        sa.Column("group_id", sa.Integer(), nullable=False),
        _key("causes"),
        sa.ForeignKeyConstraint(["group_id"], ["cause_groups.id"], name="fk_causes_group_id"),
    )
    op.create_index("ux_causes_identity", "causes", ["identity"], unique=True)
    op.create_index("ix_causes_fingerprint", "causes", ["fingerprint"])
    op.create_index("ix_causes_group_id", "causes", ["group_id"])


def _set_aside(*, is_sqlite: bool) -> None:
    for name in INDEXES:
        op.drop_index(f"{'ux' if name == 'message_id' else 'ix'}_dead_letters_{name}")
    if is_sqlite:
        # What refers to dead letters is to mean the new table, not this one.
        op.execute("PRAGMA legacy_alter_table = ON")
    else:
        for child in CHILDREN:
            op.drop_constraint(f"fk_{child}_dead_letter_id", child, type_="foreignkey")
        op.execute("ALTER TABLE dead_letters RENAME CONSTRAINT pk_dead_letters TO pk_old_letters")
        op.execute("ALTER SEQUENCE dead_letters_id_seq RENAME TO old_letters_id_seq")
    op.rename_table("dead_letters", "old_letters")


def _dead_letters() -> None:
    op.create_table(
        "dead_letters",
        sa.Column("id", _big_integer(), sa.Identity(), primary_key=True),
        _instant("failed_at", nullable=False),
        _instant("ingested_at", nullable=False),
        sa.Column("cause_id", sa.Integer()),
        sa.Column("shape_id", sa.Integer()),
        sa.Column("service_id", sa.Integer(), nullable=False),
        sa.Column("retry_count", sa.Integer(), nullable=False),
        sa.Column("replay_count", sa.Integer(), nullable=False),
        sa.Column("failed_count", sa.Integer(), nullable=False),
        sa.Column("edit_count", sa.Integer(), nullable=False),
        sa.Column("message_id", sa.LargeBinary(), nullable=False),
        _text("state"),
        _text("error_type"),
        _text("form"),
        _instant("updated_at"),
        sa.Column("retry_after_s", sa.Float()),
        _instant("planned_at"),
        _text("plan", nullable=True),
        _text("plan_reason", nullable=True),
        _instant("next_replay_at"),
        _text("last_outcome", nullable=True),
        _text("open_replay_id", nullable=True),
        _text("digest", nullable=True),
        _instant("unsettled_until"),
        sa.Column("latest_wire", sa.LargeBinary()),
        sa.Column("edited_wire", sa.LargeBinary()),
        sa.Column("wire", sa.LargeBinary(), nullable=False),
        _key("dead_letters"),
        sqlite_autoincrement=True,
    )


def _signatures() -> None:
    op.create_table(
        "word_segments",
        sa.Column("number", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("slices", sa.LargeBinary(), nullable=False),
        _key("word_segments", "number"),
    )
    op.create_table(
        "wide_segments",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("first_id", sa.BigInteger(), nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.Column("row_ids", sa.LargeBinary(), nullable=False),
        sa.Column("slices", sa.LargeBinary(), nullable=False),
        _key("wide_segments"),
    )
    op.create_table(
        "word_tail",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("first_id", sa.BigInteger(), nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.Column("row_ids", sa.LargeBinary(), nullable=False),
        sa.Column("signed", sa.LargeBinary(), nullable=False),
        _key("word_tail"),
    )
    # A part of a value that is not compressed is read without the rest.
    for table, column in (("word_segments", "slices"), ("wide_segments", "slices")):
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE EXTERNAL")


def _bring_back(connection: sa.Connection, *, is_sqlite: bool) -> None:
    op.drop_table("old_letters")
    if is_sqlite:
        op.execute("PRAGMA legacy_alter_table = OFF")
        return
    for child in CHILDREN:
        op.create_foreign_key(
            f"fk_{child}_dead_letter_id", child, "dead_letters", ["dead_letter_id"], ["id"]
        )
    connection.execute(
        sa.text(
            "SELECT setval(pg_get_serial_sequence('dead_letters', 'id'), "
            "(SELECT max(id) FROM dead_letters)) WHERE EXISTS (SELECT 1 FROM dead_letters)"
        )
    )


def _indexes() -> None:
    op.create_index("ux_dead_letters_message_id", "dead_letters", ["message_id"], unique=True)
    for name, columns, where in (
        ("dlq", ["id", "cause_id", "service_id"], IN_DLQ),
        ("dlq_age", ["failed_at"], IN_DLQ),
        ("dlq_cause", ["cause_id", "id"], IN_DLQ),
        ("elsewhere", ["state", "id"], "state IN ('scheduled', 'parked', 'replaying')"),
        ("deleted", ["updated_at"], "state = 'deleted'"),
        ("unsettled", ["digest"], "digest IS NOT NULL"),
        (
            "unplanned",
            ["id"],
            "planned_at IS NULL AND state NOT IN ('replaying', 'resolved', 'parked', 'deleted')",
        ),
        ("waiting", ["error_type", "planned_at"], "plan = 'wait'"),
        ("due", ["error_type", "next_replay_at"], "state = 'scheduled'"),
        ("resolved", ["updated_at"], "state = 'resolved'"),
    ):
        condition = sa.text(where)
        op.create_index(
            f"ix_dead_letters_{name}",
            "dead_letters",
            columns,
            sqlite_where=condition,
            postgresql_where=condition,
        )


# --- rows --------------------------------------------------------------------------------


class _Ids:
    """Rows of a small table by a text, made as they are met."""

    def __init__(self, connection: sa.Connection, statement: str) -> None:
        self._connection = connection
        self._statement = sa.text(statement)
        self._known: dict[str, int] = {}

    def of(self, key: str, **values: Any) -> int:
        if key not in self._known:
            self._known[key] = self._connection.execute(self._statement, values).scalar_one()
        return self._known[key]


def _convert(connection: sa.Connection, *, is_sqlite: bool) -> None:
    services = _Ids(connection, "INSERT INTO services (name) VALUES (:name) RETURNING id")
    groups = _Ids(
        connection,
        "INSERT INTO cause_groups (fingerprint, created_at) VALUES (:fingerprint, :at) "
        "RETURNING id",
    )
    causes = _Ids(
        connection,
        "INSERT INTO causes (identity, fingerprint, error_type, category, title, rule, reason, "
        "words, first_seen, last_seen, group_id) VALUES (:identity, :fingerprint, :error_type, "
        ":category, :title, '', '', '', :at, :at, :group_id) RETURNING id",
    )
    counts: Counter[tuple[int, int, str]] = Counter()
    hours: Counter[tuple[int, int]] = Counter()
    ages: Counter[int] = Counter()
    for rows in _batches(connection):
        made = []
        for row in rows:
            service = services.of(row.source_service, name=row.source_service)
            cause = None
            if row.state != "deleted":
                cause = _cause(row, groups, causes)
                hour = _hour(row.failed_at)
                counts[cause, service, row.state] += 1
                hours[cause, hour] += 1
                ages[hour] += row.state not in NOT_IN_DLQ
            made.append(_converted(row, cause, service))
        connection.execute(_INSERT, made)
        kept = [one["id"] for one in made if one["cause_id"] is not None]
        if kept:
            _index(connection, kept, is_sqlite=is_sqlite)
    _write_counts(connection, counts, hours, ages)


_COLUMNS = (
    *("id", "failed_at", "ingested_at", "cause_id", "service_id", "retry_count", "replay_count"),
    *("failed_count", "edit_count", "message_id", "state", "error_type", "form", "updated_at"),
    *("retry_after_s", "planned_at", "plan", "plan_reason", "next_replay_at", "last_outcome"),
    *("open_replay_id", "digest", "unsettled_until", "latest_wire", "edited_wire", "wire"),
)
_INSERT = sa.text(
    f"INSERT INTO dead_letters ({', '.join(_COLUMNS)}) "  # noqa: S608 - names from above
    f"VALUES ({', '.join(f':{name}' for name in _COLUMNS)})"
)


def _batches(connection: sa.Connection) -> Iterator[Sequence[Any]]:
    reached = 0
    query = sa.text("SELECT * FROM old_letters WHERE id > :id ORDER BY id LIMIT :limit")
    while rows := connection.execute(query, {"id": reached, "limit": BATCH}).all():
        yield rows
        reached = rows[-1].id


def _cause(row: Any, groups: _Ids, causes: _Ids) -> int:
    parts = [row.fingerprint, row.error_type, row.category, None, None]
    identity = hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()[:32]
    return causes.of(
        identity,
        identity=identity,
        fingerprint=row.fingerprint,
        error_type=row.error_type,
        category=row.category,
        title=row.title,
        at=row.failed_at,
        group_id=groups.of(row.fingerprint, fingerprint=row.fingerprint, at=row.ingested_at),
    )


def _converted(row: Any, cause: int | None, service: int) -> dict[str, Any]:
    values = {name: getattr(row, name, None) for name in _COLUMNS}
    is_there = cause is not None
    values |= {
        "cause_id": cause,
        "service_id": service,
        "message_id": _id_bytes(row.message_id),
        "retry_count": _retry_count(row.body) if is_there else 0,
        "wire": _packed(row.envelope, row.body) if is_there else b"",
        "latest_wire": _packed(row.latest_envelope, row.latest_body) if is_there else None,
        "edited_wire": _packed(row.edited_envelope, row.edited_body) if is_there else None,
    }
    return values


def _packed(envelope: str | None, body: bytes | None) -> bytes | None:
    """No flags, dictionary 0, one zstd frame of the envelope, a new line and the body."""
    if envelope is None or body is None:
        return None
    return b"\0\0" + zstandard.compress(envelope.encode("ascii") + b"\n" + bytes(body))


def _id_bytes(message_id: str) -> bytes:
    if UUID.fullmatch(message_id):
        return b"\0" + bytes.fromhex(message_id.replace("-", ""))
    return message_id.encode("utf-8")


def _retry_count(body: bytes) -> int:
    try:
        count = json.loads(bytes(body))["retry_count"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return 0
    return count if isinstance(count, int) and 0 <= count < 2**31 else 0


def _index(connection: sa.Connection, ids: list[int], *, is_sqlite: bool) -> None:
    """Only as something of which the words are not known."""
    if is_sqlite:
        statement = "INSERT INTO word_index(rowid, own) VALUES (:id, :own)"
        connection.execute(sa.text(statement), [{"id": one, "own": CUT} for one in ids])
        return
    connection.execute(
        sa.text(
            "INSERT INTO word_tail (width, count, first_id, last_id, row_ids, signed) "
            "VALUES (:width, :count, :first, :last, :ids, :signed)"
        ),
        {
            "width": NARROW,
            "count": len(ids),
            "first": min(ids),
            "last": max(ids),
            "ids": array.array("q", ids).tobytes(),
            "signed": ANY_WORD * len(ids),
        },
    )


def _hour(failed_at: Any) -> int:
    """SQLite holds microseconds since 1970, PostgreSQL instants."""
    if isinstance(failed_at, int):
        return failed_at // HOUR_US
    hours: int = (failed_at - EPOCH) // dt.timedelta(hours=1)
    return hours


def _write_counts(
    connection: sa.Connection,
    counts: Counter[tuple[int, int, str]],
    hours: Counter[tuple[int, int]],
    ages: Counter[int],
) -> None:
    for statement, rows in (
        (
            "INSERT INTO cause_counts (cause_id, service_id, state, count) VALUES (:a, :b, :c, :n)",
            [{"a": a, "b": b, "c": c, "n": n} for (a, b, c), n in sorted(counts.items())],
        ),
        (
            "INSERT INTO cause_hours (cause_id, hour, failures) VALUES (:a, :b, :n)",
            [{"a": a, "b": b, "n": n} for (a, b), n in sorted(hours.items())],
        ),
        (
            "INSERT INTO age_hours (hour, count) VALUES (:a, :n)",
            [{"a": a, "n": n} for a, n in sorted(ages.items())],
        ),
    ):
        if rows:
            connection.execute(sa.text(statement), rows)
    connection.execute(
        sa.text(
            "UPDATE causes SET first_seen = d.first, last_seen = d.last FROM (SELECT cause_id, "
            "min(failed_at) AS first, max(failed_at) AS last FROM dead_letters "
            "GROUP BY cause_id) AS d WHERE d.cause_id = causes.id"
        )
    )
    connection.execute(
        sa.text(
            "INSERT INTO cause_outcomes (cause_id, outcome, count) SELECT d.cause_id, r.outcome, "
            "count(*) FROM replays AS r JOIN dead_letters AS d ON d.id = r.dead_letter_id "
            "WHERE r.outcome IS NOT NULL AND d.cause_id IS NOT NULL "
            "GROUP BY d.cause_id, r.outcome"
        )
    )


# --- columns -----------------------------------------------------------------------------


def _number() -> sa.Column[int]:
    return sa.Column("id", sa.Integer(), sa.Identity(), primary_key=True)


def _key(table: str, column: str = "id") -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(column, name=f"pk_{table}")


def _of_cause(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["cause_id"], ["causes.id"], name=f"fk_{table}_cause_id")


def _big_integer() -> Any:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _instant(name: str, *, nullable: bool = True) -> sa.Column[object]:
    instant = sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")
    return sa.Column(name, instant, nullable=nullable)
