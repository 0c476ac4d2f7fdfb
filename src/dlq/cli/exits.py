"""Exit codes that scripts can rely on; `dlq --help` lists them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from dlq.errors import (
    BrokerUnavailable,
    ConfirmTimeout,
    DLQError,
    IllegalTransition,
    InvalidInput,
    LedgerUnavailable,
    NotFound,
    PublishRejected,
    SettingsError,
)


class ExitCode(IntEnum):
    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_FOUND = 4
    REFUSED = 5
    INTERRUPTED = 130
    READER_GONE = 141


HELP = """\b
Exit codes:
  0  all done
  1  something failed, or only a part was done
  2  the command line, its input or a setting cannot be used
  3  the manager, the broker or the ledger cannot be reached
  4  there is no such dead letter, job or group
  5  refused: the dead letter's state, or your token, does not allow it"""

_BY_KIND: tuple[tuple[type[DLQError], ExitCode], ...] = (
    (BrokerUnavailable, ExitCode.UNREACHABLE),
    (ConfirmTimeout, ExitCode.UNREACHABLE),
    (LedgerUnavailable, ExitCode.UNREACHABLE),
    (NotFound, ExitCode.NOT_FOUND),
    (IllegalTransition, ExitCode.REFUSED),
    (PublishRejected, ExitCode.REFUSED),
    (InvalidInput, ExitCode.USAGE),
    (SettingsError, ExitCode.USAGE),
)


def exit_code_of(error: DLQError) -> ExitCode:
    for kind, code in _BY_KIND:
        if isinstance(error, kind):
            return code
    return ExitCode.FAILED


def exit_code_of_stop(stopped: DLQError | KeyboardInterrupt) -> ExitCode:
    """Of a command over several dead letters that came to an end before its time."""
    if isinstance(stopped, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    return exit_code_of(stopped)


def exit_code_for(error_codes: Iterable[str], *, done: int) -> ExitCode:
    """Of a command over several dead letters, by the machine codes of those that failed.

    If nothing was done and all failed in one way, that way's code; else FAILED.
    """
    failed = set(error_codes)
    if not failed:
        return ExitCode.OK
    by_name = {kind.code: code for kind, code in _BY_KIND}
    if done == 0 and len(failed) == 1:
        return by_name.get(failed.pop(), ExitCode.FAILED)
    return ExitCode.FAILED
