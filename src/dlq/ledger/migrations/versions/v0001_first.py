"""The first schema: dead letters, replays, history, audit, heartbeat.

Spelled out, and not taken from `schema.py`: that one moves on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

IN_DLQ = sa.text("state NOT IN ('replaying', 'resolved', 'deleted')")


def upgrade() -> None:
    _dead_letters()
    _replays()
    _history()
    _audit()
    op.create_table(
        "heartbeat",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        _instant("at", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_heartbeat"),
    )


def downgrade() -> None:
    raise NotImplementedError("Ledgers are not downgraded: restore the backup from before.")


def _dead_letters() -> None:
    op.create_table(
        "dead_letters",
        _row_id(),
        _text("message_id"),
        _text("state"),
        _text("error_type"),
        _text("category"),
        _text("fingerprint"),
        _text("title"),
        _text("source_service"),
        _instant("failed_at", nullable=False),
        _instant("ingested_at", nullable=False),
        _instant("updated_at", nullable=False),
        _instant("next_replay_at"),
        sa.Column("replay_count", sa.Integer(), nullable=False),
        sa.Column("failed_count", sa.Integer(), nullable=False),
        _text("open_replay_id", nullable=True),
        _text("form"),
        _text("digest", nullable=True),
        _instant("unsettled_until"),
        _text("latest_envelope", nullable=True),
        sa.Column("latest_body", sa.LargeBinary()),
        _text("envelope"),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dead_letters"),
        sqlite_autoincrement=True,
    )
    op.create_index("ux_dead_letters_message_id", "dead_letters", ["message_id"], unique=True)
    op.create_index(
        "ix_dead_letters_counts", "dead_letters", ["state", "error_type", "source_service"]
    )
    for name, columns in (
        ("ix_dead_letters_dlq", ["id"]),
        ("ix_dead_letters_dlq_age", ["failed_at"]),
        ("ix_dead_letters_dlq_error_type", ["error_type", "failed_at", "id"]),
        ("ix_dead_letters_dlq_fingerprint", ["fingerprint", "failed_at", "id"]),
    ):
        _partial_index(name, "dead_letters", columns, IN_DLQ)
    _partial_index(
        "ix_dead_letters_unsettled", "dead_letters", ["digest"], sa.text("digest IS NOT NULL")
    )


def _replays() -> None:
    op.create_table(
        "replays",
        _row_id(),
        _text("replay_id"),
        _dead_letter_id(),
        sa.Column("number", sa.Integer(), nullable=False),
        _text("actor"),
        _text("routing_key"),
        sa.Column("max_retries", sa.Integer()),
        _text("from_state"),
        _instant("started_at", nullable=False),
        _instant("confirmed_at"),
        _text("outcome", nullable=True),
        _instant("outcome_at"),
        _text("worker", nullable=True),
        _text("error", nullable=True),
        _text("lease_id", nullable=True),
        _text("leased_by", nullable=True),
        _instant("leased_until"),
        sa.PrimaryKeyConstraint("id", name="pk_replays"),
        _to_dead_letters("fk_replays_dead_letter_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ux_replays_replay_id", "replays", ["replay_id"], unique=True)
    op.create_index("ux_replays_number", "replays", ["dead_letter_id", "number"], unique=True)
    _partial_index("ix_replays_open", "replays", ["id"], sa.text("outcome IS NULL"))
    _partial_index(
        "ux_replays_lease_id",
        "replays",
        ["lease_id"],
        sa.text("lease_id IS NOT NULL"),
        unique=True,
    )


def _history() -> None:
    op.create_table(
        "history",
        _row_id(),
        _dead_letter_id(),
        _instant("at", nullable=False),
        _text("actor"),
        _text("from_state", nullable=True),
        _text("to_state", nullable=True),
        _text("reason"),
        _text("replay_id", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_history"),
        _to_dead_letters("fk_history_dead_letter_id"),
    )
    op.create_index("ix_history_dead_letter_id", "history", ["dead_letter_id", "id"])


def _audit() -> None:
    op.create_table(
        "audit",
        _row_id(),
        _instant("at", nullable=False),
        _text("actor"),
        _text("action"),
        _text("target"),
        _text("result"),
        _text("detail"),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )


def _row_id() -> sa.Column[int]:
    return sa.Column("id", _big_integer(), sa.Identity(), primary_key=True)


def _dead_letter_id() -> sa.Column[int]:
    return sa.Column("dead_letter_id", _big_integer(), nullable=False)


def _to_dead_letters(name: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["dead_letter_id"], ["dead_letters.id"], name=name)


def _big_integer() -> sa.BigInteger:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _instant(name: str, *, nullable: bool = True) -> sa.Column[object]:
    instant = sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")
    return sa.Column(name, instant, nullable=nullable)


def _partial_index(
    name: str, table: str, columns: list[str], where: sa.TextClause, *, unique: bool = False
) -> None:
    op.create_index(name, table, columns, unique=unique, sqlite_where=where, postgresql_where=where)
