"""Which handler a message goes to, and how it is called."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

from dlq.errors import DLQError, InvalidInput
from dlq.message import DLQMessage
from dlq.worker.task import Task

Handler = Callable[[DLQMessage], Any]
"""Sync or async. Returning means success, whatever is returned; raising means failure."""

MALFORMED = "malformed"
"""The key of a handler for messages whose body could not be read."""


class NoHandler(DLQError):
    """The worker has no handler for this message; it went back to the queue of failures."""

    code = "no_handler"


class Handlers:
    """Handlers by error_type, with a default for all others."""

    def __init__(self, by_type: Mapping[str, Handler], default: Handler | None) -> None:
        if not by_type and default is None:
            raise InvalidInput(
                "A worker needs at least one handler: RetryWorker({'spotify': handle}) "
                "or RetryWorker(default=handle)."
            )
        for error_type, handler in by_type.items():
            if not callable(handler):
                raise InvalidInput(
                    f"The handler for {error_type!r} must be callable, "
                    f"got {type(handler).__name__}."
                )
        self._by_type = dict(by_type)
        self._default = default

    @property
    def error_types(self) -> tuple[str, ...]:
        """The only error_types it can handle; empty when it has a default, thus all."""
        return () if self._default is not None else tuple(sorted(self._by_type))

    def choose(self, task: Task, worker: str) -> Handler:
        """The handler for this task.

        An unreadable message goes only to a handler that asks for such: any other might
        find nothing to do in it and call that a success.

        Raises: NoHandler.
        """
        error_type = task.message.error_type
        if not task.readable:
            handler = self._by_type.get(MALFORMED)
            if handler is None:
                raise NoHandler(
                    f"The body is not a JSON object, and worker {worker} has no handler "
                    f"for {MALFORMED!r}. Mend the message, or give the worker one."
                )
            return handler
        handler = self._by_type.get(error_type, self._default)
        if handler is None:
            raise NoHandler(
                f"No handler for error_type {error_type!r} in worker {worker}; it has: "
                f"{', '.join(sorted(self._by_type))}. Add one, or a default."
            )
        return handler


class Caller:
    """Calls handlers on one thread; async ones on a loop that lives as long as the thread,
    so that a handler may keep its HTTP session from one message to the next."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    def call(self, handler: Handler, message: DLQMessage) -> None:
        """Raises: whatever the handler raises."""
        result = handler(message)
        if inspect.isawaitable(result):
            if self._runner is None:
                self._runner = asyncio.Runner()
            # The runner would reuse the context of its first run: the handling of now is ours.
            self._runner.run(_wait_for(result), context=contextvars.copy_context())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            self._runner.close()


async def _wait_for(result: Awaitable[Any]) -> Any:
    return await result
