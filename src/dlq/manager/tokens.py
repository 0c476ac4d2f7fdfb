"""Bearer tokens and their roles, kept hashed in one JSON file.

A token is 256 random bits, so a plain SHA-256 is enough to keep: there is nothing to guess.
The token itself is shown once, when it is made, and never stored.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import os
import re
import secrets
import tempfile
import threading
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from dlq.errors import InvalidInput, SettingsError
from dlq.payload import iso_z

PREFIX = "dlq_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")


class Role(StrEnum):
    """Each role may do what the ones before it may."""

    VIEWER = "viewer"  # read
    OPERATOR = "operator"  # publish, replay, work
    ADMIN = "admin"  # delete, read the audit trail

    def may_act_as(self, needed: Role) -> bool:
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a token: everything but itself."""

    name: str
    role: Role
    sha256: str
    created_at: str


def create_token(path: Path, name: str, role: Role) -> str:
    """Make a token, add its hash to the file, and return the token: the only time it is seen.

    Raises:
        InvalidInput: the name is taken, or not 1 to 64 of letters, digits, `_ . @ -`.
        SettingsError: the file cannot be read or written.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"Token name {name!r}: expected 1 to 64 letters, digits, '_', '.', '@' or '-'."
        )
    tokens = list_tokens(path)
    if any(token.name == name for token in tokens):
        raise InvalidInput(
            f"There is a token named {name!r} already. Choose another name, or revoke it first: "
            f"dlq token revoke {name}"
        )
    secret = PREFIX + secrets.token_urlsafe(32)
    made_at = iso_z(dt.datetime.now(dt.UTC).replace(microsecond=0))
    _write(path, [*tokens, Token(name, role, _hash(secret), made_at)])
    return secret


def list_tokens(path: Path) -> list[Token]:
    """Tokens in the order they were made; [] if there is no file.

    Raises:
        SettingsError: the file cannot be read, or is not what `create_token` writes.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SettingsError(f"The tokens file {path} cannot be read: {error.strerror}.") from error
    try:
        return [_token(entry) for entry in json.loads(content)["tokens"]]
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"The tokens file {path} is damaged. Expected what `dlq token create` writes; "
            "restore it, or remove it and make new tokens."
        ) from error


def revoke_token(path: Path, name: str) -> bool:
    """Remove a token. False if there is none of that name."""
    tokens = list_tokens(path)
    kept = [token for token in tokens if token.name != name]
    if len(kept) == len(tokens):
        return False
    _write(path, kept)
    return True


class TokenStore:
    """The tokens as a running manager sees them; follows changes of the file.

    A token is required as soon as there is a file, also an empty one: revoking the last token
    must not open the door. To do without tokens again, remove the file and restart. A file
    that becomes unreadable keeps the tokens known before.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._tokens: list[Token] = []
        self._required = False
        self._load()

    @property
    def required(self) -> bool:
        self._refresh()
        return self._required

    def find(self, secret: str) -> Token | None:
        """The token that `secret` is; compared over hashes, in constant time each."""
        self._refresh()
        digest = _hash(secret)
        found = None
        for token in self._tokens:
            if secrets.compare_digest(token.sha256.encode(), digest.encode()):
                found = token
        return found

    def _refresh(self) -> None:
        # Half-edited by hand, or gone unreadable: go on with what was known.
        with contextlib.suppress(SettingsError):
            self._load()

    def _load(self) -> None:
        with self._lock:
            stamp = _stamp(self._path)
            if stamp == self._stamp:
                return
            self._tokens = list_tokens(self._path)
            self._stamp = stamp
            self._required = self._required or stamp is not None


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _token(entry: dict[str, Any]) -> Token:
    return Token(
        str(entry["name"]), Role(entry["role"]), str(entry["sha256"]), str(entry["created_at"])
    )


def _write(path: Path, tokens: list[Token]) -> None:
    """Replace the file in one step, readable by its owner only."""
    entries = [
        {"name": t.name, "role": t.role, "sha256": t.sha256, "created_at": t.created_at}
        for t in tokens
    ]
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"tokens": entries}, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        raise SettingsError(
            f"The tokens file {path} cannot be written: {error.strerror}."
        ) from error
