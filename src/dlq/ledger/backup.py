"""Copies of a whole ledger: consistent while it is written to, and back into an empty place.

A copy gets its name when it is complete, checked and on the disk; until then there is nothing
that could be taken for one. How each database is copied is in `sqlite_backup.py` and
`postgresql_backup.py`.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.engine import URL

from dlq.errors import InvalidInput, LedgerUnavailable
from dlq.ledger import open_ledger
from dlq.ledger.sqlite_backup import copy_database

Progress = Callable[[int, int | None], None]
"""Called with the bytes done, and how many there are in all, if that is known."""

MAGICS = {b"SQLite format 3\x00": "sqlite", b"PGDMP": "postgresql"}


def back_up(url: str, path: Path, on_progress: Progress) -> int:
    """Copy the ledger at `url` into a new file, for this account alone.

    Returns: the file's bytes.
    Raises:
        InvalidInput: the file is there already, or cannot be written.
        LedgerUnavailable: there is no ledger, or it cannot be read.
        LedgerError: the copy is not sound; a program is missing or has failed.
    """
    parsed = make_url(url)
    if _kind(parsed) == "sqlite":
        source = Path(str(parsed.database))
        if not source.is_file():
            raise LedgerUnavailable(f"There is no ledger at {source}. Check DLQ_LEDGER_URL.")
        with _new_file(path) as part:
            copy_database(source, part, on_progress)
    else:
        from dlq.ledger.postgresql_backup import dump

        with _new_file(path) as part:
            dump(url, part, on_progress)
    return path.stat().st_size


def restore(url: str, path: Path, on_progress: Progress) -> None:
    """Make the ledger at `url`, which must not exist, from a backup; an older schema is
    brought to this version's.

    Raises:
        InvalidInput: not a backup of such a database; or a ledger, or a part of one, is there.
        LedgerUnavailable: the database cannot be reached or written.
        LedgerError: a newer version made the backup; a program is missing or has failed.
    """
    parsed = make_url(url)
    _check_kind(path, _kind(parsed))
    if _kind(parsed) == "sqlite":
        _restore_file(path, Path(str(parsed.database)), on_progress)
    else:
        from dlq.ledger.postgresql_backup import restore_dump

        restore_dump(url, path, on_progress)
        open_ledger(url).close()


def _restore_file(backup: Path, target: Path, on_progress: Progress) -> None:
    for companion in (target, *(Path(f"{target}-{suffix}") for suffix in ("wal", "shm"))):
        if companion.exists():
            raise InvalidInput(
                f"{companion} is there, and a backup replaces nothing. Stop every manager that "
                f"uses this ledger, then move {target}* to another folder."
            )
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _new_file(target) as part:
        copy_database(backup, part, on_progress)
        open_ledger(f"sqlite:///{part}").close()


# --- files -------------------------------------------------------------------------------


@contextmanager
def _new_file(path: Path) -> Iterator[Path]:
    """An empty file under another name, which gets `path` at the end. Never replaces one."""
    if path.exists():
        raise InvalidInput(f"{path} is there already. Choose another name.")
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        yield part
        _sync(part)
        os.link(part, path)  # unlike a rename it fails if somebody was faster
        _sync(path.parent)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        for leftover in part.parent.glob(f"{part.name}*"):
            leftover.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _kind(url: URL) -> str:
    return "sqlite" if url.get_backend_name() == "sqlite" else "postgresql"


def _check_kind(path: Path, expected: str) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(max(map(len, MAGICS)))
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error
    found = next((kind for magic, kind in MAGICS.items() if start.startswith(magic)), None)
    if found != expected:
        raise InvalidInput(
            f"Expected a backup of a ledger on {expected}, as DLQ_LEDGER_URL says, but {path} is "
            f"{f'one of {found}' if found else 'no backup at all'}."
        )
