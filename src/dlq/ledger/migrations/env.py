"""Alembic's entry: runs the revisions on the connection, and in the transaction, of
`dlq.ledger.migrate`."""

from __future__ import annotations

from alembic import context

from dlq.ledger.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
