"""`capture`: failures to the DLQ by a `with` block or a decorator.

As a decorator it tries a function again while its failure may pass by itself, with growing
random pauses that honour Retry-After, then publishes and raises on. As a context manager
it has one try.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from dlq.backoff import full_jitter
from dlq.classify import diagnose
from dlq.client.core import Core, refused
from dlq.client.describe import told
from dlq.client.failure import Failure
from dlq.client.receipt import Receipt
from dlq.client.steps import run, run_async

logger = logging.getLogger(__name__)
F = TypeVar("F", bound=Callable[..., Any])

_nesting: ContextVar[tuple[dict[int, Exception], ...]] = ContextVar("dlq_captures", default=())
"""The captures that are open around here, which share what they have published: of nested ones
only the innermost publishes. It lasts as long as the outermost, for an exception object may well
be raised again later."""


@dataclass(frozen=True, slots=True)
class CaptureOptions:
    """How a capture behaves; see `DLQClient.capture`."""

    source_service: str | None = None
    item: Any = None
    metadata: Mapping[str, Any] | None = None
    correlation_id: str | None = None
    error_type: str | None = None
    fingerprint: str | None = None
    max_attempts: int = 3
    reraise: bool = True
    ignore: tuple[type[BaseException], ...] = ()
    pause_base_s: float = 0.5
    pause_max_s: float = 30.0

    def pause_s(self, error: Exception, attempt: int) -> float | None:
        """Seconds until the next try; None to give up: it would not help, the tries are used
        up, or the provider asks for a longer pause than `pause_max_s`."""
        if attempt >= self.max_attempts:
            return None
        try:
            diagnosis = diagnose(error, error_type=self.error_type)
        except Exception as trouble:  # noqa: BLE001 - logged; what is unknown is not retried
            logger.warning("A failure cannot be classified, not tried again: %s", told(trouble))
            return None
        if not diagnosis.transient:
            return None
        asked_s = diagnosis.retry_after_s or 0.0
        if asked_s > self.pause_max_s:
            return None
        return max(asked_s, full_jitter(attempt, base_s=self.pause_base_s, cap_s=self.pause_max_s))


class Capture:
    """Made by `capture(...)`. Holds no state between uses, so it may be used again, by any
    number of threads and tasks at once."""

    def __init__(self, core: Core, options: CaptureOptions) -> None:
        self._core = core
        self._options = options

    # --- as a context manager ---

    def __enter__(self) -> Self:
        _enter()
        return self

    def __exit__(
        self,
        _class: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool:
        try:
            if not self._succeeded_or_passes(error):
                self._publish(cast(Exception, error), self._given_item(), 1)
                return not self._options.reraise
            return False
        finally:
            _leave()

    async def __aenter__(self) -> Self:
        _enter()
        return self

    async def __aexit__(
        self,
        _class: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool:
        try:
            if not self._succeeded_or_passes(error):
                await self._publish_async(cast(Exception, error), self._given_item(), 1)
                return not self._options.reraise
            return False
        finally:
            _leave()

    # --- as a decorator ---

    def __call__(self, function: F) -> F:
        """Wrap a function or coroutine function.

        Raises: TypeError: a generator function, whose failures come after the call.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"capture() cannot wrap the generator function {function.__qualname__}: it fails "
                "while it is iterated. Use `with dlq.capture(…):` inside it."
            )
        wrapped = (
            self._wrap_async(function)
            if inspect.iscoroutinefunction(function)
            else self._wrap(function)
        )
        return cast(F, wrapped)

    def _wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with _Open():
                return tries(args, kwargs)

        def tries(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            attempt = 1
            while True:
                try:
                    result = function(*args, **kwargs)
                except Exception as error:
                    if self._passes(error):
                        raise
                    pause_s = self._options.pause_s(error, attempt)
                    if pause_s is None:
                        self._publish(error, self._item_of(function, args, kwargs), attempt)
                        if self._options.reraise:
                            raise
                        return None
                else:
                    self._core.flood.record_success()
                    return result
                time.sleep(pause_s)
                attempt += 1

        return call

    def _wrap_async(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def call(*args: Any, **kwargs: Any) -> Any:
            with _Open():
                return await tries(args, kwargs)

        async def tries(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            attempt = 1
            while True:
                try:
                    result = await function(*args, **kwargs)
                except Exception as error:
                    if self._passes(error):
                        raise
                    pause_s = self._options.pause_s(error, attempt)
                    if pause_s is None:
                        item = self._item_of(function, args, kwargs)
                        await self._publish_async(error, item, attempt)
                        if self._options.reraise:
                            raise
                        return None
                else:
                    self._core.flood.record_success()
                    return result
                await asyncio.sleep(pause_s)
                attempt += 1

        return call

    # --- the parts ---

    def _succeeded_or_passes(self, error: BaseException | None) -> bool:
        if error is None:
            self._core.flood.record_success()
            return True
        return not isinstance(error, Exception) or self._passes(error)

    def _passes(self, error: Exception) -> bool:
        """Whether this one is not ours to publish."""
        return isinstance(error, self._options.ignore) or id(error) in _nesting.get()[-1]

    def _publish(self, error: Exception, item: Any, tries: int) -> None:
        try:
            receipts = run(self._core.publishing([self._failure(error, item, tries)]))
        except Exception as trouble:  # noqa: BLE001 - logged; the caller has an error of its own
            receipts = refused(trouble, 1)
        _note(error, receipts[0])

    async def _publish_async(self, error: Exception, item: Any, tries: int) -> None:
        try:
            receipts = await run_async(self._core.publishing([self._failure(error, item, tries)]))
        except Exception as trouble:  # noqa: BLE001 - logged; the caller has an error of its own
            receipts = refused(trouble, 1)
        _note(error, receipts[0])

    def _failure(self, error: Exception, item: Any, tries: int) -> Failure:
        options = self._options
        return Failure(
            item=item,
            error=error,
            retry_count=tries,
            source_service=options.source_service,
            metadata=options.metadata,
            correlation_id=options.correlation_id,
            error_type=options.error_type,
            fingerprint=options.fingerprint,
        )

    def _given_item(self) -> Any:
        return {} if self._options.item is None else self._options.item

    def _item_of(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        item = self._options.item
        if item is not None and not callable(item):
            return item
        try:
            if item is not None:
                return item(*args, **kwargs)
            return _bound_arguments(function, args, kwargs)
        except Exception as trouble:  # noqa: BLE001 - logged; the arguments stand in
            logger.warning("The item of a failed call cannot be found: %s", told(trouble))
            return {"args": args, "kwargs": kwargs}


def _bound_arguments(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    bound = inspect.signature(function).bind(*args, **kwargs).arguments
    return {name: value for name, value in bound.items() if name not in ("self", "cls")}


def _enter() -> None:
    around = _nesting.get()
    _nesting.set((*around, around[-1] if around else {}))


def _leave() -> None:
    _nesting.set(_nesting.get()[:-1])


class _Open:
    """Not contextlib's: that reads attributes of the exception, which may be hostile."""

    def __enter__(self) -> None:
        _enter()

    def __exit__(self, *_: object) -> None:
        _leave()


def _note(error: Exception, receipt: Receipt) -> None:
    if receipt:  # what is not safe yet is for the next capture around to try
        _nesting.get()[-1][id(error)] = error
