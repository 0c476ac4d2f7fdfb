"""A private RabbitMQ node for tests: own data, ports, cookie and epmd, loopback only.

It takes Debian's `rabbitmq-server` package and leaves the machine's own broker alone. The
data outlive `stop()` and `kill()`, so that a test may crash the broker and start it again.
"""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from dlq.settings import Settings
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = Path("/usr/lib/rabbitmq/bin")
USER = "dlq"
PASSWORD = "not-a-secret"
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 30.0
CTL_TIMEOUT_S = 60.0
VHOST_POOL = 12


class BrokerNode:
    """One node. `start()` before use; `close()` at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._epmd_port = free_port()
        self._env = self._environment()
        self._beam: subprocess.Popen[bytes] | None = None
        self._epmd: subprocess.Popen[bytes] | None = None
        self._vhosts: list[str] = []
        self._vhost_numbers = itertools.count(1)
        self._write_files()

    # --- life ---

    def start(self) -> None:
        """Start (again, with the data as they are) and wait until it accepts AMQP."""
        if self.is_running:
            return
        self._start_epmd()
        with (self.folder / "console.log").open("ab") as log:
            self._beam = subprocess.Popen(
                [BIN / "rabbitmq-server"],
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.folder,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._speaks_amqp():
            if self._beam.poll() is not None or time.monotonic() > deadline:
                self._end()
                raise RuntimeError(f"RabbitMQ did not start:\n{self._log_tail()}")
            time.sleep(0.05)

    @property
    def is_running(self) -> bool:
        return self._beam is not None and self._beam.poll() is None

    @property
    def pid(self) -> int:
        """Of the beam, for signals other than those below."""
        assert self._beam is not None, "the node was never started"
        return self._beam.pid

    def stop(self) -> None:
        """Orderly, as `systemctl stop` does it."""
        if self._beam is None:
            return
        self._beam.terminate()
        try:
            self._beam.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._end()

    def kill(self) -> None:
        """kill -9, as if the machine had lost its power.

        RabbitMQ 3.10.8 writes down where a new quorum queue keeps its log only minutes later
        (dets, auto_save); killed before, it starts that queue anew: empty, without a leader.
        Tests make their queues a second ago, so this is hastened: they are as old queues are.
        """
        if self.is_running:
            self.eval("[dets:sync(Table) || Table <- dets:all()].")
        self._end()

    def close(self) -> None:
        """End the node and its epmd for good; quick, since nobody needs the data now."""
        self._end()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait(STOP_TIMEOUT_S)

    # --- use ---

    def url(self, vhost: str = "/", *, port: int | None = None, password: str = PASSWORD) -> str:
        """The amqp URL; `port` to go through a proxy."""
        return f"amqp://{USER}:{password}@127.0.0.1:{port or self.port}/{quote(vhost, safe='')}"

    def fresh_vhost(self) -> str:
        """The name of a new, empty virtual host; a pool is made at once, since a control
        command takes seconds."""
        if not self._vhosts:
            self._vhosts = [f"test-{next(self._vhost_numbers)}" for _ in range(VHOST_POOL)]
            names = ",".join(f'<<"{name}">>' for name in self._vhosts)
            self.eval(
                f'All = <<".*">>, User = <<"{USER}">>, [begin '
                "rabbit_vhost:add(V, <<>>, [], User), "
                "rabbit_auth_backend_internal:set_permissions(User, V, All, All, All, User) "
                f"end || V <- [{names}]]."
            )
        return self._vhosts.pop()

    def ctl(self, *args: str) -> str:
        """The output of `rabbitmqctl …`; a failure raises with what it said."""
        done = subprocess.run(
            [BIN / "rabbitmqctl", "--quiet", *args],
            env=self._env,
            capture_output=True,
            text=True,
            timeout=CTL_TIMEOUT_S,
            cwd=self.folder,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"rabbitmqctl {' '.join(args)}: {done.stdout}{done.stderr}")
        return done.stdout

    def eval(self, erlang: str) -> str:
        """Run an Erlang expression on the node: several control commands at the price of one."""
        return self.ctl("eval", erlang)

    # --- inside ---

    def _end(self) -> None:
        if self._beam is not None:
            self._beam.kill()
            self._beam.wait(STOP_TIMEOUT_S)

    def _environment(self) -> dict[str, str]:
        node = f"dlq{self.port}@localhost"
        ctl_port = free_port()
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "C.UTF-8",
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # The start script then becomes the beam, so that its pid is the child's.
            "RUNNING_UNDER_SYSTEMD": "1",
            "RABBITMQ_NODENAME": node,
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CTL_DIST_PORT_MIN": str(ctl_port),
            "RABBITMQ_CTL_DIST_PORT_MAX": str(ctl_port + 20),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "none.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_PID_FILE": str(self.folder / "node.pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2"
            ),
        }

    def _write_files(self) -> None:
        cookie = self.folder / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o400)
        (self.folder / "enabled_plugins").write_text("[].\n")
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.default = 127.0.0.1:{self.port}\n"
            f"default_user = {USER}\n"
            f"default_pass = {PASSWORD}\n"
            "disk_free_limit.absolute = 50MB\n"
            "vm_memory_high_watermark.absolute = 1GB\n"
        )

    def _start_epmd(self) -> None:
        """In the foreground of its own process, so that its pid is known at the end."""
        if self._epmd is None:
            self._epmd = subprocess.Popen(
                ["epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"],
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def _speaks_amqp(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2.0) as probe:
                probe.sendall(b"AMQP\x00\x00\x09\x01")
                return bool(probe.recv(1))
        except OSError:
            return False

    def _log_tail(self) -> str:
        return (self.folder / "console.log").read_text(errors="replace")[-3000:]


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerNode]:
    """A running private node; one a session (and a worker of pytest-xdist)."""
    if not (BIN / "rabbitmq-server").exists() or shutil.which("epmd") is None:
        reason = f"RabbitMQ is not installed (expected {BIN}/rabbitmq-server and epmd)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    node = BrokerNode(tmp_path_factory.mktemp("rabbitmq"))
    try:
        node.start()
        yield node
    finally:
        node.close()


@pytest.fixture
def broker_settings(broker: BrokerNode) -> Settings:
    """Settings on an empty virtual host of the node, with short waits."""
    broker.start()  # a test before may have ended it
    return Settings(broker_url=broker.url(broker.fresh_vhost()), reconnect_max_s=0.5)
