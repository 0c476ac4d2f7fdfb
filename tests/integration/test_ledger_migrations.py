"""The ledger's schema: built by migrations, on both databases, by one of many managers."""

from __future__ import annotations

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from dlq.errors import LedgerError, LedgerUnavailable, SettingsError
from dlq.ledger import open_ledger
from dlq.ledger.engines import connect
from dlq.ledger.migrate import MIGRATIONS, migrate_to_head
from dlq.ledger.schema import POSTGRESQL_ALONE, metadata
from dlq.query import Filter
from tests.support.ledger import an_arrival

REVISIONS = [s.revision for s in ScriptDirectory(str(MIGRATIONS)).walk_revisions()][::-1]


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'some' / 'folder' / 'ledger.sqlite'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


def test_the_migrations_build_exactly_the_schema(empty_url: str) -> None:
    open_ledger(empty_url).close()
    database = connect(empty_url)
    options = {
        "compare_type": True,
        "include_name": _but_what_is_made_by_others,
        "include_object": lambda thing, *_: (
            thing.name not in POSTGRESQL_ALONE or "sqlite" not in empty_url
        ),
    }
    differences = database.read(
        lambda c: compare_metadata(MigrationContext.configure(c, opts=options), metadata)
    )
    database.close()
    assert differences == []


def _but_what_is_made_by_others(name: str | None, kind: str, _parents: object) -> bool:
    """Alembic's own table, and those of FTS5."""
    return kind != "table" or not str(name).startswith(("alembic_version", "word_index"))


def test_partial_indexes_are_built_as_the_schema_says(empty_url: str) -> None:
    """`compare_metadata` does not look at their conditions."""
    open_ledger(empty_url).close()
    database = connect(empty_url)
    sql = "SELECT sql FROM sqlite_master" if "sqlite" in empty_url else _POSTGRES_INDEXES
    found = [row[0] or "" for row in database.read(lambda c: c.execute(text(sql)).all())]
    database.close()
    partial = {i.name for t in metadata.tables.values() for i in t.indexes if _condition(i)}
    assert partial
    for name in partial:
        (definition,) = (line for line in found if f" {name} ON" in line)
        expected = EXPECTED_CONDITIONS.get(str(name), ("NULL",))
        if "_dlq" in str(name):
            expected = ("'replaying'", "'resolved'", "'deleted'")
        assert " WHERE " in definition
        assert all(word in definition for word in expected), definition


EXPECTED_CONDITIONS = {
    "ix_audit_marking": ("'group_merge'", "'group_came_back'"),
    "ix_dead_letters_elsewhere": ("'scheduled'", "'parked'", "'replaying'"),
    "ix_dead_letters_deleted": ("'deleted'",),
    "ix_dead_letters_unplanned": ("NULL", "'replaying'", "'parked'"),
    "ix_dead_letters_waiting": ("'wait'",),
    "ix_dead_letters_due": ("'scheduled'",),
    "ix_dead_letters_resolved": ("'resolved'",),
    "ix_job_items_order_key": ("NULL", "'waiting'", "'sent'"),
    "ix_job_items_canary": ("canary",),
}
_POSTGRES_INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'"


def _condition(index: object) -> bool:
    options = index.dialect_options["sqlite"]  # type: ignore[attr-defined]
    return options["where"] is not None


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_revision_upgrades_to_head(empty_url: str, revision: str) -> None:
    database = connect(empty_url)
    migrate_to_head(database, revision)
    database.close()
    ledger = open_ledger(empty_url)
    ledger.ingest([an_arrival("m-1")])
    assert ledger.get("m-1").message.message_id == "m-1"
    ledger.close()


def test_a_database_of_a_newer_version_is_refused(ledger_url: str) -> None:
    database = connect(ledger_url)
    database.write(lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    database.close()
    for migrate in (True, False):
        with pytest.raises(LedgerError, match=r"9999.*newer version.*Install that version"):
            open_ledger(ledger_url, migrate=migrate)


def test_without_migrating_only_the_right_schema_is_taken(empty_url: str) -> None:
    with pytest.raises(LedgerError, match="Start the manager once"):
        open_ledger(empty_url, migrate=False)
    open_ledger(empty_url).close()
    ledger = open_ledger(empty_url, migrate=False)
    assert ledger.count(Filter()) == 0
    ledger.close()


def test_managers_that_start_at_once_do_not_collide(empty_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        for ledger in pool.map(lambda _: open_ledger(empty_url), range(4)):
            ledger.ping()
            ledger.close()


def test_the_file_and_its_folders_are_private(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "ledger.sqlite"
    ledger = open_ledger(f"sqlite:///{path}")
    ledger.ingest([an_arrival()])
    files = list(path.parent.iterdir())
    assert {f.name for f in files} >= {"ledger.sqlite", "ledger.sqlite-wal"}
    assert {stat.S_IMODE(f.stat().st_mode) for f in files} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    ledger.close()


def test_sqlite_is_set_up_to_survive_power_loss_and_to_scale(tmp_path: Path) -> None:
    database = connect(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    migrate_to_head(database)

    def pragmas(connection: Connection) -> dict[str, object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "page_size", "query_only")
        return {n: connection.exec_driver_sql(f"PRAGMA {n}").scalar() for n in names}

    durable = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "page_size": 16384}
    assert database.write(pragmas) == {**durable, "query_only": 0}
    assert database.read(pragmas) == {**durable, "query_only": 1}
    database.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://root:secret@host/name", "expected sqlite:///path or postgresql://"),
        ("nonsense", "expected sqlite:///path or postgresql://"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
    ],
)
def test_a_url_that_cannot_be_a_ledger_is_refused(url: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as refused:
        open_ledger(url)
    assert "secret" not in str(refused.value)


def test_a_database_that_is_not_there_is_unavailable_without_its_password() -> None:
    with pytest.raises(LedgerUnavailable, match="cannot be used") as refused:
        open_ledger("postgresql://dlq:secret@127.0.0.1:1/ledger")
    assert "secret" not in str(refused.value)
    assert "dlq@127.0.0.1:1/ledger" in str(refused.value)


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"this is a text file, and a longer one than a header" * 100)
    with pytest.raises(LedgerUnavailable, match="not a database"):
        open_ledger(f"sqlite:///{path}")


def test_a_folder_that_is_a_file_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(LedgerUnavailable, match="may write"):
        open_ledger(f"sqlite:///{tmp_path / 'taken' / 'ledger.sqlite'}")


def test_sqlite_needs_no_postgresql_driver(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from dlq.errors import SettingsError\n"
        "from dlq.ledger import open_ledger\n"
        f"open_ledger('sqlite:///{tmp_path / 'ledger.sqlite'}').close()\n"
        "try: open_ledger('postgresql://host/name')\n"
        "except SettingsError as error: print(error)\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert "songnodes-dlq[postgresql]" in shown.stdout
