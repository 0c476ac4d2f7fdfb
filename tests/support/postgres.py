"""A private PostgreSQL for tests: real, disposable, never the machine's own.

`postgres` starts one cluster for the session (one per xdist worker) in a temporary folder;
`postgres_url` is a fresh, empty database of it. Without PostgreSQL installed the tests that
ask for it are skipped on a laptop and fail in CI.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.ports import free_port

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
DEBIAN_ROOT = Path("/usr/lib/postgresql")
SPEED_OVER_DURABILITY = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "64MB",
    "max_connections": "100",
}


def postgres_programs() -> Path | None:
    """The folder with `initdb` and `postgres`, newest version first; None if absent."""
    installed = [path.parent for path in DEBIAN_ROOT.glob("*/bin/initdb")]
    if installed:
        return max(installed, key=lambda folder: float(folder.parent.name))
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


class PostgresCluster:
    """One server with its data in a folder of its own, on loopback and a unix socket."""

    def __init__(
        self,
        programs: Path,
        *,
        settings: Mapping[str, str] = SPEED_OVER_DURABILITY,
        folder: Path | None = None,
    ) -> None:
        """Args:
        settings: the server's, as in `postgresql.conf`.
        folder: where to make the server's own; None: with the machine's temporary files.
        """
        self._programs = programs
        self._settings = settings
        self._folder = Path(tempfile.mkdtemp(prefix="dlq-pg-", dir=folder))
        self._account = _unprivileged_account()
        self._server: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        self.port = 0
        if self._account is not None:
            os.chown(self._folder, self._account.pw_uid, self._account.pw_gid)

    def start(self) -> None:
        """Start, or start again after `stop` or `kill` with the same data and port."""
        if self._server is not None and self._server.poll() is None:
            return
        data = self._folder / "data"
        if not data.exists():
            self._run("initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "--no-sync")
        last_words = b""
        for _attempt in range(5):  # another process may take the port between look and bind
            self.port = self.port or free_port()
            if self._serve(data):
                return
            last_words = (self._folder / "log").read_bytes()[-2000:]
            self.port = 0
        raise RuntimeError(f"PostgreSQL did not start: {last_words.decode(errors='replace')}")

    def stop(self) -> None:
        """Fast shutdown; returns when the process is gone."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Immediate shutdown: every connection is cut, as in a crash."""
        self._end(signal.SIGQUIT)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def fresh_database(self, like: str | None = None) -> str:
        """Create a database: empty, or a copy of the one at the URL `like`. Returns: its URL."""
        name = f"test_{next(self._numbers)}"
        template = like.rpartition("/")[2] if like else "template0"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    def execute(self, sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement as superuser, outside any transaction."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def cut_connections(self, url: str) -> int:
        """Terminate every connection to that database. Returns: how many there were."""
        rows = self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = '{url.rpartition('/')[2]}' AND pid <> pg_backend_pid()"
        )
        return len(rows)

    def _serve(self, data: Path) -> bool:
        options = {
            **self._settings,
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self._folder),
        }
        with (self._folder / "log").open("wb") as log:
            self._server = subprocess.Popen(
                [
                    str(self._programs / "postgres"),
                    *("-D", str(data)),
                    *itertools.chain.from_iterable(("-c", f"{k}={v}") for k, v in options.items()),
                ],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                **self._identity(),
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._server.poll() is None:
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return True
        self.kill()
        return False

    def _end(self, how: signal.Signals) -> None:
        if self._server is None:
            return
        if self._server.poll() is None:
            self._server.send_signal(how)
        try:
            self._server.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait(STOP_TIMEOUT_S)
        self._server = None

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._programs / program), *arguments],
            check=True,
            capture_output=True,
            cwd=self._folder,
            timeout=START_TIMEOUT_S,
            **self._identity(),
        )

    def _identity(self) -> dict[str, Any]:
        if self._account is None:
            return {}
        ids = {"user": self._account.pw_uid, "group": self._account.pw_gid}
        return {**ids, "extra_groups": []}


def _unprivileged_account() -> pwd.struct_passwd | None:
    """Whom to run the server as: PostgreSQL refuses root. None: the current user will do."""
    if os.geteuid() != 0:
        return None
    accounts = {account.pw_name: account for account in pwd.getpwall()}
    return accounts.get("postgres") or accounts["nobody"]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresCluster]:
    """The session's private PostgreSQL."""
    programs = postgres_programs()
    if programs is None:
        reason = "PostgreSQL is not installed (Debian: apt install postgresql)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    cluster = PostgresCluster(programs)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture
def postgres_url(postgres: PostgresCluster) -> Iterator[str]:
    """A fresh, empty database: `postgresql://…`. Dropped afterwards."""
    url = postgres.fresh_database()
    yield url
    postgres.drop_database(url)
