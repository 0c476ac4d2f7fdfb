"""The command line: `dlq …`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with one of the codes in `dlq --help`."""
    try:
        _run(arguments)
    except ModuleNotFoundError as error:
        # The client is installed without what only the commands need.
        if (error.name or "dlq").partition(".")[0] == "dlq":
            raise
        print(f"dlq needs {error.name}: pip install 'songnodes-dlq[all]'", file=sys.stderr)  # noqa: T201
        sys.exit(2)


def _run(arguments: Sequence[str] | None) -> NoReturn:
    from dlq.cli.app import app
    from dlq.cli.exits import exit_code_of
    from dlq.cli.output import print_error
    from dlq.errors import DLQError

    code: int | str | None = 0
    try:
        app(args=None if arguments is None else list(arguments), prog_name="dlq")
    except DLQError as error:
        print_error(str(error))
        code = exit_code_of(error)
    except KeyboardInterrupt:
        code = 130
    except SystemExit as ended:
        code = ended.code
    sys.exit(code if _flushed() else code or 1)


def _flushed() -> bool:
    """Write out what stdout still holds: an error of the last lines must not go unseen."""
    from dlq.cli.output import print_error

    try:
        sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            print_error(f"Standard output cannot be written: {error.strerror or error}.")
        # The interpreter flushes again at its end, and would say it in its own words.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True
