"""What a cause is: a function of an application, and the circumstances in which it fails.

Of a service that is not ours there is but the message that it, or the broker, left.

The application is source text, compiled under the names its files have in production, so that
traces look as they do there: own frames, library frames, other lines in another release.
"""

from __future__ import annotations

import linecache
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dlq.classify import Category
from dlq.message import WireMessage

if TYPE_CHECKING:
    from tests.corpus.variation import Variation
    from tests.corpus.world import World

Arguments = tuple[Any, ...]
Setting = Callable[["World", "Variation"], Arguments]
"""Prepares the circumstances; returns the arguments for the function that is to fail."""
Writing = Callable[["World", "Variation"], WireMessage]
"""The dead letter as it comes from a queue."""

VARIATIONS = 4
_ROOTS = (
    "/srv/pipeline",
    "/srv/pipeline",
    "/srv/releases/20261103T0911/pipeline",
    "/opt/songs/pipeline",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """`category` is the label: decided by what an operator should do about it."""

    name: str
    category: Category
    variations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised(Cause):
    """An exception of an application of ours."""

    app: App
    function: str
    setting: Setting
    error_type: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent(Cause):
    """A dead letter that others wrote: another service, or the broker."""

    writing: Writing


class App:
    """One source file of an application: `path` is relative to where it is installed."""

    def __init__(self, path: str, source: str) -> None:
        self.path = path
        self._source = textwrap.dedent(source).strip() + "\n"
        self._built: dict[int, Mapping[str, Any]] = {}

    def function(self, name: str, release: int) -> Callable[..., Any]:
        """`name` as it is in one of the releases: each has other line numbers."""
        release %= VARIATIONS
        if release not in self._built:
            self._built[release] = self._build(release)
        found: Callable[..., Any] = self._built[release][name]
        return found

    def _build(self, release: int) -> Mapping[str, Any]:
        source = "\n" * (release * 7) + self._source
        filename = f"{_ROOTS[release]}/{self.path}"
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
        module = self.path.removesuffix(".py").replace("/", ".")
        names: dict[str, Any] = {"__name__": module}
        exec(compile(source, filename, "exec", dont_inherit=True), names)
        return names


@dataclass(slots=True)
class Book:
    """The causes of one subject; `error_type` is what its pipeline calls the provider."""

    subject: str
    error_type: str | None = None
    causes: list[Cause] = field(default_factory=list)

    def cause(
        self,
        name: str,
        category: Category,
        app: App,
        function: str,
        setting: Setting,
        *,
        error_type: str | None = None,
        variations: int = VARIATIONS,
    ) -> None:
        """Write a cause down; its full name is `subject/name`."""
        self.causes.append(
            Raised(
                name=f"{self.subject}/{name}",
                category=category,
                app=app,
                function=function,
                setting=setting,
                error_type=error_type or self.error_type,
                variations=variations,
            )
        )

    def letter(self, name: str, category: Category, writing: Writing) -> None:
        """Write down a cause of which there is but a dead letter of others."""
        self.causes.append(
            Sent(
                name=f"{self.subject}/{name}",
                category=category,
                variations=VARIATIONS,
                writing=writing,
            )
        )
