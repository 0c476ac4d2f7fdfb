"""PostgreSQL as the ledger's database, shared by several managers.

Every wait is bounded: for a connection, for a lock, for an answer.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.types.array import ListBinaryDumper
from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL

from dlq.ledger.database import Database
from dlq.settings import without_password

LOCK_WAIT_S = 5.0
ANSWER_WAIT_S = 30.0
CONNECTIONS = 8


def postgresql_database(url: URL) -> Database:
    milliseconds = {"statement_timeout": ANSWER_WAIT_S, "lock_timeout": LOCK_WAIT_S}
    options = " ".join(f"-c {name}={int(s * 1000)}" for name, s in milliseconds.items())
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        connect_args={
            "connect_timeout": int(LOCK_WAIT_S),
            # A peer that fell silent is found by TCP, not by the operating system's two hours.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": int(ANSWER_WAIT_S * 1000),
            "application_name": "songnodes-dlq",
            # UTC: the driver cannot hold the year 9999 in a zone east of it.
            "options": f"{options} -c timezone=UTC {url.query.get('options', '')}".strip(),
        },
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=LOCK_WAIT_S,
        pool_pre_ping=True,  # connections that a restart of the server cut are replaced
    )
    event.listen(engine, "connect", _send_arrays_binary)
    reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return Database(engine, reader, without_password(url.render_as_string(hide_password=True)))


def _send_arrays_binary(connection: psycopg.Connection[Any], _record: Any) -> None:
    """Ours hold one type each; the driver's default, as text, escapes them in Python."""
    connection.adapters.register_dumper(list, ListBinaryDumper)
