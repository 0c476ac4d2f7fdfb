"""Makes causes fail and sends each failure down the path that the product sends it.

Exception -> `dlq.client` builds the dead letter -> the wire -> `dlq.manager` reads it. The
dead letters of others begin on the wire. What comes out is compared with the label in `report.py`.
"""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.error import HTTPError

from dlq.classify import Category, diagnose, diagnose_text
from dlq.client.build import dead_letter
from dlq.client.failure import Failure
from dlq.manager.arrivals import arrival_of
from dlq.message import WireMessage, encode
from tests.corpus.book import Cause, Raised, Sent
from tests.corpus.parts import Ways
from tests.corpus.variation import Variation
from tests.corpus.world import World


@dataclass(frozen=True, slots=True)
class Result:
    """One case, as the ledger would have it, and its category from its text alone."""

    case: str
    cause: str
    expected: Category
    category: Category
    rule: str
    fingerprint: str
    title: str
    message: str
    error_class: str
    category_of_text: Category
    rule_of_text: str


class NothingRaised(AssertionError):
    """A case came through without an exception: the corpus itself is at fault."""


def run(causes: Iterable[Cause], ways: Ways, world: World) -> Iterator[Result]:
    """One result for each variation of each cause, in order.

    Raises:
        NothingRaised: a function that was to fail returned.
    """
    # Not in the main thread: there asyncio.run() would look at the signal handlers each time.
    with _quiet(), ThreadPoolExecutor(max_workers=1) as thread:
        for cause in causes:
            for index in range(cause.variations):
                yield thread.submit(_result, cause, index, ways, world).result()


def _result(cause: Cause, index: int, ways: Ways, world: World) -> Result:
    variation = Variation(cause.name, index)
    wire, rule = _dead_letter(cause, variation, ways, world)
    arrival = arrival_of(wire)
    message = arrival.message
    told = diagnose_text(message.error_message, error_type=message.error_type)
    return Result(
        case=f"{cause.name}#{index}",
        cause=cause.name,
        expected=cause.category,
        category=Category(arrival.category),
        rule=rule or arrival.rule,
        fingerprint=arrival.fingerprint,
        title=arrival.title,
        message=message.error_message,
        error_class=message.error_class or "",
        category_of_text=told.category,
        rule_of_text=told.rule,
    )


def _dead_letter(
    cause: Cause, variation: Variation, ways: Ways, world: World
) -> tuple[WireMessage, str | None]:
    """What comes to the manager, and the rule that decided where the exception was seen."""
    if isinstance(cause, Sent):
        return cause.writing(world, variation), None
    if not isinstance(cause, Raised):
        raise TypeError(f"expected a cause that raises or sends, got {type(cause).__name__}")
    error = _raised(cause, variation, ways, world)
    item = {"id": variation.id, "title": variation.title, "artist_name": variation.artist}
    letter = dead_letter(
        Failure(item, error, retry_count=3, error_type=cause.error_type),
        source_service="enrichment",
        same_as=None,
    )
    rule = diagnose(error, error_type=cause.error_type).rule
    _close_answers(error)
    return encode(letter), rule


def _close_answers(error: BaseException | None) -> None:
    """Those behind `error`: urllib raises the answer itself, with its socket; musicbrainzngs
    keeps it as `cause`."""
    while error is not None:
        if isinstance(error, HTTPError):
            error.close()
        error = error.__cause__ or error.__context__ or getattr(error, "cause", None)


def _raised(cause: Raised, variation: Variation, ways: Ways, world: World) -> BaseException:
    """What the cause raises, its trace beginning in the application."""
    function = cause.app.function(cause.function, variation.index)
    arguments = cause.setting(world, variation)
    app, name = ways[variation.index % len(ways)]
    call = app.function(name, variation.index)
    try:
        call(function, arguments)
    except Exception as error:
        trace = error.__traceback__
        return error.with_traceback(trace.tb_next if trace else None)
    raise NothingRaised(f"expected {cause.name}#{variation.index} to raise, it returned")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Libraries warn and log about what was done to them; that is not the subject here."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
            gc.collect()  # what applications left open warns here, not in a later test
    finally:
        logging.disable(before)
