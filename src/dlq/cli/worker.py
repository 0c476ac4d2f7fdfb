"""`dlq worker`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlq.cli import options
from dlq.cli.output import note
from dlq.errors import InvalidInput

if TYPE_CHECKING:
    from dlq.worker import RetryWorker

CONCURRENCY = 1
MAX_ATTEMPTS = 5


def worker(
    target: Annotated[str, typer.Argument(metavar="MODULE:NAME", help="Your handler.")],
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="Handlers at once.", show_default=str(CONCURRENCY)),
    ] = None,
    error_type: Annotated[
        list[str] | None,
        typer.Option(help="Only these (repeatable). Default: all.", callback=options.not_empty),
    ] = None,
    max_attempts: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100,
            help="Bound of the tries that a replay grants.",
            show_default=str(MAX_ATTEMPTS),
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Shown with outcomes.", show_default="host:pid")
    ] = None,
    drain: Annotated[
        float | None,
        typer.Option(
            help="Stop when nothing is left, after this many seconds at most.",
            min=1,
            max=86_400,
            callback=options.a_number,
        ),
    ] = None,
) -> None:
    """Handle replays with your function until SIGTERM.

    NAME is a function that takes the DLQMessage (sync or async), a mapping
    from error_type to such functions, or a RetryWorker. Returning is success;
    raising sends the dead letter back with the new error. Modules are found
    from the current folder.

    \b
    Examples:
      dlq worker pipeline.retry:enrich --concurrency 4
      dlq worker pipeline.retry:enrich --error-type spotify --error-type lastfm
    """
    from dlq.cli.logs import log_to_stderr
    from dlq.settings import Settings
    from dlq.worker import RetryWorker

    settings = Settings.load()
    log_to_stderr(settings.log_level)
    found = load(target)
    if isinstance(found, RetryWorker):
        _refuse_its_own(
            target,
            {
                "--concurrency": concurrency,
                "--error-type": error_type,
                "--max-attempts": max_attempts,
                "--name": name,
            },
        )
        retry_worker = found
    else:
        handlers, default = _handlers(target, found, error_type or [])
        retry_worker = RetryWorker(
            handlers,
            default=default,
            settings=settings,
            concurrency=concurrency or CONCURRENCY,
            max_attempts=max_attempts or MAX_ATTEMPTS,
            name=name,
        )
    _run(retry_worker, drain)


def _refuse_its_own(target: str, given: Mapping[str, Any]) -> None:
    """Raises: InvalidInput: an option is given that a RetryWorker has settled itself."""
    names = [option for option, value in given.items() if value not in (None, [])]
    if names:
        raise InvalidInput(
            f"{target} is a RetryWorker, which was made with its own settings: give what "
            f"{', '.join(names)} would say where it is made, or name a function here."
        )


def load(target: str) -> Any:
    """The object behind `package.module:name`, with the current folder on the path.

    Raises: InvalidInput: says what could not be found or imported.
    """
    module_name, _, attribute = target.partition(":")
    if not module_name or not attribute:
        raise InvalidInput(f"Expected MODULE:NAME, as pipeline.retry:enrich; got {target!r}.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"Importing {module_name}: there is no module {error.name}. "
            f"Looked in {here} and where Python's packages are."
        ) from error
    except Exception as error:
        raise InvalidInput(
            f"Importing {module_name} raised {type(error).__name__}: {error}"
        ) from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise InvalidInput(f"{module_name} has no {attribute!r}.")
        found = getattr(found, part)
    return found


def _handlers(target: str, found: Any, error_types: list[str]) -> tuple[dict[str, Any], Any]:
    """Handlers by error_type, and the default."""
    if isinstance(found, Mapping):
        missing = [name for name in error_types if name not in found]
        if missing:
            raise InvalidInput(f"{target} has no handler for: {', '.join(missing)}.")
        return {k: v for k, v in found.items() if not error_types or k in error_types}, None
    if not callable(found):
        raise InvalidInput(
            f"{target} is a {type(found).__name__}; expected a function, a mapping from "
            "error_type to functions, or a RetryWorker."
        )
    if error_types:
        return dict.fromkeys(error_types, found), None
    return {}, found


def _run(retry_worker: RetryWorker, drain_s: float | None) -> None:
    try:
        tally = retry_worker.run() if drain_s is None else retry_worker.run_until_idle(drain_s)
    except TimeoutError as error:
        note(str(error))
        raise typer.Exit(1) from error
    note(f"{tally.succeeded} succeeded, {tally.failed} failed again, {tally.released} given back.")
