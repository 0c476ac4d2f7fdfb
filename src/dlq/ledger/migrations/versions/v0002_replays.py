"""What replays grew into: jobs, pace and circuits by provider, policies, edits, free text.

Spelled out, and not taken from `schema.py`: that one moves on.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _dead_letters()
    _jobs()
    _replays()
    _job_items()
    _edits()
    _providers()
    op.create_table(
        "policies",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        _text("digest"),
        _instant("adopted_at", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_policies"),
    )


def downgrade() -> None:
    raise NotImplementedError("Ledgers are not downgraded: restore the backup from before.")


def _dead_letters() -> None:
    for column in (
        sa.Column("retry_after_s", sa.Float()),
        _with_default("search_text", sa.Text(), "''"),
        _instant("planned_at"),
        _text("plan", nullable=True),
        _text("plan_reason", nullable=True),
        _text("last_outcome", nullable=True),
        _with_default("edit_count", sa.Integer(), "0"),
        _text("edited_envelope", nullable=True),
        sa.Column("edited_body", sa.LargeBinary()),
    ):
        op.add_column("dead_letters", column)
    # Of what is there already, free text finds the title.
    op.execute("UPDATE dead_letters SET search_text = lower(title)")
    for name, columns, where in (
        (
            "ix_dead_letters_unplanned",
            ["id"],
            "planned_at IS NULL AND state NOT IN ('replaying', 'resolved', 'parked', 'deleted')",
        ),
        ("ix_dead_letters_waiting", ["error_type", "planned_at"], "plan = 'wait'"),
        ("ix_dead_letters_due", ["error_type", "next_replay_at"], "state = 'scheduled'"),
        ("ix_dead_letters_resolved", ["updated_at"], "state = 'resolved'"),
    ):
        _partial_index(name, "dead_letters", columns, where)


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", _big_integer(), sa.Identity(), primary_key=True),
        _text("job_id"),
        _text("state"),
        _text("actor"),
        _text("choice"),
        _text("chosen_ids", nullable=True),
        _text("unknown_ids"),
        _text("options"),
        _text("repeat_of", nullable=True),
        _instant("created_at", nullable=False),
        _instant("start_at", nullable=False),
        _instant("started_at"),
        _instant("finished_at"),
        _text("stop_reason", nullable=True),
        _text("waiting_for", nullable=True),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("canary_passed", sa.Boolean(), nullable=False),
        _instant("canary_since"),
        _instant("canary_seen_at"),
        _instant("next_at"),
        _instant("hold_until"),
        sa.Column("keyed_to", _big_integer(), nullable=False),
        _instant("successes_to"),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sqlite_autoincrement=True,
    )
    op.create_index("ux_jobs_job_id", "jobs", ["job_id"], unique=True)
    op.create_index("ix_jobs_state", "jobs", ["state"])


def _replays() -> None:
    """Replays from before are told by what their dead letters are now."""
    for column in (
        _text("job_id", nullable=True),
        _text("rule", nullable=True),
        _with_default("error_type", sa.Text(), "''"),
        _with_default("category", sa.Text(), "''"),
        _with_default("fingerprint", sa.Text(), "''"),
        _with_default("edit_count", sa.Integer(), "0"),
    ):
        op.add_column("replays", column)
    op.execute(
        "UPDATE replays SET error_type = d.error_type, category = d.category, "
        "fingerprint = d.fingerprint FROM dead_letters AS d WHERE d.id = replays.dead_letter_id"
    )
    op.create_index("ix_replays_outcomes", "replays", ["error_type", "fingerprint", "outcome"])
    _partial_index(
        "ix_replays_by_policy", "replays", ["error_type"], "outcome IS NULL AND rule IS NOT NULL"
    )


def _job_items() -> None:
    op.create_table(
        "job_items",
        sa.Column("job_id", _big_integer(), nullable=False),
        sa.Column("dead_letter_id", _big_integer(), nullable=False),
        _text("error_type"),
        _instant("failed_at", nullable=False),
        _text("status"),
        _text("reason", nullable=True),
        sa.Column("canary", sa.Boolean(), nullable=False),
        _text("replay_id", nullable=True),
        sa.Column("refusals", sa.Integer(), nullable=False),
        _instant("sent_at"),
        _instant("done_at"),
        _text("order_key", nullable=True),
        _text("entity_key", nullable=True),
        sa.PrimaryKeyConstraint("job_id", "dead_letter_id", name="pk_job_items"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_job_items_job_id"),
        sa.ForeignKeyConstraint(
            ["dead_letter_id"], ["dead_letters.id"], name="fk_job_items_dead_letter_id"
        ),
    )
    op.create_index(
        "ix_job_items_status", "job_items", ["job_id", "status", "error_type", "dead_letter_id"]
    )
    _partial_index(
        "ux_job_items_replay_id", "job_items", ["replay_id"], "replay_id IS NOT NULL", unique=True
    )
    for name, columns, where in (
        ("order_key", ["dead_letter_id"], " AND status IN ('waiting', 'sent')"),
        ("entity_key", ["dead_letter_id"], ""),
        ("done_at", [], ""),
    ):
        _partial_index(
            f"ix_job_items_{name}",
            "job_items",
            ["job_id", name, *columns],
            f"{name} IS NOT NULL{where}",
        )
    columns = ["job_id", "status", "error_type", "dead_letter_id"]
    op.create_index(
        "ix_job_items_canary",
        "job_items",
        columns,
        sqlite_where=sa.text("canary = 1"),
        postgresql_where=sa.text("canary"),
    )


def _edits() -> None:
    op.create_table(
        "edits",
        sa.Column("id", _big_integer(), sa.Identity(), primary_key=True),
        sa.Column("dead_letter_id", _big_integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        _instant("at", nullable=False),
        _text("actor"),
        _text("reason"),
        _text("difference"),
        sa.PrimaryKeyConstraint("id", name="pk_edits"),
        sa.ForeignKeyConstraint(
            ["dead_letter_id"], ["dead_letters.id"], name="fk_edits_dead_letter_id"
        ),
    )
    op.create_index("ux_edits_number", "edits", ["dead_letter_id", "number"], unique=True)


def _providers() -> None:
    op.create_table(
        "providers",
        _text("name"),
        _instant("next_at"),
        sa.Column("share", sa.Float(), nullable=False),
        _instant("slowed_at"),
        _instant("hold_until"),
        _text("circuit"),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("opened_count", sa.Integer(), nullable=False),
        _instant("opened_at"),
        _instant("probe_at"),
        _text("last_error", nullable=True),
        _instant("mended_at"),
        _text("mended_by", nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_providers"),
    )


def _with_default(name: str, kind: Any, value: str) -> sa.Column[Any]:
    """What rows from before get; the code itself always gives a value."""
    return sa.Column(name, kind, nullable=False, server_default=sa.text(value))


def _big_integer() -> sa.BigInteger:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _instant(name: str, *, nullable: bool = True) -> sa.Column[object]:
    instant = sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")
    return sa.Column(name, instant, nullable=nullable)


def _partial_index(
    name: str, table: str, columns: list[str], where: str, *, unique: bool = False
) -> None:
    condition = sa.text(where)
    op.create_index(
        name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition
    )
