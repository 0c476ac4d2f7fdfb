"""The command line: `dlq …`."""

from __future__ import annotations

import errno
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
    from dlq.cli.output import output_trouble, print_error
    from dlq.errors import DLQError

    code: int | str | None = 0
    told = False
    try:
        app(args=None if arguments is None else list(arguments), prog_name="dlq")
    except DLQError as error:
        print_error(str(error))
        code, told = exit_code_of(error), True
    except OSError as error:  # of the help, which Typer writes
        if error.errno != errno.ENOSPC or error.filename is not None:
            raise
        print_error(str(output_trouble(error)))
        code, told = 1, True
    except KeyboardInterrupt:
        code = 130
    except SystemExit as ended:
        code = ended.code
    trouble = _flush(told=told)
    sys.exit(code or trouble)


def _flush(*, told: bool) -> int:
    """Write out what stdout still holds: an error in the last lines must not go unseen.

    Args:
        told: whether an error was told already.

    Returns: an exit code.
    """
    from dlq.cli.exits import ExitCode
    from dlq.cli.output import output_trouble, print_error
    from dlq.errors import DLQError

    try:
        sys.stdout.flush()
    except OSError as error:
        # The interpreter flushes again at its end, and would say it in its own words.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        trouble = output_trouble(error)
        if not isinstance(trouble, DLQError):
            return ExitCode.READER_GONE
        if not told:
            print_error(str(trouble))
        return ExitCode.FAILED
    return ExitCode.OK
