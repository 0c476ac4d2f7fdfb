"""The command line: `dlq …`."""

from __future__ import annotations

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

    try:
        app(args=None if arguments is None else list(arguments), prog_name="dlq")
    except DLQError as error:
        print_error(str(error))
        sys.exit(exit_code_of(error))
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)
