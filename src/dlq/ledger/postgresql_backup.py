"""PostgreSQL: dumped and restored by `pg_dump` and `pg_restore`, which know all of it.

The dump has the ledger's tables and nothing else of the database, as of one instant. The
password goes to the programs through their environment: arguments are seen by everybody.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import make_url

from dlq.errors import InvalidInput, LedgerError, LedgerUnavailable
from dlq.ledger.engines import connect
from dlq.ledger.migrate import LOCK_KEY, require_head
from dlq.ledger.postgresql import LOCK_WAIT_S
from dlq.ledger.schema import metadata

TABLES = ("alembic_version", *metadata.tables)
POLL_S = 0.1
END_WAIT_S = 5.0


def dump(url: str, target: Path, on_progress: Callable[[int, None], None]) -> None:
    """Write the ledger, in pg_dump's custom format, into the empty file `target`.

    Raises: LedgerUnavailable; LedgerError: another schema than this version's; pg_dump is
    missing or has failed.
    """
    database = connect(url)
    try:
        require_head(database)  # the tables to be dumped are those that this version knows
    finally:
        database.close()
    conninfo, environment = _login(url)
    tables = [f"--table={name}" for name in TABLES]
    _run(
        [
            *(_program("pg_dump"), "--format=custom", "--no-owner", "--no-privileges"),
            *(*tables, f"--file={target}", f"--dbname={conninfo}"),
        ],
        environment,
        lambda: on_progress(target.stat().st_size, None),
    )
    _run([_program("pg_restore"), "--list", f"--file={os.devnull}", str(target)], environment)


def restore_dump(url: str, source: Path, on_progress: Callable[[int, None], None]) -> None:
    """Make the ledger's tables from a dump, all or none.

    Raises: InvalidInput: a table of a ledger is there; LedgerUnavailable; LedgerError:
    pg_restore is missing or has failed.
    """
    conninfo, environment = _login(url)
    program = _program("pg_restore")
    with _turn(conninfo, environment) as connection:
        there = [name for name in TABLES if _exists(connection, name)]
        if there:
            raise InvalidInput(
                f"The database has a ledger already ({', '.join(there[:3])} …), and a backup "
                "replaces nothing. Stop every manager that uses it, make an empty database with "
                "`createdb`, and set DLQ_LEDGER_URL to it."
            )
        options = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges")
        _run(
            [program, *options, f"--dbname={conninfo}", str(source)],
            environment,
            lambda: on_progress(0, None),
        )


@contextmanager
def _turn(conninfo: str, environment: dict[str, str]) -> Iterator[psycopg.Connection]:
    """A connection that holds the lock under which managers make the tables: one that starts
    meanwhile waits."""
    try:
        with psycopg.connect(
            conninfo,
            password=environment.get("PGPASSWORD"),
            connect_timeout=int(LOCK_WAIT_S),
            autocommit=True,
        ) as connection:
            connection.execute(f"SET lock_timeout = '{int(LOCK_WAIT_S)}s'".encode())
            connection.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
            yield connection
    except psycopg.Error as error:
        raise LedgerUnavailable(
            f"The ledger's database cannot be used: {str(error).strip()}. Nothing was changed."
        ) from error


def _exists(connection: psycopg.Connection, table: str) -> bool:
    found = connection.execute("SELECT to_regclass(%s)", [table]).fetchone()
    return found is not None and found[0] is not None


def _login(url: str) -> tuple[str, dict[str, str]]:
    """libpq's words for the URL without its password, and an environment with it."""
    parsed = make_url(url).set(drivername="postgresql+psycopg")
    _, given = parsed.get_dialect()().create_connect_args(parsed)
    password = given.pop("password", None)
    environment = {**os.environ, "PGCONNECT_TIMEOUT": str(int(LOCK_WAIT_S))}
    if password is not None:
        environment["PGPASSWORD"] = str(password)
    return make_conninfo("", **given), environment


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise LedgerError(
            f"A ledger on PostgreSQL needs {name}, and it is not on the PATH. Install the client "
            "of the server's version or a later one (Debian: apt install postgresql-client)."
        )
    return found


def _run(
    command: list[str], environment: dict[str, str], on_tick: Callable[[], None] = lambda: None
) -> None:
    """Raises: LedgerError: with the program's first words."""
    with tempfile.TemporaryFile() as words:
        program = subprocess.Popen(  # noqa: S603 - ours, with arguments that are not a shell's
            command, env=environment, stdin=subprocess.DEVNULL, stderr=words
        )
        try:
            while _runs(program):
                on_tick()
        except BaseException:
            program.terminate()
            program.wait(END_WAIT_S)
            raise
        if program.returncode != 0:
            words.seek(0)
            said = words.read(2000).decode(errors="replace").strip().splitlines()
            raise LedgerError(
                f"{Path(command[0]).name} failed with {program.returncode}: "
                f"{said[0] if said else 'it said nothing'}"
            )


def _runs(program: subprocess.Popen[bytes]) -> bool:
    try:
        program.wait(POLL_S)
    except subprocess.TimeoutExpired:
        return True
    return False
