"""`dlq backup` and `dlq restore`, on the host of the manager's ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from dlq.cli import options
from dlq.cli.output import note, print_json, progress

MIB = 1024 * 1024

File = Annotated[Path, typer.Argument(help="The backup.", metavar="FILE")]


def backup(file: File, as_json: options.Json = False) -> None:
    """Copy the whole ledger into a new file, while managers go on.

    Reads DLQ_LEDGER_URL as the manager does. The file holds payloads: it is made for this
    account alone, and appears when it is complete and checked.

    \b
    Examples:
      dlq backup ledger-2026-11-24.backup
      dlq backup "/var/backups/dlq/$(date +%F).backup"
    """
    from dlq.ledger.backup import back_up
    from dlq.settings import Settings, without_password

    url = Settings.load().resolved_ledger_url
    with _bar("Backing up") as on_progress:
        size_bytes = back_up(url, file, on_progress)
    if as_json:
        print_json({"file": str(file), "bytes": size_bytes, "ledger": without_password(url)})
    else:
        note(f"Backed up {without_password(url)} to {file}: {size_bytes:,} bytes.")


def restore(file: File, as_json: options.Json = False) -> None:
    """Make the ledger anew from a backup. Refused where a ledger is: nothing is replaced.

    Reads DLQ_LEDGER_URL as the manager does; stop every manager that uses it first.

    \b
    Example:
      dlq restore ledger-2026-11-24.backup
    """
    from dlq.ledger.backup import restore as restore_ledger
    from dlq.settings import Settings, without_password

    url = Settings.load().resolved_ledger_url
    with _bar("Restoring") as on_progress:
        restore_ledger(url, file, on_progress)
    if as_json:
        print_json({"file": str(file), "ledger": without_password(url)})
    else:
        note(
            f"Restored {without_password(url)} from {file}. It is as it was when the backup was "
            "made: docs/backup.md says what that means for what happened since."
        )


@contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar in MiB that begins with the first word of how much there is."""
    with ExitStack() as stack:
        advance: Callable[[int], None] | None = None
        shown_mib = 0

        def tell(done_bytes: int, total_bytes: int | None) -> None:
            nonlocal advance, shown_mib
            if advance is None:
                total_mib = None if total_bytes is None else total_bytes // MIB
                advance = stack.enter_context(progress(f"{title}, MiB", total_mib))
            advance(done_bytes // MIB - shown_mib)
            shown_mib = done_bytes // MIB

        yield tell
