"""What the demo checks before it starts anything: the checkout, the port, its folder."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dlq.errors import InvalidInput, SettingsError
from dlq.settings import Settings
from dlq.transport.amqp import AmqpControl

BROKER_TIMEOUT_S = 5.0


def find_checkout() -> Path:
    """The folder that holds `scrapers/`: the demo's pipeline is not part of the wheel.

    Raises: SettingsError: not run from a checkout.
    """
    for folder in (Path(__file__).resolve().parents[3], Path.cwd()):
        if (folder / "scrapers" / "pipelines" / "api_enrichment_pipeline.py").is_file():
            return folder
    raise SettingsError(
        "The demo needs the repository: expected scrapers/pipelines/api_enrichment_pipeline.py "
        "beside src/ or in the current folder. Clone the repository and run `make demo` there."
    )


def must_be_free(port: int) -> None:
    """Raises: SettingsError: somebody listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise SettingsError(
                f"Cannot listen on 127.0.0.1:{port}: {error.strerror or error}. "
                "Stop what has the port, or choose another with --port."
            ) from error


def must_be_unused(settings: Settings) -> None:
    """The DLQ of a real pipeline is no place for a demo: its manager would take in what waits
    there.

    Raises:
        SettingsError: messages wait in the main queue, or somebody consumes it.
        BrokerUnavailable: the broker does not answer.
    """
    control = AmqpControl(settings)
    try:
        found = control.inspect(BROKER_TIMEOUT_S).get(settings.main_queue)
    finally:
        control.close(BROKER_TIMEOUT_S)
    if found is not None and (found.ready or found.consumers):
        raise SettingsError(
            f"The queue {settings.main_queue} on this broker is in use ({found.ready} messages, "
            f"{found.consumers} consumers), and the demo would take its messages. Give the demo "
            "an empty virtual host with RABBITMQ_VHOST or DLQ_BROKER_URL."
        )


@contextmanager
def home_in(folder: Path | None, *, keep: bool) -> Iterator[Path]:
    """The demo's folder: this one if it is empty, or a temporary one, removed at the end
    unless it is to be kept.

    Raises: InvalidInput: the folder holds files.
    """
    if folder is None and keep:
        yield Path(tempfile.mkdtemp(prefix="dlq-demo-"))
        return
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="dlq-demo-") as temporary:
            yield Path(temporary)
        return
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise InvalidInput(f"Expected an empty folder for the demo, and {folder} holds files.")
    yield folder.resolve()
