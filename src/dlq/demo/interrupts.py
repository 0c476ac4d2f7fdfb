"""Ctrl-C and SIGTERM end the demo by unwinding it, so that everything is stopped.

An exception out of a signal handler may come between any two instructions: after a child
was made and before anybody knows it, it would leave an orphan. So a signal waits while
`held`, and once the taking down has begun a further one changes nothing.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Entered on the main thread; raises KeyboardInterrupt (SIGINT) or SystemExit (SIGTERM)."""

    def __init__(self) -> None:
        self._is_held = False
        self._is_over = False
        self._pending: int | None = None

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """A signal that comes in the block is raised at its end."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
            self._raise_pending()

    def ignore_from_now(self) -> None:
        """The taking down, which is bounded, has begun."""
        self._is_over = True

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._pending = number
        if not self._is_held:
            self._raise_pending()

    def _raise_pending(self) -> None:
        number, self._pending = self._pending, None
        if number is None or self._is_over:
            return
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)
